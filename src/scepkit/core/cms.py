"""SignedData: signing, verifying, and bundles of certificates (RFC 5652 section 5).

Rules of this file:

* A signature is verified with a key the caller chose, never with one taken from the message on its
  own word (attack A12).  `verify` returns the verified content or raises.
* Exactly one signer, and only its *signed* attributes count (A16, A17).
* What is written is DER with sorted attributes, `rsaEncryption` as the signature algorithm of RSA
  (strongSwan 5.9 reads nothing else) and one certificate first: the signer's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from scepkit.core import algorithms, asn1
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import CertificateView, PrivateKey
from scepkit.errors import AlgorithmError, DecodeError, SignatureError

ID_DATA = "1.2.840.113549.1.7.1"
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
ID_CONTENT_TYPE = "1.2.840.113549.1.9.3"
ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"

_SEQUENCE = 0x30
_SET = 0x31

#: Signed attributes: dotted OID -> values.
Attributes: TypeAlias = dict[str, tuple[asn1.TLV, ...]]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: a certificate, its private key, and certificates to send along (DER)."""

    certificate: CertificateView
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A SignedData that was read but not verified; nothing in it may be believed yet."""

    content_type: str
    content: bytes | None = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    signers: tuple[asn1.SignerInfo, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified signature covers.

    `attributes` maps the dotted OID of each signed attribute to its values.
    """

    content: bytes | None = field(repr=False)
    attributes: Attributes = field(repr=False)
    signer: CertificateView
    digest: Digest


@dataclass(frozen=True, slots=True)
class Bundle:
    """Certificates and CRLs (DER) of a degenerate SignedData, in the order they came."""

    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)


# ------------------------------------------------------------------ reading


def read_signed(data: bytes, what: str = "SignedData message") -> SignedMessage:
    """Read a ContentInfo holding a SignedData, DER or BER, without verifying it.

    :raises DecodeError: it is something else; `what` names the thing expected.
    """
    content = read_content_info(data, ID_SIGNED_DATA, what)
    signed = asn1.read_tlv(asn1.SignedData, content, what)
    return SignedMessage(
        content_type=signed.encap_content_info.content_type.dotted_string,
        content=signed.encap_content_info.content,
        certificates=tuple(
            asn1.whole(choice)
            for choice in signed.certificates or ()
            if asn1.tag_of(choice) == _SEQUENCE  # the other CHOICEs are attribute certificates
        ),
        crls=tuple(
            asn1.whole(choice) for choice in signed.crls or () if asn1.tag_of(choice) == _SEQUENCE
        ),
        signers=tuple(signed.signer_infos.as_list()),
    )


def read_content_info(data: bytes, expected: str, what: str) -> asn1.TLV:
    """The content of a ContentInfo, which must be of the type `expected` (dotted OID).

    :raises DecodeError: it is not a ContentInfo, or one of another type.
    """
    info = asn1.read(asn1.ContentInfo, data, what)
    found = info.content_type.dotted_string
    if found != expected:
        raise DecodeError(
            f"this is not a {what}: its content type is {content_type_name(found)}, "
            f"expected {_CONTENT_TYPES[expected]}"
        )
    return info.content


_CONTENT_TYPES = {
    ID_DATA: "data",
    ID_SIGNED_DATA: "SignedData",
    ID_ENVELOPED_DATA: "EnvelopedData",
    "1.2.840.113549.1.7.5": "DigestedData",
    "1.2.840.113549.1.7.6": "EncryptedData",
    "1.2.840.113549.1.9.16.1.23": "AuthEnvelopedData",
}


def content_type_name(oid: str) -> str:
    """The name of a CMS content type, such as ``SignedData``, or its OID."""
    return _CONTENT_TYPES.get(oid, oid)


def read_bundle(data: bytes) -> Bundle:
    """Read a degenerate SignedData (RFC 8894 section 3.4), DER or BER.

    Content and signers are not looked at: what is in it must be authenticated by the caller.

    :raises DecodeError: it is not a SignedData.
    """
    signed = read_signed(data, "certificate bundle (degenerate SignedData)")
    return Bundle(certificates=signed.certificates, crls=signed.crls)


# ------------------------------------------------------------------ verifying


def signer_matches(info: asn1.SignerInfo, certificate: CertificateView) -> bool:
    """Whether the SignerInfo says it was made with this certificate's key."""
    sid = info.sid
    if isinstance(sid, bytes):
        return sid == certificate.subject_key_identifier
    return (
        asn1.integer_value(sid.serial_number, "signer's serial number")
        == certificate.serial_number
        and asn1.whole(sid.issuer) == certificate.issuer
    )


def only_signer(message: SignedMessage) -> asn1.SignerInfo:
    """The one SignerInfo of a message.

    :raises SignatureError: there is none, or more than one (A16).
    """
    if len(message.signers) != 1:
        raise SignatureError(
            f"the message has {len(message.signers) or 'no'} signatures, expected exactly one"
        )
    return message.signers[0]


