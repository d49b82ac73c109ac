"""SignedData: signing, verifying, and bundles of certificates (RFC 5652 section 5).

Rules of this file:

* A signature is verified with a key the caller chose, never with one taken from the message on its
  own word (attack A12).  `verify` returns the verified content or raises.
* Exactly one signer, and only its *signed* attributes count (A16, A17).
* What is written is DER with sorted attributes, `rsaEncryption` as the signature algorithm of RSA
  (strongSwan 5.9 reads nothing else) and one certificate first: the signer's.

Signing and verifying stay in one file, because each is only right beside the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from scepkit.core import algorithms, asn1
from scepkit.core.algorithms import Digest
from scepkit.core.ber import to_der
from scepkit.core.certificates import CertificateView, PrivateKey, read_identifier
from scepkit.errors import AlgorithmError, DecodeError, SignatureError
from scepkit.values import field, frozen

ID_DATA = "1.2.840.113549.1.7.1"
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
ID_CONTENT_TYPE = "1.2.840.113549.1.9.3"
ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"

#: Signed attributes: dotted OID -> values, encoded.
Attributes: TypeAlias = dict[str, list[bytes]]


@frozen
class Signer:
    """Who signs: a certificate, its private key, and certificates to send along (DER)."""

    certificate: CertificateView
    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()


@frozen
class SignerInfo:
    """One signature of a SignedData (RFC 5652 section 5.3); every element as it was encoded.

    Attributes:
        sid: which certificate is meant: see `CertificateView.is_named_by`.
        digest_algorithm: an AlgorithmIdentifier.
        signed_attrs: the whole ``[0]``, or b"" when there is none.
        attributes: what is in it, as (dotted OID, values).
        signature_algorithm: an AlgorithmIdentifier.
        signature: the signature's octets.
        unsigned_attrs: the whole ``[1]``, or b"" when there is none.
    """

    sid: bytes = field(repr=False)
    digest_algorithm: bytes = field(repr=False)
    signed_attrs: bytes = field(repr=False)
    attributes: tuple[tuple[str, list[bytes]], ...] = field(repr=False)
    signature_algorithm: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    unsigned_attrs: bytes = field(repr=False)


@frozen
class SignedMessage:
    """A SignedData that was read but not verified; nothing in it may be believed yet."""

    content_type: str
    content: bytes | None = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    signers: tuple[SignerInfo, ...] = field(repr=False)


@frozen
class Verified:
    """What a verified signature covers.

    `attributes` maps the dotted OID of each signed attribute to its values, encoded.
    """

    content: bytes | None = field(repr=False)
    attributes: Attributes = field(repr=False)
    signer: CertificateView
    digest: Digest


@frozen
class Bundle:
    """Certificates and CRLs (DER) of a degenerate SignedData, in the order they came."""

    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)


# ------------------------------------------------------------------ reading


def read_signed(data: bytes, what: str = "SignedData message") -> SignedMessage:
    """Read a ContentInfo holding a SignedData, DER or BER, without verifying it.

    :raises DecodeError: it is something else; `what` names the thing expected.
    """
    return asn1.read_with(_signed_message, data, what, what)


def typed_content(content_info: bytes, expected: str, what: str) -> bytes:
    """What is in a ContentInfo, which must be of the type `expected` (dotted OID).

    :param content_info: an element, as `asn1.read_with` gives it to its `parse`.
    :raises NotDerError: it is not a ContentInfo in DER.
    :raises DecodeError: it is one of another type.
    """
    content_type, content = asn1.fields(content_info, asn1.CONTENT_INFO)
    found = asn1.oid_text(content_type)
    if found != expected:
        raise DecodeError(
            f"this is not a {what}: its content type is {content_type_name(found)}, "
            f"expected {_CONTENT_TYPES[expected]}"
        )
    return asn1.within(content, asn1.SEQUENCE)


def _signed_message(content_info: bytes, what: str) -> SignedMessage:
    signed_data = typed_content(content_info, ID_SIGNED_DATA, what)
    _, _, encapsulated, certificates, crls, signers = asn1.fields(signed_data, asn1.SIGNED_DATA)
    content_type, explicit = asn1.fields(encapsulated, asn1.ENCAPSULATED_CONTENT_INFO)
    content = asn1.content_of(asn1.within(explicit, asn1.OCTET_STRING)) if explicit else None
    infos = tuple([_signer_info(info) for info in asn1.split(signers, asn1.SEQUENCE)])
    return SignedMessage(
        asn1.oid_text(content_type), content, _sequences(certificates), _sequences(crls), infos
    )


def _sequences(choices: bytes) -> tuple[bytes, ...]:
    """The certificates or CRLs of a set; its other CHOICEs are attribute certificates and such."""
    if not choices:
        return ()
    return tuple([one for one in asn1.split(choices) if one[0] == asn1.SEQUENCE])


def _signer_info(der: bytes) -> SignerInfo:
    _, sid, digest_algorithm, signed, signature_algorithm, signature, unsigned = asn1.fields(
        der, asn1.SIGNER_INFO
    )
    attributes = tuple(asn1.attributes(signed)) if signed else ()
    octets = asn1.content_of(signature)
    return SignerInfo(
        sid, digest_algorithm, signed, attributes, signature_algorithm, octets, unsigned
    )


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
    return asn1.read_with(_bundle, data, _BUNDLE)


_BUNDLE = "certificate bundle (degenerate SignedData)"


def _bundle(content_info: bytes) -> Bundle:
    signed_data = typed_content(content_info, ID_SIGNED_DATA, _BUNDLE)
    _, _, _, certificates, crls, _ = asn1.fields(signed_data, asn1.SIGNED_DATA)
    return Bundle(_sequences(certificates), _sequences(crls))


# ------------------------------------------------------------------ verifying


def only_signer(message: SignedMessage) -> SignerInfo:
    """The one SignerInfo of a message.

    :raises SignatureError: there is none, or more than one (A16).
    """
    if len(message.signers) != 1:
        raise SignatureError(
            f"the message has {len(message.signers) or 'no'} signatures, expected exactly one"
        )
    return message.signers[0]


def verify(
    message: SignedMessage,
    candidates: Sequence[CertificateView],
    *,
    allow_legacy: bool = False,
    stranger_hint: str = "",
) -> Verified:
    """Verify the one signature of a message with one of the candidates' keys.

    The candidate that the message names is tried first, then the others: some servers write the
    issuer's name in another encoding than the certificate has it (Q53), and every candidate is a
    certificate the caller would believe.

    :param allow_legacy: read MD5 too.
    :param stranger_hint: the hint of the error when none of the candidates is the signer.
    :raises SignatureError: no candidate made it, it is broken, or it covers too little.
    :raises AlgorithmError: the digest or signature algorithm is refused or unknown.
    :raises DecodeError: signed attributes are malformed.
    """
    info = only_signer(message)
    algorithm, digest = _algorithms(info, allow_legacy)
    attributes = _signed_attributes(info)
    _check_content(message, attributes, digest)
    if len(candidates) > 1:
        candidates = sorted(candidates, key=lambda one: not one.is_named_by(info.sid))
    for candidate in candidates:
        if _signed_by(candidate, info, algorithm, digest):
            return Verified(message.content, attributes, candidate, digest)
    if any(candidate.is_named_by(info.sid) for candidate in candidates):
        raise SignatureError(
            "the signature is broken: it was not made with the key of the certificate it names",
            signer=_signer_text(info),
        )
    raise SignatureError(
        "the message is not signed by any certificate it may be signed by",
        signer=_signer_text(info),
        hint=stranger_hint,
    )


def _signer_text(info: SignerInfo) -> str:
    identifier = read_identifier(info.sid)
    if isinstance(identifier, bytes):
        return f"key identifier {identifier.hex()}"
    return f"serial number {identifier[1]:x}"


def _algorithms(info: SignerInfo, allow_legacy: bool) -> tuple[str, Digest]:
    """The OID of the signature algorithm, and the digest."""
    digest_oid, _ = asn1.split_algorithm(info.digest_algorithm, "digest algorithm")
    digest = algorithms.digest_for_oid(digest_oid, allow_legacy=allow_legacy)
    signature_oid, _ = asn1.split_algorithm(info.signature_algorithm, "signature algorithm")
    named = algorithms.signature_digest(signature_oid)
    if named is not None and named is not digest:
        raise SignatureError(
            f"the signature algorithm uses {named.value}, the digest algorithm is {digest.value}"
        )
    return signature_oid, digest


def _signed_attributes(info: SignerInfo) -> Attributes:
    if not info.attributes:
        # Without them a signature over attributes can be passed off as one over content (A17).
        raise SignatureError("the signature covers no signed attributes, which SCEP requires")
    attributes = dict(info.attributes)
    if len(attributes) < len(info.attributes):
        oids = [oid for oid, _ in info.attributes]
        twice = next(oid for oid in oids if oids.count(oid) > 1)
        raise DecodeError(f"the signed attribute {twice} is there twice")
    return attributes


def _check_content(message: SignedMessage, attributes: Attributes, digest: Digest) -> None:
    if attributes.get(ID_CONTENT_TYPE) != [asn1.oid_der(message.content_type)]:
        raise SignatureError(
            "the signed contentType attribute is missing or is not the type of the content"
        )
    # An absent content counts as empty (RFC 8894 section 3: FAILURE and PENDING have none; G3).
    expected = asn1.element(asn1.OCTET_STRING, digest.of(message.content or b""))
    if attributes.get(ID_MESSAGE_DIGEST) != [expected]:
        raise SignatureError("the content was changed: its digest is not the signed one")


def _signed_by(
    candidate: CertificateView, info: SignerInfo, algorithm: str, digest: Digest
) -> bool:
    """Whether the candidate's key made the signature, over what was sent or sorted (Q18)."""
    try:
        key = candidate.public_key()
    except AlgorithmError:
        return False
    as_sent = _SET + info.signed_attrs[1:]
    if _is_signature(key, algorithm, info.signature, as_sent, digest):
        return True
    # The standard wants it over the attributes in the order of DER, whatever order they come in.
    ordered = _in_der_order(as_sent)
    return ordered != as_sent and _is_signature(key, algorithm, info.signature, ordered, digest)


