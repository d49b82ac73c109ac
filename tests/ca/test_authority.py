"""Signing certificates and CRLs, and making CAs and RAs; `openssl` has the last word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scepkit.ca import (
    CaIssuer,
    CertificateProfile,
    CertificateTemplate,
    Revocation,
    crl_entries,
    encoded_entries,
    make_ca,
    make_intermediate,
    make_ra_certificate,
)
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import public_key_der
from scepkit.errors import InputError
from tests import pki
from tests.interop import foreign

NOW = pki.NOW
DAY = timedelta(days=1)
#: Of the year 10000, in UTC.
BEYOND = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
SERIAL = 0x1234567890ABCDEF
REASON = x509.ReasonFlags


def template(
    key_name: str = "rsa2048-c", validity: timedelta = 90 * DAY, backdate: timedelta = DAY / 24
) -> CertificateTemplate:
    """router1's template under the default profile."""
    key = pki.key(key_name).public_key()
    extensions = CertificateProfile().constant_extensions(rsa=isinstance(key, rsa.RSAPublicKey))
    return CertificateTemplate(
        pki.name("router1").public_bytes(), public_key_der(key), extensions, validity, backdate
    )


def ca(key_name: str = "rsa2048-a", **options: Any) -> CaIssuer:
    """A root made at NOW."""
    return make_ca("CN=Test CA,O=Acme", pki.key(key_name), now=NOW, **options)


def value_of(certificate: x509.Certificate, kind: type[Any]) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


# ------------------------------------------------------------------ issuing


@pytest.mark.parametrize("ca_key", ["rsa2048-a", "ec256-a", "ec384"])
def test_an_issued_certificate_is_the_cas(ca_key: str) -> None:
    issuer = ca(ca_key)
    certificate = issuer.issue(template(), SERIAL, NOW)
    certificate.verify_directly_issued_by(issuer.certificate)
    assert certificate.serial_number == SERIAL
    assert certificate.subject == pki.name("router1")
    assert certificate.public_key() == pki.key("rsa2048-c").public_key()


def test_an_ed25519_ca_issues() -> None:
    issuer = make_ca("CN=Ed", ed25519.Ed25519PrivateKey.generate(), now=NOW)
    issuer.issue(template(), SERIAL, NOW).verify_directly_issued_by(issuer.certificate)


def test_the_key_identifiers_join_certificate_and_ca() -> None:
    issuer = ca()
    certificate = issuer.issue(template(), SERIAL, NOW)
    ours = value_of(issuer.certificate, x509.SubjectKeyIdentifier).digest
    assert value_of(certificate, x509.AuthorityKeyIdentifier).key_identifier == ours
    expected = x509.SubjectKeyIdentifier.from_public_key(pki.key("rsa2048-c").public_key())
    assert value_of(certificate, x509.SubjectKeyIdentifier) == expected


def test_the_key_identifier_of_an_imported_ca_is_used_as_it_is() -> None:
    own = pki.certificate(
        pki.name("Odd CA"), pki.key(), ca=True, key_usage=pki.usage("key_cert_sign", "crl_sign")
    )
    odd = x509.SubjectKeyIdentifier(b"chosen by hand")
    builder = x509.CertificateBuilder(extensions=[x509.Extension(odd.oid, False, odd)])
    certificate = (
        builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        .subject_name(own.name)
        .issuer_name(own.name)
        .public_key(own.key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(own.key, Digest.SHA256.hash())  # type: ignore[arg-type]
    )
    issued = CaIssuer(certificate, own.key).issue(template(), SERIAL, NOW)
    assert value_of(issued, x509.AuthorityKeyIdentifier).key_identifier == b"chosen by hand"


def test_dates_run_from_before_now_to_the_validity() -> None:
    certificate = ca().issue(template(), SERIAL, NOW + timedelta(microseconds=5))
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + 90 * DAY


def test_a_certificate_never_outlives_its_ca() -> None:
    issuer = ca(lifetime=30 * DAY)
    certificate = issuer.issue(template(backdate=7 * DAY), SERIAL, NOW)
    assert certificate.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    assert certificate.not_valid_before_utc == issuer.certificate.not_valid_before_utc


def test_dates_after_2049_are_written_and_read() -> None:
    issuer = ca(lifetime=36500 * DAY)
    certificate = issuer.issue(template(validity=30000 * DAY), SERIAL, NOW)
    assert certificate.not_valid_after_utc == NOW + 30000 * DAY


def test_the_dates_can_be_known_before_signing() -> None:
    issuer = ca()
    certificate = issuer.issue(template(), SERIAL, NOW)
    assert issuer.validity_of(template(), NOW) == (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


@pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 4000 * DAY])
def test_a_ca_outside_its_validity_does_not_issue(now: datetime) -> None:
    with pytest.raises(InputError, match="is valid from 2026-05-31"):
        ca().issue(template(), SERIAL, now)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        ca().issue(template(), SERIAL, NOW.replace(tzinfo=None))