def verify(
    message: SignedMessage, candidates: Sequence[CertificateView], *, allow_legacy: bool = False
) -> Verified:
    """Verify the one signature of a message with one of the candidates' keys.

    The candidate that the message names is tried first, then the others: some servers write the
    issuer's name in another encoding than the certificate has it (Q53), and every candidate is a
    certificate the caller would believe.

    :param allow_legacy: read MD5 too.
    :raises SignatureError: no candidate made it, it is broken, or it covers too little.
    :raises AlgorithmError: the digest or signature algorithm is refused or unknown.
    :raises DecodeError: signed attributes are malformed.
    """
    info = only_signer(message)
    digest = _signature_digest(info, allow_legacy)
    attributes = _signed_attributes(info)
    _check_content(message, attributes, digest)
    encoded = [asn1.write(attribute) for attribute in info.signed_attrs or ()]
    if len(candidates) > 1:
        candidates = sorted(candidates, key=lambda one: not signer_matches(info, one))
    for candidate in candidates:
        if _signed_by(candidate, info, encoded, digest):
            return Verified(
                content=message.content, attributes=attributes, signer=candidate, digest=digest
            )
    raise SignatureError(
        "the signature is broken: it was not made with the key of the certificate it names"
        if any(signer_matches(info, candidate) for candidate in candidates)
        else "the message is not signed by any certificate it may be signed by",
        signer=_signer_text(info),
    )


def _signer_text(info: asn1.SignerInfo) -> str:
    if isinstance(info.sid, bytes):
        return f"key identifier {info.sid.hex()}"
    serial = asn1.integer_value(info.sid.serial_number, "signer's serial number")
    return f"serial number {serial:x}"


def _signature_digest(info: asn1.SignerInfo, allow_legacy: bool) -> Digest:
    digest_oid, _ = asn1.split_algorithm(info.digest_algorithm, "digest algorithm")
    digest = algorithms.digest_for_oid(digest_oid, allow_legacy=allow_legacy)
    signature_oid, _ = asn1.split_algorithm(info.signature_algorithm, "signature algorithm")
    named = algorithms.RSA_SIGNATURES.get(signature_oid) or algorithms.ECDSA_SIGNATURES.get(
        signature_oid
    )
    if named is not None and named is not digest:
        raise SignatureError(
            f"the signature algorithm uses {named.value}, the digest algorithm is {digest.value}"
        )
    return digest


def _signed_attributes(info: asn1.SignerInfo) -> Attributes:
    if not info.signed_attrs:
        # Without them a signature over attributes can be passed off as one over content (A17).
        raise SignatureError("the signature covers no signed attributes, which SCEP requires")
    attributes: Attributes = {}
    for attribute in info.signed_attrs:
        name = attribute.type.dotted_string
        if name in attributes:
            raise DecodeError(f"the signed attribute {name} is there twice")
        attributes[name] = tuple(attribute.values.as_list())
    return attributes


def _check_content(
    message: SignedMessage, attributes: Attributes, digest: Digest
) -> None:
    types = attributes.get(ID_CONTENT_TYPE, ())
    if len(types) != 1 or asn1.whole(types[0]) != asn1.oid_der(message.content_type):
        raise SignatureError(
            "the signed contentType attribute is missing or is not the type of the content"
        )
    # An absent content counts as empty (RFC 8894 section 3: FAILURE and PENDING have none; G3).
    digests = attributes.get(ID_MESSAGE_DIGEST, ())
    if (
        len(digests) != 1
        or asn1.tag_of(digests[0]) != 0x04
        or not hmac.compare_digest(
            asn1.content_of(digests[0]), digest.of(message.content or b"")
        )
    ):
        raise SignatureError("the content was changed: its digest is not the signed one")


def _signed_by(
    candidate: CertificateView, info: asn1.SignerInfo, encoded: list[bytes], digest: Digest
) -> bool:
    """Whether the candidate's key made the signature, over the order sent or sorted (Q18)."""
    try:
        key = candidate.public_key()
    except AlgorithmError:
        return False
    oid, _ = asn1.split_algorithm(info.signature_algorithm, "signature algorithm")
    for order in (encoded, sorted(encoded)) if encoded != sorted(encoded) else (encoded,):
        signed = asn1.element(_SET, b"".join(order))
        try:
            _verify_with(key, oid, info.signature, signed, digest)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            # ValueError: RSA-PSS with a key that is too short for the digest.
            continue
        return True
    return False


