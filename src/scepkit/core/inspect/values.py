"""What an inspection found: plain values, nothing is decided here.

Rules of this file: text is as the message has it (control characters included: whoever shows it
escapes them); a field is None, "" or () when the message lacks it; no secret is in a repr.
"""

from __future__ import annotations

from datetime import datetime

from scepkit.values import field, frozen


@frozen
class Oddity:
    """Something that is not as RFC 8894 would have it, or that peers are known to trip over.

    Attributes:
        code: the section that says otherwise, such as ``RFC 8894 3.2.1``, or the number of a known
            quirk (``Q16``) or attack (``A16``).
        text: what was found, as a sentence without capital and full stop.
    """

    code: str
    text: str


@frozen
class Code:
    """A number that SCEP sends as decimal text.

    Attributes:
        name: the RFC's name, or the text when it has none.
        number: None when the text is not a number.
    """

    name: str
    number: int | None


@frozen
class CertificateInfo:
    """A certificate; `key` is its kind and size, such as ``RSA 2048``.

    Attributes:
        serial_number: hexadecimal.
        sha256: fingerprint of the whole certificate, hexadecimal.
        spki: the SubjectPublicKeyInfo (DER).
        self_issued: subject and issuer are the same.
    """

    subject: str
    issuer: str
    serial_number: str
    not_before: datetime | None
    not_after: datetime | None
    key: str
    ca: bool
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    alternative_names: tuple[str, ...]
    signature_algorithm: str
    self_issued: bool
    sha256: str
    der: bytes = field(repr=False)
    spki: bytes = field(repr=False)


@frozen
class CrlInfo:
    """A certificate revocation list; `entries` is how many certificates it names."""

    issuer: str
    number: int | None
    this_update: datetime | None
    next_update: datetime | None
    entries: int
    der: bytes = field(repr=False)


@frozen
class CsrInfo:
    """A PKCS#10 request.  The challengePassword itself is not kept.

    Attributes:
        challenge_password: ``present``, ``empty`` or ``absent``.
        extensions: names (or OIDs) of the extensions asked for.
        signature: by its own key: ``valid``, ``broken`` or ``unverifiable``.
    """

    subject: str
    key: str
    challenge_password: str
    alternative_names: tuple[str, ...]
    extensions: tuple[str, ...]
    signature: str
    spki: bytes = field(repr=False)


@frozen
class QueryInfo:
    """messageData of CertPoll (issuer, subject), GetCert and GetCRL (issuer, serial number)."""

    issuer: str
    subject: str | None = None
    serial_number: str | None = None


@frozen
class ScepAttributes:
    """The signed attributes of a pkiMessage (RFC 8894 section 3.2.1).

    Attributes:
        signing_time: as sent, made readable where it is a date.
        others: OIDs of the signed attributes that SCEP and CMS do not ask for.
    """

    message_type: Code | None
    transaction_id: str | None
    sender_nonce: bytes | None
    recipient_nonce: bytes | None
    pki_status: Code | None
    fail_info: Code | None
    fail_info_text: str | None
    signing_time: str | None
    others: tuple[str, ...]


@frozen
class SignatureInfo:
    """The signature of a SignedData.

    A valid signature says that the key of the certificate named as the signer made it; it says
    nothing about whose certificate that is.

    Attributes:
        state: ``valid``, ``broken`` or ``unverifiable``.
        explanation: why it is not valid, or "".
        signer: the certificate that the SignerInfo names, when the message holds it.
        signer_id: how the SignerInfo names it.
    """

    digest: str
    algorithm: str
    state: str
    explanation: str
    signer: CertificateInfo | None
    signer_id: str


@frozen
class RecipientInfo:
    """One recipient of an EnvelopedData.

    Attributes:
        kind: ``key transport``, ``password``, or another of RFC 5652's.
        algorithm: how the content key reaches it, such as ``rsa`` or ``rsa-oaep-sha256``.
        recipient: how the RecipientInfo names it; "" for a password.
    """

    kind: str
    algorithm: str
    recipient: str


@frozen
class EnvelopeInfo:
    """An EnvelopedData.

    Attributes:
        ciphertext_size: in bytes.
        decryption: ``not tried``, ``done``, or why it failed.
        message_data: the decrypted content; None until `decryption` is ``done``.
    """

    cipher: str
    recipients: tuple[RecipientInfo, ...]
    ciphertext_size: int
    decryption: str
    message_data: bytes | None = field(repr=False)


@frozen
class HttpInfo:
    """The HTTP request or response that a message came in, when it was captured.

    Attributes:
        method, target, operation: of a request; `operation` is None where the query has none.
        status, reason: of a response; 0 for a request.
        content_type: the media type, in lower case, without parameters; "" for none.
        headers: names in lower case, with their values.
    """

    method: str = ""
    target: str = ""
    operation: str | None = None
    status: int = 0
    reason: str = ""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class Inspection:
    """One layer of a message, with the layer in it.

    Attributes:
        kind: ``pkiMessage``, ``SignedData``, ``certs-only SignedData``, ``EnvelopedData``,
            ``CertificationRequest``, ``Certificate``, ``certificates``, ``CertificateList``,
            ``IssuerAndSubject``, ``IssuerAndSerialNumber``, ``HTTP`` for a captured message without
            anything of these, or another content type of CMS.
        encoding: ``DER`` or ``BER``, after what that was wrapped in (``PEM``, ``base64``).
        size: of the binary form, in bytes.
        oddities: of this layer and of those in it, outermost first.
        content: the layer within, when there is one and it could be read.
        http: of the outermost layer: what it came in, when that was captured too.
    """

    kind: str
    encoding: tuple[str, ...]
    size: int
    oddities: tuple[Oddity, ...]
    attributes: ScepAttributes | None = None
    signature: SignatureInfo | None = None
    envelope: EnvelopeInfo | None = None
    certificates: tuple[CertificateInfo, ...] = ()
    crls: tuple[CrlInfo, ...] = ()
    csr: CsrInfo | None = None
    query: QueryInfo | None = None
    content: Inspection | None = None
    http: HttpInfo | None = None

    @property
    def layers(self) -> tuple[Inspection, ...]:
        """This layer and those within, outermost first."""
        return (self,) if self.content is None else (self, *self.content.layers)
