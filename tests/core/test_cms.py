"""SignedData: who signed, what counts as signed, and bundles."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import asn1, cms
from scepkit.core.algorithms import Digest
from scepkit.core.ber import to_der
from scepkit.core.certificates import CertificateView, view, view_of
from scepkit.errors import AlgorithmError, DecodeError, ScepError, SignatureError
from tests import ber_writer, mutations, pki, tokens, vectors
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests.core.exchange import CA, DEVICE, EC_CA, ISSUED, crl_of, seen, signer
from tests.pki import Identity

MODERN = [Digest.SHA1, Digest.SHA256, Digest.SHA384, Digest.SHA512]
EC384 = pki.root("ec384", "Test P-384 CA")
ATTRIBUTES = [("1.2.3", w.octets(b"x")), ("1.2.4", w.printable("y"))]


def ed25519_signer() -> tuple[cms.Signer, CertificateView]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    name = pki.name("Ed25519")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(25519)
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW + timedelta(days=1))
        .sign(key, None)
    )
    return cms.Signer(view_of(certificate), key), view_of(certificate)


def values(verified: cms.Verified) -> dict[str, list[bytes]]:
    return verified.attributes


def message(
    content: bytes | None = b"hello",
    *,
    signed: dict[str, bytes] | None = None,
    by: Identity = CA,
    **changes: Any,
) -> cms.SignedMessage:
    """A SignedData with these attributes beside contentType and messageDigest, already read."""
    attributes = w.cms_attributes(content, changes.get("digest", "sha256")) | (signed or {})
    info = w.signer_info(by, attributes.values(), **changes)
    return cms.read_signed(w.signed_data(content, [info], [by.der]))


# ------------------------------------------------------------------ signing and verifying


@pytest.mark.parametrize("digest", MODERN)
@pytest.mark.parametrize("by", [CA, EC_CA, EC384, pki.self_signed(key_name="rsa1024")])
def test_signature_of_every_digest_and_key_is_verified(by: Identity, digest: Digest) -> None:
    signed = cms.sign(b"hello", ATTRIBUTES, signer(by), digest)
    verified = cms.verify(cms.read_signed(signed), [seen(by)])
    assert verified.content == b"hello"
    assert verified.signer == seen(by)
    assert verified.digest is digest
    assert values(verified)["1.2.3"] == [w.octets(b"x")]
    assert values(verified)["1.2.4"] == [w.printable("y")]


@pytest.mark.parametrize("digest", MODERN)
def test_ed25519_signs_with_sha512_whatever_was_wanted(digest: Digest) -> None:
    by, certificate = ed25519_signer()
    verified = cms.verify(cms.read_signed(cms.sign(b"x", [], by, digest)), [certificate])
    assert verified.digest is Digest.SHA512


def test_key_in_a_token_signs() -> None:
    for by in (
        cms.Signer(seen(CA), tokens.RsaToken(pki.rsa_key())),
        cms.Signer(seen(EC_CA), tokens.EcToken(pki.ec_key())),
    ):
        signed = cms.sign(b"x", [], by, Digest.SHA256)
        assert cms.verify(cms.read_signed(signed), [by.certificate]).content == b"x"


@given(st.one_of(st.none(), st.binary(max_size=300)))
def test_content_is_read_back(content: bytes | None) -> None:
    signed = cms.sign(content, [], signer(EC_CA), Digest.SHA256)
    read = cms.read_signed(signed)
    assert read.content == content
    assert cms.verify(read, [seen(EC_CA)]).content == content


def test_what_is_written_is_der() -> None:
    for content in (None, b"", b"hello"):
        for digest in MODERN:
            signed = cms.sign(content, ATTRIBUTES, signer(CA), digest)
            assert ber_writer.der(ber_writer.parse(signed)) == signed


def test_rsa_signatures_are_named_plainly() -> None:
    # strongSwan 5.9 reads nothing else.
    (info,) = cms.read_signed(cms.sign(b"x", [], signer(CA), Digest.SHA256)).signers
    assert info.signature_algorithm == w.algorithm(w.RSA, w.NULL)
    assert info.digest_algorithm == w.algorithm(w.HASHES["sha256"][0])


def test_attributes_are_written_sorted() -> None:
    (info,) = cms.read_signed(cms.sign(b"x", ATTRIBUTES[::-1], signer(CA), Digest.SHA1)).signers
    written = asn1.split(info.signed_attrs)
    assert written == sorted(written)


def test_signers_certificate_comes_first_and_the_chain_behind_it() -> None:
    by = cms.Signer(seen(ISSUED), ISSUED.key, (CA.der, DEVICE.der))
    read = cms.read_signed(cms.sign(b"x", [], by, Digest.SHA256))
    assert read.certificates == (ISSUED.der, CA.der, DEVICE.der)


def test_md5_is_never_signed_with() -> None:
    with pytest.raises(AlgorithmError, match="MD5"):
        cms.sign(b"x", [], signer(CA), Digest.MD5)


@pytest.mark.parametrize(
    "make",
    [
        x25519.X25519PrivateKey.generate,
        ed448.Ed448PrivateKey.generate,
    ],
)
def test_key_that_cannot_sign_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(AlgorithmError, match="cannot sign SCEP messages") as caught:
        cms.sign(b"x", [], cms.Signer(seen(CA), make()), Digest.SHA256)
    assert "PrivateKey" in caught.value.algorithm


# ------------------------------------------------------------------ the one signer (A12, A16)


def test_message_without_a_signature_is_refused() -> None:
    read = cms.read_signed(w.signed_data(b"x", [], [CA.der]))
    with pytest.raises(SignatureError, match="has no signatures, expected exactly one"):
        cms.verify(read, [seen(CA)])


def test_message_with_two_good_signatures_is_refused() -> None:
    attributes = w.cms_attributes(b"x")
    infos = [w.signer_info(one, attributes.values()) for one in (CA, EC_CA)]
    read = cms.read_signed(w.signed_data(b"x", infos, [CA.der]))
    with pytest.raises(SignatureError, match="has 2 signatures, expected exactly one"):
        cms.verify(read, [seen(CA), seen(EC_CA)])


def test_signature_of_a_stranger_is_refused() -> None:
    read = message(by=EC_CA)
    with pytest.raises(SignatureError, match="not signed by any certificate it may be") as caught:
        cms.verify(read, [seen(CA)])
    assert caught.value.signer == f"serial number {EC_CA.certificate.serial_number:x}"


def test_signature_is_verified_with_nobodys_key_when_nobody_may_sign() -> None:
    with pytest.raises(SignatureError):
        cms.verify(message(), [])


def test_certificate_that_copies_the_cas_name_and_number_is_not_believed() -> None:
    # jscep takes the certificate in the message, and only its name and number from the trusted one.
    copy = pki.certificate(CA.name, pki.key("rsa2048-b"), serial=CA.certificate.serial_number)
    assert view_of(copy.certificate).issuer == seen(CA).issuer
    read = message(by=copy)
    assert cms.verify(read, [seen(copy)]).signer == seen(copy)
    with pytest.raises(SignatureError, match="the signature is broken"):
        cms.verify(read, [seen(CA)])


def test_damaged_signature_is_refused() -> None:
    signed = bytearray(cms.sign(b"hello", [], signer(CA), Digest.SHA256))
    signed[-1] ^= 1
    with pytest.raises(SignatureError, match="the signature is broken"):
        cms.verify(cms.read_signed(bytes(signed)), [seen(CA)])


def test_signer_is_found_among_several_candidates() -> None:
    candidates = [seen(EC_CA), seen(DEVICE), seen(CA), seen(ISSUED)]
    assert cms.verify(message(), candidates).signer == seen(CA)


def test_signer_may_be_named_by_its_key_identifier() -> None:
    identifier = seen(CA).subject_key_identifier
    assert identifier is not None
    read = message(sid=w.tlv(0x80, identifier))
    (info,) = read.signers
    assert seen(CA).is_named_by(info.sid)
    assert not seen(EC_CA).is_named_by(info.sid)
    assert cms.verify(read, [seen(EC_CA), seen(CA)]).signer == seen(CA)


def test_signer_named_by_another_key_identifier_is_reported() -> None:
    read = message(by=EC_CA, sid=w.tlv(0x80, b"\xab\xcd"))
    with pytest.raises(SignatureError) as caught:
        cms.verify(read, [seen(CA)])
    assert caught.value.signer == "key identifier abcd"


def test_signer_named_wrongly_is_still_verified() -> None:
    # Q53: the issuer's name in another encoding than the certificate has it.
    other = w.seq(pki.name("Somebody else").public_bytes(), w.integer(1))
    assert cms.verify(message(sid=other), [seen(CA)]).signer == seen(CA)


def test_signer_whose_number_is_no_integer_is_refused() -> None:
    read = message(sid=w.seq(CA.name.public_bytes(), w.octets(b"1")))
    with pytest.raises(DecodeError, match="serial number of an IssuerAndSerialNumber is not"):
        cms.verify(read, [seen(CA), seen(EC_CA)])


def test_candidate_with_a_malformed_key_is_passed_over() -> None:
    malformed = view(odd.der_with_part(CA, odd.SPKI, odd.UNKNOWN_KEY))
    assert cms.verify(message(), [malformed, seen(CA)]).signer == seen(CA)
    with pytest.raises(SignatureError):
        cms.verify(message(), [malformed])


# ------------------------------------------------------------------ what is signed (A16, A17, Q18)


def test_signature_over_the_content_alone_is_refused() -> None:
    content = w.tlv(0x31, *sorted(w.cms_attributes(b"evil").values()))
    info = w.signer_info(CA, None, over=content)
    with pytest.raises(SignatureError, match="no signed attributes"):
        cms.verify(cms.read_signed(w.signed_data(content, [info])), [seen(CA)])


def test_empty_signed_attributes_are_refused() -> None:
    info = w.signer_info(CA, [])
    with pytest.raises(SignatureError, match="no signed attributes"):
        cms.verify(cms.read_signed(w.signed_data(b"x", [info])), [seen(CA)])


def test_attributes_that_are_not_signed_do_not_count() -> None:
    extra = w.attribute("1.2.3", w.octets(b"x"))
    read = message(unsigned=[extra])
    assert "1.2.3" not in cms.verify(read, [seen(CA)]).attributes


def test_unsigned_attributes_of_any_form_are_passed_over() -> None:
    read = message(unsigned=[w.NULL, w.integer(5)])
    assert cms.verify(read, [seen(CA)]).content == b"hello"


def test_attribute_that_is_there_twice_is_refused() -> None:
    twice = {"one": w.attribute("1.2.3", w.integer(1)), "two": w.attribute("1.2.3", w.integer(2))}
    with pytest.raises(DecodeError, match=r"the signed attribute 1\.2\.3 is there twice"):
        cms.verify(message(signed=twice), [seen(CA)])


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        w.attribute(w.CONTENT_TYPE, w.oid(w.ENVELOPED_DATA)),
        w.attribute(w.CONTENT_TYPE),
        w.attribute(w.CONTENT_TYPE, w.oid(w.DATA), w.oid(w.ENVELOPED_DATA)),
        w.attribute(w.CONTENT_TYPE, w.printable(w.DATA)),
    ],
)
def test_content_type_that_is_not_the_signed_one_is_refused(content_type: bytes | None) -> None:
    attributes = w.cms_attributes(b"x")
    del attributes["contentType"]
    if content_type:
        attributes["contentType"] = content_type
    read = cms.read_signed(w.signed_data(b"x", [w.signer_info(CA, attributes.values())]))
    with pytest.raises(SignatureError, match="contentType"):
        cms.verify(read, [seen(CA)])


def test_content_type_cannot_be_changed_after_signing() -> None:
    info = w.signer_info(CA, w.cms_attributes(b"x").values())
    read = cms.read_signed(w.signed_data(b"x", [info], content_type=w.ENVELOPED_DATA))
    with pytest.raises(SignatureError, match="contentType"):
        cms.verify(read, [seen(CA)])


GOOD = w.octets(w.digest_of(b"x"))


@pytest.mark.parametrize(
    "digest",
    [
        None,
        w.attribute(w.MESSAGE_DIGEST),
        w.attribute(w.MESSAGE_DIGEST, GOOD, w.octets(b"")),
        w.attribute(w.MESSAGE_DIGEST, w.tlv(0x13, w.digest_of(b"x"))),
        w.attribute(w.MESSAGE_DIGEST, w.octets(w.digest_of(b"y"))),
        w.attribute(w.MESSAGE_DIGEST, w.octets(w.digest_of(b"x")[:-1])),
        w.attribute(w.MESSAGE_DIGEST, w.octets(w.digest_of(b"x", "sha1"))),
    ],
)
def test_content_of_another_digest_is_refused(digest: bytes | None) -> None:
    attributes = w.cms_attributes(b"x")
    del attributes["messageDigest"]
    if digest:
        attributes["messageDigest"] = digest
    read = cms.read_signed(w.signed_data(b"x", [w.signer_info(CA, attributes.values())]))
    with pytest.raises(SignatureError, match="the content was changed"):
        cms.verify(read, [seen(CA)])


def test_absent_and_empty_content_are_signed_alike() -> None:
    info = w.signer_info(CA, w.cms_attributes(None).values())
    for content in (None, b""):
        read = cms.read_signed(w.signed_data(content, [info]))
        assert cms.verify(read, [seen(CA)]).content == content


UNSORTED = {str(number): w.attribute(f"1.2.{99 - number}", w.NULL) for number in range(5)}


@pytest.mark.parametrize("sign_sorted", [False, True])
def test_attributes_written_unsorted_are_verified(sign_sorted: bool) -> None:
    read = message(signed=UNSORTED, sort=False, sign_sorted=sign_sorted)
    assert cms.verify(read, [seen(CA)]).content == b"hello"


def test_attribute_beyond_ber_does_not_hide_that_a_signature_is_broken() -> None:
    beyond = {"odd": w.attribute("1.2.3", w.seq(b"\xff"))}
    assert cms.verify(message(signed=beyond), [seen(CA)]).attributes["1.2.3"] == [w.seq(b"\xff")]
    with pytest.raises(SignatureError, match="broken"):
        cms.verify(message(signed=beyond, over=b"something else"), [seen(CA)])


def test_attributes_signed_in_an_order_nobody_sees_are_refused() -> None:
    read = message(signed=UNSORTED, sort=True, sign_sorted=False)
    with pytest.raises(SignatureError, match="the signature is broken"):
        cms.verify(read, [seen(CA)])


def test_attribute_changed_after_signing_is_refused() -> None:
    signed = {"x": w.attribute("1.2.3", w.integer(1))}
    attributes = w.cms_attributes(b"hello") | signed
    over = w.tlv(0x31, *sorted(attributes.values()))
    attributes["x"] = w.attribute("1.2.3", w.integer(2))
    read = cms.read_signed(
        w.signed_data(b"hello", [w.signer_info(CA, attributes.values(), over=over)])
    )
    with pytest.raises(SignatureError, match="the signature is broken"):
        cms.verify(read, [seen(CA)])


# ------------------------------------------------------------------ algorithms


@pytest.mark.parametrize(
    ("by", "digest", "signature"),
    [
        (CA, "sha1", "sha1-rsa"),
        (CA, "sha1", "oiw-sha1-rsa"),
        (CA, "sha256", "sha256-rsa"),
        (CA, "sha384", "sha384-rsa"),
        (CA, "sha512", "sha512-rsa"),
        (CA, "sha1", "pss"),
        (CA, "sha256", "pss"),
        (CA, "sha512", "pss"),
        (EC_CA, "sha1", "ecdsa-sha1"),
        (EC_CA, "sha256", "ecdsa-sha256"),
        (EC384, "sha384", "ecdsa-sha384"),
        (EC_CA, "sha512", "ecdsa-sha512"),
    ],
)
def test_signature_algorithm_of_any_name_is_verified(
    by: Identity, digest: str, signature: str
) -> None:
    read = message(by=by, digest=digest, signature=signature)
    assert cms.verify(read, [seen(by)]).digest is Digest(digest)


@pytest.mark.parametrize(
    ("digest", "signature"),
    [("sha256", "sha1-rsa"), ("sha1", "sha256-rsa"), ("sha512", "ecdsa-sha256")],
)
def test_signature_algorithm_of_another_digest_is_refused(digest: str, signature: str) -> None:
    by = EC_CA if "ecdsa" in signature else CA
    with pytest.raises(SignatureError, match="the digest algorithm is"):
        cms.verify(message(by=by, digest=digest, signature=signature), [seen(by)])


@pytest.mark.parametrize(
    ("by", "signature"),
    [(CA, "ecdsa-sha256"), (EC_CA, "rsa"), (EC_CA, "sha256-rsa"), (EC_CA, "pss")],
)
def test_signature_algorithm_of_another_kind_of_key_is_refused(
    by: Identity, signature: str
) -> None:
    with pytest.raises(SignatureError, match="the signature is broken"):
        cms.verify(message(by=by, signature=signature), [seen(by)])


def test_md5_is_read_only_on_request() -> None:
    read = message(digest="md5")
    with pytest.raises(AlgorithmError, match="MD5") as caught:
        cms.verify(read, [seen(CA)])
    assert "SHA-256" in caught.value.hint
    assert cms.verify(read, [seen(CA)], allow_legacy=True).digest is Digest.MD5


def test_unknown_digest_is_refused() -> None:
    der = w.signed_data(b"x", [w.signer_info(CA, w.cms_attributes(b"x").values())])
    sha256, sha224 = w.oid(w.HASHES["sha256"][0]), w.oid("2.16.840.1.101.3.4.2.4")
    with pytest.raises(AlgorithmError, match="SHA-224"):
        cms.verify(cms.read_signed(der.replace(sha256, sha224)), [seen(CA)])


def test_key_that_is_too_short_for_rsa_pss_is_a_signature_error() -> None:
    short = w.seq(w.integer((1 << 255) + 95), w.integer(65537))
    spki = w.seq(w.algorithm(w.RSA, w.NULL), w.tlv(0x03, b"\x00", short))
    candidate = view(odd.der_with_part(CA, odd.SPKI, spki))
    with pytest.raises(SignatureError):
        cms.verify(message(signature="pss"), [candidate])


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (w.ENVELOPED_DATA, "EnvelopedData"),
        (w.DATA, "data"),
        ("1.2.840.113549.1.7.6", "EncryptedData"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_another_content_type_is_named(content_type: str, name: str) -> None:
    message = f"not a SignedData message: its content type is {name}, expected SignedData"
    with pytest.raises(DecodeError, match=message):
        cms.read_signed(w.content_info(content_type, w.NULL))


def test_signed_data_of_garbage_is_refused() -> None:
    with pytest.raises(DecodeError, match="this is not a CertRep"):
        cms.read_signed(w.content_info(w.SIGNED_DATA, w.seq(w.integer(1))), "CertRep")


def test_signed_message_in_ber_is_read() -> None:
    signed = cms.sign(b"hello" * 50, ATTRIBUTES, signer(CA), Digest.SHA256)
    tree = ber_writer.parse(signed)
    for seed in range(50):
        read = cms.read_signed(ber_writer.ber(tree, random.Random(seed)))
        verified = cms.verify(read, [seen(CA)])
        assert verified.content == b"hello" * 50
        assert len(verified.attributes) == 4


def test_bundle_keeps_its_order() -> None:
    certificates = (ISSUED.der, CA.der, EC_CA.der, DEVICE.der)
    bundle = cms.read_bundle(cms.certs_only(certificates))
    assert bundle == cms.Bundle(certificates, ())


def test_bundle_holds_crls() -> None:
    crl = crl_of(CA)
    assert cms.read_bundle(cms.certs_only([], [crl])) == cms.Bundle((), (crl,))


def test_empty_bundle_is_read() -> None:
    assert cms.read_bundle(cms.certs_only([])) == cms.Bundle((), ())


def test_bundle_with_empty_content_is_read() -> None:
    der = w.signed_data(b"", [], [CA.der])
    assert cms.read_bundle(der).certificates == (CA.der,)


def test_bundle_passes_over_attribute_certificates() -> None:
    der = w.signed_data(None, [], [w.tlv(0xA1, w.NULL), CA.der], crls=[w.tlv(0xA1), crl_of(CA)])
    assert cms.read_bundle(der) == cms.Bundle((CA.der,), (crl_of(CA),))


def test_bundle_is_der() -> None:
    bundle = cms.certs_only([CA.der, ISSUED.der], [crl_of(CA)])
    assert ber_writer.der(ber_writer.parse(bundle)) == bundle


# ------------------------------------------------------------------ mutations


@pytest.mark.parametrize("by", [CA, EC_CA])
@mutations.examples(400)
@given(drawn=st.data())
def test_mutated_message_is_refused_or_says_the_same(by: Identity, drawn: st.DataObject) -> None:
    signed = drawn.draw(mutations.of(SIGNED[by.name]))
    try:
        verified = cms.verify(cms.read_signed(signed), [seen(by)])
    except ScepError:
        return
    assert verified.content == b"hello"
    assert in_der(verified) == in_der(cms.verify(cms.read_signed(SIGNED[by.name]), [seen(by)]))


def in_der(verified: cms.Verified) -> dict[str, list[bytes]]:
    """The signed attributes in the encoding that the signature is over."""
    return {oid: [to_der(one) for one in values] for oid, values in verified.attributes.items()}


SIGNED = {by.name: cms.sign(b"hello", ATTRIBUTES, signer(by), Digest.SHA256) for by in (CA, EC_CA)}


@mutations.examples(400)
@given(mutations.of(cms.certs_only([ISSUED.der, CA.der], [crl_of(CA)])))
def test_mutated_bundle_is_read_or_refused(bundle: bytes) -> None:
    with contextlib.suppress(ScepError):
        cms.read_bundle(bundle)


# ------------------------------------------------------------------ the RFC's own vectors


@pytest.mark.parametrize("name", ["scep_req2.der", "scep_resp2.der"])
def test_signature_of_the_rfcs_own_message_is_verified(name: str) -> None:
    read = cms.read_signed(vectors.rfc8894(name))
    (info,) = read.signers
    (by,) = [one for one in map(view, read.certificates) if one.is_named_by(info.sid)]
    verified = cms.verify(read, [by])
    assert verified.digest is Digest.SHA256
    assert verified.content == vectors.rfc8894(name.replace("2", "1"))
    # PKCS#9 randomNonce and signingTime are there too, and are none of our business.
    assert {"1.2.840.113549.1.9.25.3", "1.2.840.113549.1.9.5"} < set(verified.attributes)