def _verify_with(
    key: PublicKeyTypes, oid: str, signature: bytes, signed: bytes, digest: Digest
) -> None:
    match key:
        case rsa.RSAPublicKey() if (
            oid == algorithms.OID_RSA_ENCRYPTION or oid in algorithms.RSA_SIGNATURES
        ):
            key.verify(signature, signed, padding.PKCS1v15(), digest.hash())
        case rsa.RSAPublicKey() if oid == algorithms.OID_RSA_PSS:
            pss = padding.PSS(padding.MGF1(digest.hash()), padding.PSS.AUTO)
            key.verify(signature, signed, pss, digest.hash())
        case ec.EllipticCurvePublicKey() if oid in algorithms.ECDSA_SIGNATURES:
            key.verify(signature, signed, ec.ECDSA(digest.hash()))
        case ed25519.Ed25519PublicKey() if oid == algorithms.OID_ED25519:
            key.verify(signature, signed)
        case _:
            raise InvalidSignature


# ------------------------------------------------------------------ writing


def sign(
    content: bytes | None,
    attributes: Sequence[tuple[str, bytes]],
    signer: Signer,
    digest: Digest,
) -> bytes:
    """Make a signed ContentInfo (DER) around `content`, which is of type id-data.

    :param content: None leaves eContent out (RFC 8894 section 3).
    :param attributes: signed attributes as (dotted OID, encoded value); contentType and
        messageDigest are added here.
    :raises AlgorithmError: the key is of a kind that cannot sign here, or the digest is MD5.
    """
    if isinstance(signer.key, ed25519.Ed25519PrivateKey):
        digest = Digest.SHA512  # RFC 8419 section 3.1
    algorithms.accept_digest(digest)
    signed_attributes = [
        _attribute(ID_CONTENT_TYPE, asn1.oid_der(ID_DATA)),
        _attribute(ID_MESSAGE_DIGEST, asn1.element(0x04, digest.of(content or b""))),
        *(_attribute(oid, value) for oid, value in attributes),
    ]
    # DER sorts a SET OF by the encoded elements, and the signature is over that order.
    signed_attributes.sort()
    signature_algorithm, signature = _sign_with(
        signer.key, asn1.element(_SET, *signed_attributes), digest
    )
    certificate = signer.certificate
    digest_algorithm = _digest_algorithm(digest)
    info = asn1.element(
        _SEQUENCE,
        _VERSION_1,
        asn1.issuer_and_serial(certificate.issuer, certificate.serial_number),
        digest_algorithm,
        asn1.element(0xA0, *signed_attributes),
        signature_algorithm,
        asn1.element(0x04, signature),
    )
    return _signed_data(content, (certificate.der, *signer.chain), (), info, digest_algorithm)


_VERSION_1 = b"\x02\x01\x01"


def _attribute(oid: str, value: bytes) -> bytes:
    return asn1.element(_SEQUENCE, asn1.oid_der(oid), asn1.element(_SET, value))


def _digest_algorithm(digest: Digest) -> bytes:
    # RFC 5754 section 2: SHA-2 without parameters; RFC 3370: SHA-1 with NULL for old readers.
    return asn1.algorithm(digest.oid, asn1.NULL if digest is Digest.SHA1 else b"")


def _sign_with(key: PrivateKey, data: bytes, digest: Digest) -> tuple[bytes, bytes]:
    match key:
        case rsa.RSAPrivateKey():
            signature = key.sign(data, padding.PKCS1v15(), digest.hash())
            return asn1.algorithm(algorithms.OID_RSA_ENCRYPTION, asn1.NULL), signature
        case ec.EllipticCurvePrivateKey():
            signature = key.sign(data, ec.ECDSA(digest.hash()))
            return asn1.algorithm(algorithms.ECDSA_OIDS[digest]), signature
        case ed25519.Ed25519PrivateKey():
            return asn1.algorithm(algorithms.OID_ED25519), key.sign(data)
    raise AlgorithmError(
        f"a {type(key).__name__} cannot sign SCEP messages; expected an RSA, EC or Ed25519 key",
        algorithm=type(key).__name__,
    )


def certs_only(certificates: Sequence[bytes], crls: Sequence[bytes] = ()) -> bytes:
    """Make a degenerate SignedData (RFC 8894 section 3.4) of certificates and CRLs in DER.

    The order given is kept, though DER would sort a SET: clients take the first certificate for
    the issued one.
    """
    return _signed_data(None, certificates, crls)


def _signed_data(
    content: bytes | None,
    certificates: Sequence[bytes],
    crls: Sequence[bytes],
    signer_info: bytes = b"",
    digest_algorithm: bytes = b"",
) -> bytes:
    e_content = b"" if content is None else asn1.element(0xA0, asn1.element(0x04, content))
    return asn1.content_info(
        ID_SIGNED_DATA,
        asn1.element(
            _SEQUENCE,
            _VERSION_1,
            asn1.element(_SET, digest_algorithm),
            asn1.element(_SEQUENCE, asn1.oid_der(ID_DATA), e_content),
            asn1.element(0xA0, *certificates) if certificates else b"",
            asn1.element(0xA1, *crls) if crls else b"",
            asn1.element(_SET, signer_info),
        ),
    )
