"""What the SCEP messages say, as values (RFC 8894 sections 3.2.1 and 3.3).

The rule of this file: a value is what a message means, never how it was encoded; names and requests
are DER, because they are handed on as they came.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias, assert_never

from scepkit.core import asn1
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.errors import DecodeError, FailInfo
from scepkit.values import field, frozen


class MessageType(IntEnum):
    """messageType (RFC 8894 section 3.2.1.2)."""

    CERT_REP = 3
    RENEWAL_REQ = 17
    PKCS_REQ = 19
    CERT_POLL = 20
    GET_CERT = 21
    GET_CRL = 22

    @property
    def rfc_name(self) -> str:
        """The name in RFC 8894, such as ``PKCSReq``."""
        return _MESSAGE_TYPE_NAMES[self]


_MESSAGE_TYPE_NAMES = {
    MessageType.CERT_REP: "CertRep",
    MessageType.RENEWAL_REQ: "RenewalReq",
    MessageType.PKCS_REQ: "PKCSReq",
    MessageType.CERT_POLL: "CertPoll",
    MessageType.GET_CERT: "GetCert",
    MessageType.GET_CRL: "GetCRL",
}
#: What stands in a message -> the type.
MESSAGE_TYPES = {str(int(one)): one for one in MessageType}


class PkiStatus(IntEnum):
    """pkiStatus (RFC 8894 section 3.2.1.3)."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


#: What stands in a message -> the status.
STATUSES = {str(int(one)): one for one in PkiStatus}


# ------------------------------------------------------------------ messageData


@frozen
class PkcsReq:
    """A certificate request in PKCS#10 DER (RFC 8894 section 3.3.1)."""

    csr: bytes = field(repr=False)


@frozen
class RenewalReq:
    """A PKCS#10 request (DER) authenticated by an existing certificate (section 3.3.1)."""

    csr: bytes = field(repr=False)


@frozen
class CertPoll:
    """Whose request to ask about: both are Names in DER (RFC 8894 section 3.3.3)."""

    issuer: bytes = field(repr=False)
    subject: bytes = field(repr=False)


@frozen
class GetCert:
    """Which certificate is wanted: issuer is a Name in DER (RFC 8894 section 3.3.4)."""

    issuer: bytes = field(repr=False)
    serial_number: int


@frozen
class GetCrl:
    """For which certificate the CRL is wanted: issuer is a Name in DER (section 3.3.4)."""

    issuer: bytes = field(repr=False)
    serial_number: int


MessageData: TypeAlias = PkcsReq | RenewalReq | CertPoll | GetCert | GetCrl

_TYPE_OF: dict[type, MessageType] = {
    PkcsReq: MessageType.PKCS_REQ,
    RenewalReq: MessageType.RENEWAL_REQ,
    CertPoll: MessageType.CERT_POLL,
    GetCert: MessageType.GET_CERT,
    GetCrl: MessageType.GET_CRL,
}


def message_type_of(data: MessageData) -> MessageType:
    """The messageType of a request that says this."""
    return _TYPE_OF[type(data)]


def encode_data(data: MessageData) -> bytes:
    """The messageData as DER."""
    match data:
        case PkcsReq(csr) | RenewalReq(csr):
            return csr
        case CertPoll(issuer, subject):
            return asn1.element(asn1.SEQUENCE, issuer, subject)
        case GetCert(issuer, serial) | GetCrl(issuer, serial):
            return asn1.issuer_and_serial(issuer, serial)
        case _:
            assert_never(data)


def decode_data(message_type: MessageType, content: bytes) -> MessageData:
    """The messageData of a request.

    What a PKCSReq or RenewalReq holds is not looked at: `csr.read_csr` reads it.

    :raises DecodeError: it is not what the messageType says (RFC 8894 section 3.2).
    """
    match message_type:
        case MessageType.PKCS_REQ:
            return PkcsReq(content)
        case MessageType.RENEWAL_REQ:
            return RenewalReq(content)
        case MessageType.CERT_POLL:
            what = "IssuerAndSubject (CertPoll)"
            issuer, subject = asn1.read(
                asn1.ISSUER_AND_SUBJECT, content, what, max_elements=asn1.MAX_ENCRYPTED_ELEMENTS
            )
            if issuer[0] != asn1.SEQUENCE or subject[0] != asn1.SEQUENCE:
                raise DecodeError("the IssuerAndSubject of the CertPoll does not hold two Names")
            return CertPoll(issuer, subject)
        case MessageType.GET_CERT | MessageType.GET_CRL:
            what = f"IssuerAndSerialNumber ({message_type.rfc_name})"
            issuer, serial = asn1.read(
                asn1.ISSUER_AND_SERIAL_NUMBER,
                content,
                what,
                max_elements=asn1.MAX_ENCRYPTED_ELEMENTS,
            )
            if issuer[0] != asn1.SEQUENCE:
                raise DecodeError(f"the issuer in the {message_type.rfc_name} is not a Name")
            kind = GetCert if message_type is MessageType.GET_CERT else GetCrl
            return kind(issuer, asn1.integer_value(serial, "serial number"))
        case MessageType.CERT_REP:
            raise DecodeError("a CertRep is not a request")
        case _:
            assert_never(message_type)


# ------------------------------------------------------------------ replies


@frozen
class Success:
    """SUCCESS: certificates and CRLs in DER, in the order they came (section 3.3.2.1)."""

    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)


@frozen
class Failure:
    """FAILURE (RFC 8894 section 3.3.2.2).

    `fail_info` is a plain int when the CA uses a number of its own (Dogtag has 5 to 12), and None
    when it gave none.
    """

    fail_info: FailInfo | int | None
    fail_info_text: str = ""


@frozen
class StillPending:
    """PENDING (RFC 8894 section 3.3.2.3)."""


CertRep: TypeAlias = Success | Failure | StillPending


@frozen
class Protection:
    """How a message is protected.  A None key transport means: by password."""

    cipher: Cipher = Cipher.AES128_CBC
    digest: Digest = Digest.SHA256
    key_transport: KeyTransport | None = KeyTransport.RSA_PKCS1V15
