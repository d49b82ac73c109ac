"""CRLs that a CA hands out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.crl import read_crl
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
