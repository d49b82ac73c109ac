"""Certification requests (PKCS#10, RFC 2986): reading them.

The rules of this file: what peers send is read as far as it can be used, with the request info kept
byte for byte because the signature covers it; the challenge password is in no repr and no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from scepkit.core import asn1
from scepkit.core.algorithms import OID_RSA_ENCRYPTION
from scepkit.core.certificates import load_public_key, public_key_der
from scepkit.core.pem import is_pem, pem_blocks
from scepkit.core.sentnames import plain_name, read_encoded
from scepkit.core.signed import check_signature, plain_request
from scepkit.core.strings import text_value
from scepkit.errors import DecodeError
from scepkit.values import field, frozen, kept

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ID_CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"  # noqa: S105 - an OID
ID_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
#: The same by Microsoft, older than PKCS#9's and still written by Windows.
ID_MS_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14"

_REQUEST = "certification request (PKCS#10)"
_RSA_ALGORITHM = asn1.algorithm(OID_RSA_ENCRYPTION, asn1.NULL)
_PEM_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


@frozen(eq=False)
class ParsedCsr:
    """A certification request as it was received.

    Attributes:
        der: the whole request.
        request_info_der: its signed part.
        subject_der: the subject as it was sent.
        spki_der: the public key as it was sent (SubjectPublicKeyInfo).
        public_key: the public key.
        challenge: the challengePassword, or None when there is none.  Compare it with
            ``hmac.compare_digest``.
        extensions: the requested extensions, or None when none are requested.
        signature_algorithm_der: an AlgorithmIdentifier.
        signature: the signature's bits; whole bytes.
    """

    der: bytes = field(repr=False)
    request_info_der: bytes = field(repr=False)
    subject_der: bytes = field(repr=False)
    spki_der: bytes = field(repr=False)
    public_key: PublicKeyTypes
    challenge: str | None = field(repr=False)
    extensions: x509.Extensions | None = field(repr=False)
    signature_algorithm_der: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def subject(self) -> x509.Name | None:
        """The subject as an object, or None when it cannot be issued (`sentnames.read_name`)."""
        return None if self._issuable is None else self._issuable[0]

    @property
    def issuable_subject_der(self) -> bytes | None:
        """The encoding of `subject`: as it was sent, unless its string types cannot be issued."""
        if self._plain_subject is not None:
            return self.subject_der
        return None if self._issuable is None else self._issuable[1]

    @property
    def subject_values(self) -> tuple[tuple[str, str | bytes], ...] | None:
        """The attributes of `subject`, one after the other: dotted OIDs and values."""
        if self._plain_subject is not None:
            return self._plain_subject
        name = self.subject
        return None if name is None else tuple([(a.oid.dotted_string, a.value) for a in name])

    @kept
    def _plain_subject(self) -> tuple[tuple[str, str], ...] | None:
        return plain_name(self.subject_der)

    @kept
    def _issuable(self) -> tuple[x509.Name, bytes] | None:
        return read_encoded(self.subject_der)

    @kept
    def public_key_der(self) -> bytes:
        """The public key in the one encoding of `certificates.public_key_der`."""
        # OpenSSL's encoder is slow.  `cryptography` loads keys from strict DER, in which an RSA key
        # has no other encoding once its algorithm is this (a length of four octets before it).
        if self.spki_der.startswith(_RSA_ALGORITHM, 4):
            return self.spki_der
        return public_key_der(self.public_key)

    def check_signature(self) -> None:
        """Return if the request is signed with its own key (proof of possession), else raise.

        It returns None, never a truth value.

        :raises SignatureError: it is not.
        :raises AlgorithmError: it is signed with MD5 or an algorithm that is not supported.
        """
        check_signature(
            self.request_info_der,
            self.signature_algorithm_der,
            self.signature,
            key=self.public_key,
            spki=self.spki_der,
            what="certification request",
        )


@frozen(eq=False)
class UnreadCsr:
    """A certification request before anything is read of it but what verifies it (`unread_csr`).

    Attributes:
        der, request_info_der, subject_der, spki_der, signature_algorithm_der, signature: as of a
            `ParsedCsr`.
        attributes: each as it was sent.
    """

    der: bytes = field(repr=False)
    request_info_der: bytes = field(repr=False)
    subject_der: bytes = field(repr=False)
    spki_der: bytes = field(repr=False)
    signature_algorithm_der: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    attributes: list[bytes] = field(repr=False)

    def check_signature(self, key: PublicKeyTypes) -> None:
        """As `ParsedCsr.check_signature`.

        :param key: the one in the request, loaded.
        """
        check_signature(
            self.request_info_der,
            self.signature_algorithm_der,
            self.signature,
            key=key,
            spki=self.spki_der,
            what="certification request",
        )

    def read(self, key: PublicKeyTypes) -> ParsedCsr:
        """Read the attributes.

        :param key: the one in the request, loaded.
        :raises DecodeError: one of them is malformed or there twice.
        """
        challenge, extensions = _known_attributes(self.attributes)
        return ParsedCsr(
            der=self.der,
            request_info_der=self.request_info_der,
            subject_der=self.subject_der,
            spki_der=self.spki_der,
            public_key=key,
            challenge=None if challenge is None else text_value(challenge, "challengePassword"),
            extensions=None if extensions is None else _extensions(extensions, self.spki_der),
            signature_algorithm_der=self.signature_algorithm_der,
            signature=self.signature,
        )


def read_csr(data: bytes) -> ParsedCsr:
    """Read a certification request: DER, BER, or PEM.

    What is tolerated beyond RFC 2986: any string type in challengePassword (Q19), characters that a
    string type does not allow, absent attributes, unsorted sets, any version, Microsoft's OID for
    requested extensions.  BER may have up to 120 elements, and a request up to 64 attributes.  The
    signature is not checked: see `ParsedCsr.check_signature`.

    :raises DecodeError: it is not a certification request, or an attribute in it is malformed or
        there twice.
    :raises AlgorithmError: the public key is malformed or of a kind that is not supported.
    """
    unread = unread_csr(data)
    return unread.read(load_public_key(unread.spki_der))


def unread_csr(data: bytes) -> UnreadCsr:
    """Take a certification request apart, as far as its signature can be checked.

    For a server: reading thousands of names takes milliseconds, which would tell that what it has
    decrypted made sense (A2), so it asks first whose key has signed them.

    :param data: as of `read_csr`.
    :raises DecodeError: it is not a certification request.
    """
    der, info, algorithm, signature, subject, spki, attributes = asn1.read_with(
        _request_parts, _der_of(data), _REQUEST, max_elements=asn1.MAX_ENCRYPTED_ELEMENTS
    )
    if signature[:1] != b"\x00":
        raise DecodeError(f"the signature of the {_REQUEST} is not whole bytes")
    return UnreadCsr(der, info, subject, spki, algorithm, signature[1:], attributes)


#: A request has two or three.
_MAX_ATTRIBUTES = 64


def _request_parts(der: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes, list[bytes]]:
    """The request itself, then what is in it, with its attributes one by one."""
    info, algorithm, signature = asn1.fields(der, asn1.CERTIFICATION_REQUEST)
    _, subject, spki, attributes = asn1.fields(info, asn1.CERTIFICATION_REQUEST_INFO)
    separate = asn1.split(attributes, limit=_MAX_ATTRIBUTES) if attributes else []
    return der, info, algorithm, asn1.content_of(signature), subject, spki, separate


def challenge_element(der: bytes) -> bytes | None:
    """The challengePassword as it is encoded in a request, or None when there is none.

    :raises DecodeError: it is not a certification request.
    """
    *_, attributes = asn1.read_with(_request_parts, der, _REQUEST)
    return _known_attributes(attributes)[0]


def _der_of(data: bytes) -> bytes:
    if data[:1] == b"0" or not is_pem(data):
        return data
    blocks = pem_blocks(data)
    requests = [block.der for block in blocks if block.label in _PEM_LABELS]
    if len(requests) != 1:
        raise DecodeError(
            f"there are {len(requests)} certification requests in this PEM file, expected one; it "
            f"has: {', '.join(block.label for block in blocks)}"
        )
    return requests[0]


def _known_attributes(attributes: list[bytes]) -> tuple[bytes | None, bytes | None]:
    """The values of challengePassword and of the extension request, encoded; None for absent."""
    found: dict[str, bytes] = {}
    for element in attributes:
        # Not as ATTRIBUTE: of those that are not known, nothing but the type matters.
        oid, encoded = asn1.read(asn1.ATTRIBUTE_TYPE_AND_VALUE, element, "attribute of a request")
        name = _KNOWN_ATTRIBUTES.get(oid)
        if name is None:
            continue
        values = asn1.elements(encoded, name, tag=asn1.SET)
        # Two passwords, or two sets of extensions: which one counts must not be a matter of taste.
        if len(values) > 1 or (values and name in found):
            raise DecodeError(f"the {_REQUEST} has more than one {name}")
        if values:
            found[name] = values[0]
    return found.get("challengePassword"), found.get("extensionRequest")


_KNOWN_ATTRIBUTES = {
    asn1.oid_der(ID_CHALLENGE_PASSWORD): "challengePassword",
    asn1.oid_der(ID_EXTENSION_REQUEST): "extensionRequest",
    asn1.oid_der(ID_MS_EXTENSION_REQUEST): "extensionRequest",
}


def _extensions(value: bytes, spki: bytes) -> x509.Extensions:
    try:
        return plain_request(spki, attribute=asn1.attribute(ID_EXTENSION_REQUEST, value)).extensions
    except (
        ValueError,
        TypeError,
        Warning,  # wherever warnings are made errors
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        UnsupportedAlgorithm,
    ) as exc:
        raise DecodeError(f"the requested extensions are malformed: {exc}") from exc