_SET = bytes((asn1.SET,))


def _in_der_order(attributes: bytes) -> bytes:
    try:
        return to_der(attributes)
    except DecodeError:
        return attributes  # a value that nobody looks at is beyond BER


_PKCS1V15 = padding.PKCS1v15()


def _is_signature(
    key: PublicKeyTypes, oid: str, signature: bytes, signed: bytes, digest: Digest
) -> bool:
    try:
        match key:
            case rsa.RSAPublicKey() if (
                oid == algorithms.OID_RSA_ENCRYPTION or oid in algorithms.RSA_SIGNATURES
            ):
                key.verify(signature, signed, _PKCS1V15, digest.hash())
            case rsa.RSAPublicKey() if oid == algorithms.OID_RSA_PSS:
                pss = padding.PSS(padding.MGF1(digest.hash()), padding.PSS.AUTO)
                key.verify(signature, signed, pss, digest.hash())
            case ec.EllipticCurvePublicKey() if oid in algorithms.ECDSA_SIGNATURES:
                key.verify(signature, signed, ec.ECDSA(digest.hash()))
            case ed25519.Ed25519PublicKey() if oid == algorithms.OID_ED25519:
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        # ValueError: RSA-PSS with a key that is too short for the digest.
        return False
    return True


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
    octets = asn1.element(asn1.OCTET_STRING, digest.of(content or b""))
    signed_attributes = [asn1.attribute(oid, value) for oid, value in attributes]
    signed_attributes += (_DATA_ATTRIBUTE, asn1.attribute(ID_MESSAGE_DIGEST, octets))
    # DER sorts a SET OF by the encoded elements, and the signature is over that order.
    signed_attributes.sort()
    to_be_signed = asn1.element(asn1.SET, *signed_attributes)
    signature_algorithm, signature = _sign_with(signer.key, to_be_signed, digest)
    certificate = signer.certificate
    digest_algorithm = _digest_algorithm(digest)
    info = asn1.element(
        asn1.SEQUENCE,
        _VERSION_1,
        certificate.issuer_and_serial,
        digest_algorithm,
        _SIGNED_ATTRS + to_be_signed[1:],
        signature_algorithm,
        asn1.element(asn1.OCTET_STRING, signature),
    )
    return asn1.content_info(
        ID_SIGNED_DATA,
        asn1.element(
            asn1.SEQUENCE,
            _VERSION_1,
            asn1.element(asn1.SET, digest_algorithm),
            _data(content),
            asn1.element(0xA0, certificate.der, *signer.chain),
            asn1.element(asn1.SET, info),
        ),
    )


