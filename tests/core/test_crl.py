"""CRLs that a CA hands out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.crl import crl_notes, read_crl
from scepkit.core.trust import CaOffer
from scepkit.errors import AlgorithmError, DecodeError, SignatureError
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki
from tests.core.exchange import CA, EC_CA, crl_of
from tests.pki import Identity


def trusted(anchor: Identity, *others: Identity) -> CaCertificates:
    offered = tuple(one.certificate for one in (anchor, *others))
    return authenticate(CaOffer("http://ca.test", None, offered), anchor.certificate, pki.NOW)


def read(
    *crls: bytes, ca: CaCertificates | None = None, issuer: Identity = CA
) -> x509.CertificateRevocationList:
    return read_crl(crls, ca or trusted(CA), issuer=issuer.name.public_bytes())


def test_crl_of_the_ca_is_read() -> None:
    found = read(crl_of(CA, revoked=[5, 7]))
    assert [entry.serial_number for entry in found] == [5, 7]


def test_newest_crl_is_taken_of_several() -> None:
    days = [pki.NOW + timedelta(days=number) for number in (1, 3, 2)]
    found = read(*(crl_of(CA, day) for day in days))
    assert found.last_update_utc == days[1]


def test_crl_of_an_ec_ca_is_read() -> None:
    ec = trusted(EC_CA, pki.ra(EC_CA))
    assert list(read(crl_of(EC_CA), ca=ec, issuer=EC_CA)) == []


def test_crl_of_a_ca_above_is_read_when_it_is_asked_for() -> None:
    below = pki.intermediate(CA)
    both = trusted(CA, below)
    assert list(read(crl_of(CA, revoked=[1]), ca=both))
    assert list(read(crl_of(below, revoked=[1]), ca=both, issuer=below))
    with pytest.raises(SignatureError):
        read(crl_of(CA), ca=both, issuer=below)


def test_crl_of_another_pinned_ca_is_read() -> None:
    now_ca = pki.root("rsa2048-c").certificate
    offer = CaOffer("http://ca.test", None, (now_ca,))
    both = authenticate(offer, now_ca, pki.NOW, others=[CA.certificate])
    assert list(read(crl_of(CA, revoked=[5]), ca=both))
    with pytest.raises(SignatureError):
        read(crl_of(CA), ca=authenticate(offer, now_ca, pki.NOW))


def test_reply_without_a_crl_is_refused() -> None:
    with pytest.raises(DecodeError, match="has no CRL"):
        read()


@pytest.mark.parametrize("data", [b"", b"\x30\x00", CA.der, crl_of(CA)[:-1], b"<html>"])
def test_what_is_no_crl_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="the CRL in the reply cannot be read"):
        read(crl_of(CA), data)


def test_crl_of_an_unknown_version_is_refused() -> None:
    tbs, algorithm, signature = odd.children(crl_of(CA))
    parts = odd.children(tbs)
    parts[0] = w.integer(7)
    with pytest.raises(DecodeError, match="cannot be read"):
        read(w.seq(w.seq(*parts), algorithm, signature))


_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")


def with_old_digest(crl: bytes, oid: str, digest: hashes.HashAlgorithm) -> bytes:
    """The same CRL of `CA`, signed with a digest that `cryptography` no longer signs with."""
    tbs, algorithm, _ = odd.children(crl)
    tbs, algorithm = (
        part.replace(_SHA256_WITH_RSA, bytes.fromhex(oid)) for part in (tbs, algorithm)
    )
    assert isinstance(CA.key, rsa.RSAPrivateKey)
    signature = CA.key.sign(tbs, padding.PKCS1v15(), digest)
    return w.seq(tbs, algorithm, b"\x03\x82\x01\x01\x00" + signature)


def test_crl_signed_with_sha_1_is_read() -> None:
    found = read(with_old_digest(crl_of(CA, revoked=[5]), "06092a864886f70d010105", hashes.SHA1()))
    assert [entry.serial_number for entry in found] == [5]


def test_forged_crl_with_sha_1_is_refused() -> None:
    good = with_old_digest(crl_of(CA, revoked=[5]), "06092a864886f70d010105", hashes.SHA1())
    with pytest.raises(SignatureError):
        read(good[:-1] + bytes((good[-1] ^ 1,)))


def test_crl_signed_with_md5_is_refused_by_that_name() -> None:
    with pytest.raises(AlgorithmError, match="signed with MD5"):
        read(with_old_digest(crl_of(CA), "06092a864886f70d010104", hashes.MD5()))


@pytest.mark.parametrize(
    "forger",
    [
        EC_CA,
        pki.certificate(CA.name, pki.key("rsa2048-b"), ca=True),
        pki.certificate(CA.name, pki.key("ec256-b"), ca=True),
    ],
    ids=["another CA", "another RSA key under the CA's name", "an EC key under the CA's name"],
)
def test_crl_that_somebody_else_signed_is_refused(forger: Identity) -> None:
    with pytest.raises(SignatureError, match="not signed by the CA that was asked for") as caught:
        read(crl_of(forger))
    assert caught.value.signer == forger.name.rfc4514_string()


def test_crl_signed_by_an_ra_with_the_cas_name_is_refused() -> None:
    ra = pki.certificate(
        CA.name,
        pki.key("rsa2048-b"),
        issuer=CA,
        ca=False,
        eku=[pki.REQUEST_AGENT],
        key_usage=pki.usage("digital_signature", "key_encipherment", "crl_sign"),
    )
    both = trusted(CA, ra)
    assert ra.certificate in both.certificates
    with pytest.raises(SignatureError):
        read(crl_of(ra), ca=both)


def test_good_crl_is_taken_from_beside_a_forged_newer_one() -> None:
    forged = pki.certificate(CA.name, pki.key("rsa2048-b"), ca=True)
    found = read(crl_of(forged, pki.NOW + timedelta(days=9)), crl_of(CA))
    assert found.last_update_utc == pki.NOW


def test_crl_whose_issuer_cannot_be_read_is_refused() -> None:
    name = CA.name.public_bytes()
    broken = crl_of(CA).replace(name, name[:-1] + b"\xff")
    with pytest.raises(SignatureError) as caught:
        read(broken)
    assert caught.value.signer == ""


# ------------------------------------------------------------------ complete, or less

URI = [x509.UniformResourceIdentifier("http://ca.test/part1.crl")]


def part(**what: Any) -> tuple[x509.ExtensionType, bool]:
    nothing = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**nothing, **what}), True


def notes(*extensions: tuple[x509.ExtensionType, bool], days: float = 0) -> list[str]:
    found = read(crl_of(CA, extensions=extensions))
    return list(crl_notes(found, pki.NOW + timedelta(days=days)))


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ((x509.DeltaCRLIndicator(3), True), "it is a delta CRL"),
        ((x509.DeltaCRLIndicator(3), False), "it is a delta CRL"),
        (part(indirect_crl=True), "it is an indirect CRL"),
        (part(only_contains_attribute_certs=True), "it is for attribute certificates"),
        (
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0"), True),
            r"it has a critical extension that is not understood here \(1\.2\.3\)",
        ),
    ],
)
def test_crl_that_is_not_complete_is_refused(
    extension: tuple[x509.ExtensionType, bool], reason: str
) -> None:
    with pytest.raises(DecodeError, match=f"cannot be used: {reason}"):
        read(crl_of(CA, extensions=[extension]))


def test_complete_crl_is_taken_from_beside_a_newer_delta() -> None:
    delta = crl_of(CA, pki.NOW + timedelta(days=2), extensions=[(x509.DeltaCRLIndicator(3), True)])
    assert read(delta, crl_of(CA)).last_update_utc == pki.NOW


def by_hand(*parts: bytes) -> bytes:
    """A CRL of CA with these parts behind thisUpdate."""
    assert isinstance(CA.key, rsa.RSAPrivateKey)
    algorithm = w.algorithm(w.SIGNATURES["sha256-rsa"], w.NULL)
    tbs = w.seq(
        w.integer(1), algorithm, CA.name.public_bytes(), w.tlv(0x17, b"260601000000Z"), *parts
    )
    signature = CA.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    return w.seq(tbs, algorithm, w.tlv(3, b"\0", signature))


def test_crl_with_extensions_that_cannot_be_read_is_refused() -> None:
    number = w.seq(w.oid("2.5.29.20"), w.octets(w.integer(1)))
    assert read(by_hand(w.tlv(0xA0, w.seq(number)))) is not None
    with pytest.raises(DecodeError, match="has extensions that cannot be read"):
        read(by_hand(w.tlv(0xA0, w.seq(number, number))))


def test_crl_that_does_not_say_when_the_next_is_due_says_so() -> None:
    (said,) = crl_notes(read(by_hand()), pki.NOW)
    assert said == "the CRL does not say when the next one is due"


def test_crl_of_a_certificate_that_may_not_sign_crls_is_refused() -> None:
    mute = pki.root(key_usage=pki.usage("key_cert_sign", "digital_signature", "key_encipherment"))
    with pytest.raises(SignatureError, match="whose key usage has no cRLSign") as caught:
        read(crl_of(mute), ca=trusted(mute))
    assert caught.value.signer.startswith("CN=Test Root CA")
    with pytest.raises(SignatureError, match="not signed by the CA"):
        read(crl_of(EC_CA), ca=trusted(mute))


def test_complete_crl_of_today_leaves_nothing_to_say() -> None:
    number = (x509.CRLNumber(7), False)
    point = (x509.FreshestCRL([x509.DistributionPoint(URI, None, None, None)]), False)
    assert notes(number, point) == []


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        (part(only_contains_user_certs=True), "for end-entity certificates only"),
        (part(only_contains_ca_certs=True), "for the certificates of CAs only"),
        (part(full_name=URI), "one of a distribution point"),
        (
            part(full_name=URI, only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),
            "only what was revoked for some of the reasons",
        ),
    ],
)
def test_crl_that_covers_a_part_is_given_and_says_so(
    extension: tuple[x509.ExtensionType, bool], said: str
) -> None:
    assert said in notes(extension)[0]


def test_crl_that_is_out_of_date_says_so() -> None:
    assert notes(days=0.5) == []
    assert "the next one was due 2026-06-02T00:00:00Z" in notes(days=1.5)[0]
    assert "in the future" in notes(days=-0.5)[0]
