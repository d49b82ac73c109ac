"""EnvelopedData: how it is protected, and what is in it for who has the key.

Unlike `envelope`, which reads what it will decrypt, this describes every cipher and recipient.  The
decryption is `envelope`'s own, with its legacy switch on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cryptography import x509

from scepkit.core import algorithms, asn1, cms, envelope, key_transport
from scepkit.core.algorithms import Cipher
from scepkit.core.ber import to_der
from scepkit.core.certificates import KEY_IDENTIFIER, CertificateView, PrivateKey, view_of
from scepkit.core.envelope import DecryptionKey, Envelope, Password
from scepkit.core.inspect import parts
from scepkit.core.inspect.values import EnvelopeInfo, Oddity, RecipientInfo
from scepkit.core.password import ID_PWRI_KEK
from scepkit.core.password import read_recipient as read_password_recipient
from scepkit.errors import AlgorithmError, DecodeError, DecryptError, ProtocolError
from scepkit.values import field, frozen

_KEY_TRANSPORT, _PASSWORD = 0x30, 0xA3
_KINDS = {
    _KEY_TRANSPORT: "key transport",
    0xA1: "key agreement",
    0xA2: "key encryption key",
    _PASSWORD: "password",
    0xA4: "other",
}
NOT_TRIED = "not tried"
DONE = "done"

# A certificate that no RecipientInfo names.
_NOBODY = CertificateView(
    der=b"",
    issuer=b"",
    serial_number=-1,
    subject=b"",
    spki=b"",
    inner_algorithm=b"",
    _name_and_number=b"",
    _extensions=b"",
)


def describe(der: bytes, odd: list[Oddity]) -> EnvelopeInfo:
    """Describe an EnvelopedData (its ContentInfo in DER) without decrypting it.

    :raises DecodeError: it is not one.
    """
    enveloped = envelope.read_enveloped(der)
    if enveloped.content_type != cms.ID_DATA:
        kind = cms.content_type_name(enveloped.content_type)
        odd.append(
            Oddity("RFC 8894 3.2.2", f"the encrypted content is of the type {kind}, not data")
        )
    chunks = enveloped.chunks
    if chunks is not None:
        odd.append(Oddity("Q17", f"the encryptedContent is constructed, in {chunks} chunks"))
    ciphertext = enveloped.ciphertext or b""
    if not ciphertext:
        odd.append(Oddity("RFC 5652 6.1", "the EnvelopedData has no encrypted content"))
    recipients = tuple(_recipient(info, odd) for info in enveloped.recipients)
    if len(recipients) != 1:
        odd.append(
            Oddity("RFC 8894 3.1", f"the EnvelopedData has {len(recipients)} recipients, not one")
        )
    return EnvelopeInfo(
        cipher=_cipher(enveloped.algorithm, odd),
        recipients=recipients,
        ciphertext_size=len(ciphertext),
        decryption=NOT_TRIED,
        message_data=None,
    )


def _cipher(algorithm: bytes, odd: list[Oddity]) -> str:
    oid, _ = asn1.split_algorithm(algorithm, "content encryption algorithm")
    name = algorithms.oid_name(oid)
    try:
        cipher = algorithms.cipher_for_oid(oid, allow_legacy=True)
    except AlgorithmError:
        odd.append(Oddity("RFC 8894 2.9", f"the cipher {name} is none of SCEP's"))
        return name
    if cipher is Cipher.DES_CBC:
        odd.append(Oddity("RFC 8894 2.9", "the content is encrypted with single DES (Q37, Q38)"))
    elif cipher is Cipher.DES_EDE3_CBC:
        odd.append(Oddity("RFC 8894 3.5.2", "the content is encrypted with 3DES, AES is preferred"))
    return name


def _recipient(info: bytes, odd: list[Oddity]) -> RecipientInfo:
    tag = info[0]
    kind = _KINDS.get(tag, f"unknown (tag 0x{tag:02x})")
    try:
        if tag == _KEY_TRANSPORT:
            return _key_transport(info, odd)
        if tag == _PASSWORD:
            return RecipientInfo(kind, _password_algorithm(info), "")
    except ProtocolError as exc:
        odd.append(Oddity("RFC 5652 6.2", f"a RecipientInfo cannot be read: {exc}"))
        return RecipientInfo(kind, "", "")
    odd.append(
        Oddity("RFC 8894 3.1", f"a recipient is of the kind {kind}, which SCEP does not have")
    )
    return RecipientInfo(kind, "", "")


def _key_transport(info: bytes, odd: list[Oddity]) -> RecipientInfo:
    rid, algorithm, _ = key_transport.read_recipient(info)
    oid, parameters = asn1.split_algorithm(algorithm, "key transport algorithm")
    try:
        name = key_transport.read_algorithm(algorithm).value
    except AlgorithmError as exc:
        odd.append(Oddity("Q26", str(exc)))
        name = exc.algorithm
    if oid == algorithms.OID_RSA_OAEP:
        odd.append(Oddity("Q26", "the content key is encrypted with RSA-OAEP, as Windows does"))
        if not parameters:
            odd.append(Oddity("Q27", "RSA-OAEP has no parameters at all, which .NET refuses"))
    return RecipientInfo("key transport", name, identifier_text(rid))


def _password_algorithm(info: bytes) -> str:
    recipient = read_password_recipient(info)
    oid, _ = asn1.split_algorithm(recipient.key_encryption, "key encryption algorithm")
    return "pwri-kek" if oid == ID_PWRI_KEK else oid


def identifier_text(identifier: bytes) -> str:
    """How CMS names a certificate (DER): by issuer and serial number, or by key identifier."""
    if identifier[0] == KEY_IDENTIFIER:
        return f"key identifier {asn1.content_of(identifier).hex()}"
    what = "IssuerAndSerialNumber"
    try:
        issuer, number = asn1.read(asn1.ISSUER_AND_SERIAL_NUMBER, identifier, what)
    except DecodeError:
        return "unreadable"
    try:
        serial = f"{asn1.integer_value(number, 'serial number'):x}"
    except DecodeError:
        serial = "unreadable"
    return f"serial number {serial} of {parts.name_text(issuer)}"


def check_recipient(
    recipients: tuple[RecipientInfo, ...], certificate: x509.Certificate, odd: list[Oddity]
) -> None:
    """Note when none of the recipients is the certificate at hand."""
    seen = view_of(certificate)
    identifiers = {f"serial number {seen.serial_number:x} of {parts.name_text(seen.issuer)}"}
    if seen.subject_key_identifier is not None:
        identifiers.add(f"key identifier {seen.subject_key_identifier.hex()}")
    named = [one.recipient for one in recipients if one.kind == _KINDS[_KEY_TRANSPORT]]
    if named and identifiers.isdisjoint(named):
        odd.append(
            Oddity("Q40", f"the content is encrypted for another certificate: {', '.join(named)}")
        )


# ------------------------------------------------------------------ decrypting


@frozen
class Attempt:
    """What came of decrypting; `outcome` is NOT_TRIED, DONE, or the reason."""

    outcome: str
    content: bytes | None = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        """Whether there was something to decrypt with, to no avail."""
        return self.outcome not in {NOT_TRIED, DONE}


def decrypt(
    der: bytes,
    key: PrivateKey | None,
    certificate: x509.Certificate | None,
    password: bytes | None,
) -> Attempt:
    """Decrypt with the key, and if that does not help, with the password.

    A wrong key can give content that looks padded as it should (one time in 256), so the first
    content that is ASN.1 is taken before any other.
    """
    if key is None and password is None:
        return Attempt(NOT_TRIED)
    try:
        enveloped = envelope.read_envelope(der, allow_legacy=True)
    except ProtocolError as exc:
        return Attempt(str(exc))
    reasons = []
    other: bytes | None = None
    for one, credential in _attempts(enveloped, key, certificate, password):
        try:
            content = envelope.decrypt(one, credential).content
        except ProtocolError as exc:
            reasons.append(exc)
            continue
        if _is_asn1(content):
            return Attempt(DONE, content)
        other = content
    if other is not None:
        return Attempt(DONE, other)
    # "Not for this key" says more than that there is no recipient with a password.
    reasons.sort(key=lambda reason: not isinstance(reason, DecryptError))
    return Attempt(str(reasons[0]))


def _attempts(
    enveloped: Envelope,
    key: PrivateKey | None,
    certificate: x509.Certificate | None,
    password: bytes | None,
) -> Iterator[tuple[Envelope, DecryptionKey | Password]]:
    if key is not None:
        named = view_of(certificate) if certificate is not None else _NOBODY
        yield enveloped, DecryptionKey(named, key)
        # The certificate may be another one of the same key; then each recipient is tried.
        if len(enveloped.recipients) > 1:
            for recipient in enveloped.recipients:
                yield replace(enveloped, recipients=(recipient,)), DecryptionKey(_NOBODY, key)
    if password is not None:
        yield enveloped, Password(password)


def _is_asn1(content: bytes) -> bool:
    try:
        to_der(content)
    except DecodeError:
        return False
    return True