def _data(content: bytes | None) -> bytes:
    """The encapContentInfo around what is signed."""
    if content is None:
        return asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_DATA))
    explicit = asn1.element(0xA0, asn1.element(asn1.OCTET_STRING, content))
    return asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_DATA), explicit)


_VERSION_1 = b"\x02\x01\x01"
_SIGNED_ATTRS = b"\xa0"
_DATA_ATTRIBUTE = asn1.attribute(ID_CONTENT_TYPE, asn1.oid_der(ID_DATA))


def _digest_algorithm(digest: Digest) -> bytes:
    # RFC 5754 section 2: SHA-2 without parameters; RFC 3370: SHA-1 with NULL for old readers.
    return asn1.algorithm(digest.oid, asn1.NULL if digest is Digest.SHA1 else b"")


def _sign_with(key: PrivateKey, data: bytes, digest: Digest) -> tuple[bytes, bytes]:
    match key:
        case rsa.RSAPrivateKey():
            signature = key.sign(data, _PKCS1V15, digest.hash())
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
    return asn1.content_info(
        ID_SIGNED_DATA,
        asn1.element(
            asn1.SEQUENCE,
            _NOTHING_SIGNED,
            asn1.element(0xA0, *certificates) if certificates else b"",
            asn1.element(0xA1, *crls) if crls else b"",
            _EMPTY_SET,
        ),
    )


_EMPTY_SET = asn1.element(asn1.SET)
# Version, no digest algorithms, no content.
_NOTHING_SIGNED = _VERSION_1 + _EMPTY_SET + asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_DATA))
