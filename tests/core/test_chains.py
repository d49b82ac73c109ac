"""core.chains: what is read of a certificate, and who signed it (paths: test_ca_certificates)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from scepkit.core.chains import Facts, anchor_link, grow, issue_fault
from scepkit.core.signed import verify_signature
from tests import odd_certificates as odd
from tests import pki

ROOT = pki.root()
ISSUING = pki.intermediate(ROOT)


@pytest.mark.parametrize(
    "device", [pki.device(ISSUING), odd.with_sha1(pki.device(ISSUING), ISSUING)]
)
def test_an_issuer_with_the_right_key_and_another_name_is_not_the_issuer(
    device: pki.Identity,
) -> None:
    renamed = pki.root("rsa2048-b", "Other name")
    assert not issue_fault(Facts(device.certificate), Facts(ISSUING.certificate))
    assert issue_fault(Facts(device.certificate), Facts(renamed.certificate))


def test_without_a_date_ways_out_of_date_are_as_good_as_others() -> None:
    late = pki.intermediate(ROOT, not_after=pki.NOW)
    links, faults = grow([anchor_link(Facts(ROOT.certificate))], [Facts(late.certificate)], None)
    assert links[late.certificate].path() == (late.certificate, ROOT.certificate)
    assert not faults


def test_a_certificate_further_up_with_the_same_name_and_key_is_a_repetition() -> None:
    back = pki.certificate(ROOT.name, ROOT.key, issuer=ISSUING, ca=True)
    below = Facts(pki.intermediate(ROOT, path_length=1).certificate)
    top = anchor_link(Facts(ROOT.certificate))
    links, _ = grow([top], [below, Facts(back.certificate)], None)
    assert links[back.certificate].repeats
    assert not links[below.certificate].repeats
    assert not top.repeats


def test_a_signature_algorithm_that_is_another_inside_than_outside_is_refused() -> None:
    device = pki.device(ISSUING)
    inner = odd.element(0x30, bytes.fromhex("06092a864886f70d01010c"), b"\x05\x00")
    # Signed as it stands, with SHA-256, while the signed part says SHA-384.
    tbs, algorithm, _ = odd.children(device.der)
    parts = odd.children(tbs)
    parts[odd.ALGORITHM] = inner
    content = odd.element(0x30, *parts)
    assert isinstance(ISSUING.key, rsa.RSAPrivateKey)
    signature = ISSUING.key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    der = odd.element(0x30, content, algorithm, odd.element(0x03, b"\x00", signature))
    forged = Facts(x509.load_der_x509_certificate(der))
    assert "was not signed with the key" in issue_fault(forged, Facts(ISSUING.certificate))


def test_a_signature_with_md5_or_of_an_unknown_kind_is_none() -> None:
    key = ROOT.certificate.public_key()
    for oid in ("1.2.840.113549.1.1.4", "1.2.3"):
        with pytest.raises(InvalidSignature):
            verify_signature(key, oid, ROOT.certificate.signature, b"")


def test_what_an_ed25519_ca_has_issued_is_verified() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    device = (
        x509.CertificateBuilder(ROOT.name, pki.name("device1"), pki.key().public_key(), 1)
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW)
        .sign(key, None)
    )
    issuers = [
        pki.certificate(ROOT.name, pki.key(), ca=True).certificate,
        x509.CertificateBuilder(ROOT.name, ROOT.name, key.public_key(), 2)
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW)
        .sign(key, None),
    ]
    faults = [issue_fault(Facts(device), Facts(issuer)) for issuer in issuers]
    assert [bool(fault) for fault in faults] == [True, False]


NO_CA = bytes.fromhex("0603551d130101ff04023000")  # empty basicConstraints, but for their SEQUENCE


@pytest.mark.parametrize(
    "subject",
    [
        pki.intermediate(ROOT),
        pki.certificate(
            ROOT.name,
            pki.key(),
            issuer=ROOT,
            ca=True,
            san=[x509.OtherName(x509.ObjectIdentifier("1.2.3"), odd.element(0x04, NO_CA))],
        ),
    ],
)
def test_a_ca_is_one_whatever_else_stands_in_its_certificate(subject: pki.Identity) -> None:
    assert Facts(subject.certificate).is_ca


@pytest.mark.parametrize(
    "subject",
    [
        pki.device(ROOT),
        pki.certificate(ROOT.name, pki.key(), issuer=ROOT, ca=False),
        pki.certificate(
            ROOT.name,
            pki.key(),
            issuer=ROOT,
            ca=False,
            san=[x509.OtherName(x509.ObjectIdentifier("1.2.3"), odd.element(0x04, NO_CA))],
        ),
    ],
)
def test_what_does_not_say_so_is_no_ca(subject: pki.Identity) -> None:
    assert not Facts(subject.certificate).is_ca