@pytest.mark.parametrize("serial", [0, -1, 1 << 159])
def test_what_is_no_serial_number_is_refused(serial: int) -> None:
    with pytest.raises(InputError, match="159 bits"):
        ca().issue(template(), serial, NOW)


def test_the_largest_serial_number_is_written_and_read() -> None:
    serial = (1 << 159) - 1
    assert ca().issue(template(), serial, NOW).serial_number == serial


def test_the_same_arguments_give_the_same_certificate() -> None:
    issuer = ca()
    assert issuer.issue(template(), SERIAL, NOW) == issuer.issue(template(), SERIAL, NOW)


def test_the_digest_follows_the_curve_and_can_be_chosen() -> None:
    assert ca("ec384").certificate.signature_hash_algorithm == Digest.SHA384.hash()
    assert ca(digest=Digest.SHA512).certificate.signature_hash_algorithm == Digest.SHA512.hash()


def test_old_digests_are_refused() -> None:
    with pytest.raises(InputError, match="sha1 is too old"):
        ca(digest=Digest.SHA1)


def test_the_key_is_not_shown() -> None:
    assert "RSAPrivateKey" not in repr(ca())


# ------------------------------------------------------------------ imported CAs


def test_an_existing_ca_is_taken_over() -> None:
    root = pki.root()
    existing = pki.intermediate(root)
    issuer = CaIssuer(existing.certificate, existing.key, (root.certificate,))
    assert issuer.bundle == (existing.certificate, root.certificate)
    issuer.issue(template(), SERIAL, NOW).verify_directly_issued_by(existing.certificate)


def test_a_key_of_another_ca_is_refused() -> None:
    with pytest.raises(InputError, match="does not belong"):
        CaIssuer(pki.root().certificate, pki.key("rsa2048-b"))


def test_a_device_certificate_is_no_ca() -> None:
    device = pki.device(pki.root())
    with pytest.raises(InputError, match="CA:TRUE"):
        CaIssuer(device.certificate, device.key)


def test_a_certificate_without_constraints_is_no_ca() -> None:
    own = pki.self_signed()
    with pytest.raises(InputError, match="CA:TRUE"):
        CaIssuer(own.certificate, own.key)


def test_a_ca_that_may_not_sign_certificates_is_refused() -> None:
    root = pki.root(key_usage=pki.usage("crl_sign"))
    with pytest.raises(InputError, match="keyUsage"):
        CaIssuer(root.certificate, root.key)


def test_a_chain_of_strangers_is_refused() -> None:
    existing = pki.intermediate(pki.root())
    stranger = pki.root("rsa3072", "Another Root")
    with pytest.raises(InputError, match="chain is not in order"):
        CaIssuer(existing.certificate, existing.key, (stranger.certificate,))


# ------------------------------------------------------------------ making CAs and RAs


def test_a_root_may_do_what_scep_needs() -> None:
    certificate = ca().certificate
    assert certificate.subject.rfc4514_string() == "CN=Test CA,O=Acme"
    assert value_of(certificate, x509.BasicConstraints) == x509.BasicConstraints(True, None)
    assert value_of(certificate, x509.KeyUsage) == pki.usage(
        "key_cert_sign", "crl_sign", "digital_signature", "key_encipherment"
    )


def test_an_ec_root_does_not_claim_to_decrypt() -> None:
    assert value_of(ca("ec256-a").certificate, x509.KeyUsage) == pki.usage(
        "key_cert_sign", "crl_sign", "digital_signature"
    )


def test_a_root_that_does_not_serve_scep_only_signs_certificates() -> None:
    usage = value_of(ca(serves_scep=False).certificate, x509.KeyUsage)
    assert usage == pki.usage("key_cert_sign", "crl_sign")


def test_a_root_without_a_subject_is_refused() -> None:
    with pytest.raises(InputError, match="subject"):
        make_ca(x509.Name([]), pki.key(), now=NOW)


def test_two_roots_have_different_serial_numbers() -> None:
    assert ca().certificate.serial_number != ca().certificate.serial_number
    assert ca(serial=5).certificate.serial_number == 5


def test_an_intermediate_stands_below_its_parent_and_within_its_dates() -> None:
    root = ca(lifetime=400 * DAY)
    issuing = make_intermediate(root, "CN=Issuing", pki.key("rsa2048-b"), now=NOW)
    issuing.certificate.verify_directly_issued_by(root.certificate)
    assert issuing.chain == (root.certificate,)
    assert issuing.certificate.not_valid_after_utc == root.certificate.not_valid_after_utc
    assert value_of(issuing.certificate, x509.BasicConstraints).path_length == 0


@pytest.mark.parametrize(
    ("use", "bits"),
    [
        ("both", ("digital_signature", "key_encipherment")),
        ("sign", ("digital_signature",)),
        ("encrypt", ("key_encipherment",)),
    ],
)
def test_an_ra_certificate_has_the_usages_of_its_half(use: Any, bits: tuple[str, ...]) -> None:
    issuer = ca("ec256-a")
    key = pki.key("rsa2048-b").public_key()
    certificate = make_ra_certificate(issuer, "CN=RA", key, now=NOW, use=use)
    certificate.verify_directly_issued_by(issuer.certificate)
    assert value_of(certificate, x509.KeyUsage) == pki.usage(*bits)
    assert not value_of(certificate, x509.BasicConstraints).ca
    assert set(value_of(certificate, x509.ExtendedKeyUsage)) == {pki.REQUEST_AGENT, pki.CMC_RA}


def test_an_ec_key_cannot_be_encrypted_to() -> None:
    key = pki.key("ec256-b").public_key()
    with pytest.raises(InputError, match="RSA"):
        make_ra_certificate(ca(), "CN=RA", key, now=NOW, use="encrypt")
    both = make_ra_certificate(ca(), "CN=RA", key, now=NOW)
    assert value_of(both, x509.KeyUsage) == pki.usage("digital_signature")


# ------------------------------------------------------------------ CRLs


def test_a_crl_says_who_is_revoked_since_when_and_why() -> None:
    issuer = ca()
    entries = [
        Revocation(5, NOW - DAY, REASON.key_compromise, invalid_since=NOW - 3 * DAY),
        Revocation(6, NOW - DAY),
        Revocation(7, NOW - DAY, REASON.unspecified),
    ]
    crl = issuer.make_crl(entries, 42, NOW, 2 * DAY)
    assert crl.is_signature_valid(issuer.certificate.public_key())  # type: ignore[arg-type]
    assert crl.issuer == issuer.certificate.subject
    assert crl.last_update_utc == NOW - timedelta(minutes=10)
    assert crl.next_update_utc == NOW + 2 * DAY
    assert value_of_crl(crl, x509.CRLNumber).crl_number == 42
    ours = value_of(issuer.certificate, x509.SubjectKeyIdentifier).digest
    assert value_of_crl(crl, x509.AuthorityKeyIdentifier).key_identifier == ours
    first, second, third = crl
    assert (first.serial_number, first.revocation_date_utc) == (5, NOW - DAY)
    assert value_of_crl(first, x509.CRLReason).reason is REASON.key_compromise
    assert value_of_crl(first, x509.InvalidityDate).invalidity_date_utc == NOW - 3 * DAY
    assert len(second.extensions) == 0
    assert len(third.extensions) == 0


def value_of_crl(holder: Any, kind: type[Any]) -> Any:
    return holder.extensions.get_extension_for_class(kind).value


def test_an_empty_crl_is_a_crl() -> None:
    assert list(ca("ec256-a").make_crl([], 0, NOW)) == []


def test_the_lines_of_a_crl_are_encoded_once_however_many_there_are() -> None:
    entries = crl_entries(Revocation(i, NOW) for i in range(1, 20001))
    assert len(ca("ec256-a").make_crl(entries, 1, NOW)) == entries.count == 20000


@given(
    serial=st.integers(1, (1 << 159) - 1),
    number=st.integers(0, (1 << 159) - 1),
    seconds=st.integers(0, 150 * 365 * 86400),  # since 1950: UTCTime and GeneralizedTime
    reason=st.sampled_from([None, *(one for one in REASON if one is not REASON.remove_from_crl)]),
    with_invalid=st.booleans(),
)
def test_a_crl_is_what_cryptography_would_write(
    serial: int,
    number: int,
    seconds: int,
    reason: x509.ReasonFlags | None,
    with_invalid: bool,
) -> None:
    moment = datetime(1950, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    issuer = ca()
    revocation = Revocation(serial, moment, reason, NOW if with_invalid else None)
    made = issuer.make_crl([revocation], number, NOW)
    line = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
    if reason not in {None, REASON.unspecified}:
        line = line.add_extension(x509.CRLReason(reason), critical=False)
    if with_invalid:
        line = line.add_extension(x509.InvalidityDate(NOW), critical=False)
    key = issuer.key
    assert isinstance(key, rsa.RSAPrivateKey)
    theirs = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - timedelta(minutes=10))
        .next_update(NOW + 7 * DAY)
        .add_extension(value_of_crl(made, x509.AuthorityKeyIdentifier), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_revoked_certificate(line.build())
        .sign(key, hashes.SHA256())
    )
    assert made.public_bytes(Encoding.DER) == theirs.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "entry",
    [
        Revocation(0, NOW),
        Revocation(5, NOW.replace(tzinfo=None)),
        Revocation(5, NOW, REASON.remove_from_crl),
        Revocation(5, NOW, invalid_since=datetime(2026, 1, 1)),  # noqa: DTZ001
        Revocation(5, BEYOND),
        Revocation(5, NOW, invalid_since=BEYOND),
    ],
)
def test_a_line_no_crl_can_hold_is_refused(entry: Revocation) -> None:
    with pytest.raises(InputError):
        ca().make_crl([entry], 1, NOW)


@pytest.mark.parametrize("second", [253402300800, 10**15, -62135596801])
def test_a_revocation_that_no_calendar_has_is_refused(second: int) -> None:
    with pytest.raises(InputError, match="years 1 to 9999"):
        encoded_entries([(5, second, b"")])


def test_the_last_second_that_a_crl_can_hold_is_held() -> None:
    entries = encoded_entries([(5, 253402300799, b"")])
    (line,) = ca().make_crl(entries, 1, NOW)
    assert line.revocation_date_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("number", [-1, 1 << 159])
def test_what_is_no_crl_number_is_refused(number: int) -> None:
    with pytest.raises(InputError, match="CRL number"):
        ca().make_crl([], number, NOW)


def test_a_crl_needs_a_lifetime() -> None:
    with pytest.raises(InputError, match="lifetime"):
        ca().make_crl([], 1, NOW, timedelta())


def test_a_ca_that_may_not_sign_crls_does_not() -> None:
    root = pki.root(key_usage=pki.usage("key_cert_sign"))
    with pytest.raises(InputError, match="CRLs"):
        CaIssuer(root.certificate, root.key).make_crl([], 1, NOW)


# ------------------------------------------------------------------ openssl


def openssl(*arguments: str | Path) -> str:
    return foreign.run([foreign.program("openssl", "openssl"), *arguments]).decode()


def write(path: Path, *things: x509.Certificate | x509.CertificateRevocationList) -> Path:
    path.write_bytes(b"".join(thing.public_bytes(Encoding.PEM) for thing in things))
    return path


@pytest.mark.interop
@pytest.mark.parametrize(("root_key", "ca_key"), [("rsa2048-a", "rsa2048-b"), ("ec256-a", "ec384")])
def test_openssl_verifies_certificate_chain_and_crls(
    tmp_path: Path, root_key: str, ca_key: str
) -> None:
    now = datetime.now(UTC)
    root = make_ca("CN=Root,O=Acme", pki.key(root_key), now=now)
    issuing = make_intermediate(root, "CN=Issuing,O=Acme", pki.key(ca_key), now=now)
    device = issuing.issue(template(), x509.random_serial_number(), now)
    revoked = issuing.issue(template(), x509.random_serial_number(), now)
    crl = issuing.make_crl([Revocation(revoked.serial_number, now, REASON.key_compromise)], 1, now)
    anchors = write(tmp_path / "root.pem", root.certificate)
    between = write(tmp_path / "ca.pem", issuing.certificate)
    lists = write(tmp_path / "crls.pem", crl, root.make_crl([], 1, now))
    verify = (
        *("verify", "-x509_strict", "-purpose", "sslclient", "-crl_check_all"),
        *("-CAfile", anchors, "-untrusted", between, "-CRLfile", lists),
    )
    openssl(*verify, write(tmp_path / "device.pem", device))
    with pytest.raises(AssertionError, match="certificate revoked"):
        openssl(*verify, write(tmp_path / "revoked.pem", revoked))


@pytest.mark.interop
def test_openssl_accepts_the_crl(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    issuer = make_ca("CN=Root,O=Acme", pki.key(), now=now)
    crl = write(tmp_path / "crl.pem", issuer.make_crl([Revocation(5, now)], 7, now))
    anchor = write(tmp_path / "ca.pem", issuer.certificate)
    # "verify OK" is said on stderr, and the exit status of older versions says nothing.
    command = '"$0" crl -in "$1" -CAfile "$2" -noout -crlnumber 2>&1'
    program = foreign.program("openssl", "openssl")
    output = foreign.run(["sh", "-c", command, program, crl, anchor]).decode()
    assert "verify OK" in output
    assert "crlNumber=0x07" in output.replace("0x7", "0x07")


@pytest.mark.interop
def test_openssl_verifies_the_ra_certificate(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    issuer = make_ca("CN=Root,O=Acme", pki.key("ec256-a"), now=now)
    agent = make_ra_certificate(issuer, "CN=RA", pki.key("rsa2048-b").public_key(), now=now)
    anchor = write(tmp_path / "ca.pem", issuer.certificate)
    openssl("verify", "-x509_strict", "-CAfile", anchor, write(tmp_path / "ra.pem", agent))
