"""Opening a request: decrypting it and reading what is in it, without telling why it failed.

Whoever may send us ciphertexts learns from the differences between our failures (attacks A2 and
A3): whether a padding was good, whether what came out was a request.  The rules of this file:

* Which keys are tried is decided by what anybody can see, and each of them is tried to the end.
* Every failure that depends on the plaintext or on a key is the same `Unreadable`, after the same
  work: what could not be decrypted is replaced by a few bytes and read like the rest, and in place
  of a request that there was not, a decoy is taken apart and its signature verified.
* Whose request it is comes before anything in it is read or verified, as that takes whatever time
  its sender likes: for thousands of names, or an RSA key with a huge exponent.  Who sends somebody
  else's ciphertext chooses every other block of its plaintext at most, so he can put no key of his
  own into it.  So a request for another key than the signer's is like one that cannot be read,
  unless the signer has a certificate of ours; then it is for a key that is verified quickly.
* What is read is one ASN.1 element with nothing behind it, no PEM: what may follow PEM is anything,
  so whoever has caught a request in it could append blocks and ask for their padding.
* Good data of another messageType are unreadable as well: in CBC whoever chooses the IV chooses the
  first block, and can make somebody else's ciphertext look like them if its padding is good.
* How an answer is protected and who signs it follows from what anybody can see.
* A CertPoll is only looked at: what is not decrypted cannot be told.
* Its cause is for the log.  What depends on the envelope alone (its algorithms) is an error with a
  name, as clients must learn which algorithm is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import asn1, envelope
from scepkit.core.algorithms import Cipher
from scepkit.core.certificates import CertificateView, load_public_key, public_key_der
from scepkit.core.csr import ParsedCsr, UnreadCsr, read_csr, unread_csr
from scepkit.core.envelope import Decrypted, Envelope, Password
from scepkit.core.messages import (
    MessageData,
    MessageType,
    PkcsReq,
    Protection,
    RenewalReq,
    Request,
    decode_data,
)
from scepkit.errors import (
    AlgorithmError,
    DecodeError,
    DecryptError,
    ProtocolError,
    ScepError,
    SignatureError,
)
from scepkit.server.roles import Opener
from scepkit.store import turns

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

#: How much PBKDF2 one request may cost us, over all passwords that are tried (A13, T77).
MAX_ITERATIONS = 1_000_000
#: How many passwords are tried at most (G12).
MAX_PASSWORDS = 8

_SEQUENCE = b"\x30"
#: What is read in place of what could not be decrypted.
_NOTHING = bytes(64)
#: The new keys of renewals: each is verified within 0.6 ms.
_LONGEST_RSA, _LARGEST_EXPONENT = 4096, 1 << 32
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
#: Octets of a key which no two keys share, and which nobody can put into another's ciphertext.
_ENOUGH = 24
_ENROLS = (MessageType.PKCS_REQ, MessageType.RENEWAL_REQ)


@dataclass(frozen=True, slots=True)
class Sealed:
    """How a request is protected, as anybody can see.

    Attributes:
        protection: how.
        opener: the key that the envelope names; None: it names none of ours, or a password.
    """

    protection: Protection
    opener: Opener | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a request says.

    Attributes:
        data: the messageData.
        csr: for a PKCSReq and RenewalReq; its own signature is good.
        sealed: how it was protected, so that the answer can be like that.
        opener: the key that opened it; None: a password did.
        secret: that password.
    """

    data: MessageData
    csr: ParsedCsr | None
    sealed: Sealed
    opener: Opener | None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It could not be opened.

    Attributes:
        cause: for the log of this server only.
        sealed: as in `Opened`.
    """

    cause: str
    sealed: Sealed


def look_at(request: Request, openers: Sequence[Opener], *, ciphers: Container[Cipher]) -> Sealed:
    """How a request is protected, without decrypting it: no key and no password is used.

    :raises AlgorithmError: as from `open_request`.
    """
    envelope_, attempts, _ = _envelope(request, openers, tuple, ciphers)
    return _sealed(request, envelope_, attempts)


def open_request(
    request: Request,
    openers: Sequence[Opener],
    passwords: Callable[[], Sequence[str]],
    *,
    ciphers: Container[Cipher],
    renews: bool = False,
) -> Opened | Unreadable:
    """Decrypt and read a request of a known messageType.

    :param openers: the RSA keys, the newest first.
    :param passwords: gives what it may be encrypted with; asked when it is encrypted by password.
    :param ciphers: what it may be encrypted with; single DES only if it is listed.
    :param renews: the signer has a certificate of ours, and may ask for another key than his own.
    :raises AlgorithmError: the envelope uses an algorithm that is refused or unknown.
    """
    assert request.message_type is not None  # noqa: S101 - the caller looked
    envelope_, attempts, fault = _envelope(request, openers, passwords, ciphers)
    sealed = _sealed(request, envelope_, attempts)
    found: _Reading | None = None
    for opener, secret in attempts:
        decrypted = _decrypt(envelope_, opener, secret)
        reading = _read(request, decrypted, opener, secret, renews=renews)
        if found is None or (found.fault and not reading.fault):
            found = reading
    if found is None:
        _read(request, None, None, None, renews=renews)  # the same work as for what was tried
        found = _Reading(fault=fault)
    if found.fault or found.data is None:
        return Unreadable(found.fault, sealed)
    return Opened(found.data, found.csr, sealed, found.opener, found.secret)


def _sealed(request: Request, sealed: Envelope | None, attempts: _Attempts) -> Sealed:
    if sealed is None or not attempts:
        return Sealed(Protection(digest=request.digest), None)
    opener = attempts[0][0]
    if opener is None:
        return Sealed(Protection(sealed.cipher, request.digest, None), None)
    certificate = opener.key.certificate
    try:
        transport = envelope.transport_to(sealed, certificate)
    except DecodeError:  # of a RecipientInfo: nothing can be decrypted
        return Sealed(Protection(sealed.cipher, request.digest), None)
    named = opener if envelope.is_addressed_to(sealed, certificate) else None
    return Sealed(Protection(sealed.cipher, request.digest, transport), named)


_Attempts = list[tuple[Opener | None, str | None]]


def _envelope(
    request: Request,
    openers: Sequence[Opener],
    passwords: Callable[[], Sequence[str]],
    ciphers: Container[Cipher],
) -> tuple[Envelope | None, _Attempts, str]:
    """The envelope, and what to try on it: decided without any secret."""
    if not request.content:
        return None, [], "there is no envelope"
    try:
        legacy = Cipher.DES_CBC in ciphers
        sealed = envelope.read_envelope(request.content, allow_legacy=legacy)
        if sealed.cipher not in ciphers:
            name = sealed.cipher.value
            raise AlgorithmError(f"{name} is not accepted here", algorithm=name)
        if envelope.is_for_a_key(sealed) and openers:
            named = [
                one for one in openers if envelope.is_addressed_to(sealed, one.key.certificate)
            ]
            return sealed, [(one, None) for one in named or openers], ""
        iterations = envelope.password_iterations(sealed)
    except DecodeError as error:
        return None, [], f"the envelope is malformed: {error}"
    if iterations is None:
        return sealed, [], "it is encrypted for a kind of key that is not here"
    most = max(1, min(MAX_PASSWORDS, MAX_ITERATIONS // iterations))
    # Without any, one derivation all the same, so that this takes as long as a wrong one.
    tried = list(dict.fromkeys(passwords()))[:most] or [secrets.token_hex(16)]
    return sealed, [(None, secret) for secret in tried], ""


def _decrypt(
    sealed: Envelope | None, opener: Opener | None, secret: str | None
) -> Decrypted | None:
    assert sealed is not None  # noqa: S101 - there are attempts on envelopes only
    key = opener.key if opener else Password((secret or "").encode("utf-8", "surrogatepass"))
    try:
        if opener is None:  # deriving a key from a password takes long
            return turns.elsewhere(lambda: envelope.decrypt(sealed, key))
        return envelope.decrypt(sealed, key)
    except (DecryptError, DecodeError):
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    data: MessageData | None = None
    csr: ParsedCsr | None = None
    opener: Opener | None = None
    secret: str | None = field(default=None, repr=False)
    fault: str = ""


def _read(
    request: Request,
    decrypted: Decrypted | None,
    opener: Opener | None,
    secret: str | None,
    *,
    renews: bool,
) -> _Reading:
    message_type = request.message_type
    assert message_type is not None  # noqa: S101 - the caller looked
    content = decrypted.content if decrypted else _NOTHING
    if message_type in _ENROLS:
        csr, fault = _parsed(content, request.signer, renews=renews)
        if csr is None:
            return _Reading(fault=fault)
        kind = PkcsReq if message_type is MessageType.PKCS_REQ else RenewalReq
        return _Reading(kind(csr.der), csr, opener, secret)
    try:
        return _Reading(decode_data(message_type, content), None, opener, secret)
    except ProtocolError as error:
        return _Reading(fault=f"{error}")


def _parsed(
    content: bytes, signer: CertificateView, *, renews: bool
) -> tuple[ParsedCsr | None, str]:
    """A request whose signature is good; or the fault, after the same work whatever it is."""
    verified = False
    try:
        if content[:1] != _SEQUENCE:
            raise DecodeError("it is no SEQUENCE", offset=0)
        unread = unread_csr(content)
        key = _own_key(signer, unread) or _other_key(unread, renews=renews)
        verified = True
        unread.check_signature(key)
        return unread.read(key), ""
    except ScepError as error:
        _fail_late()
        if not verified:
            read_csr(_decoy()).check_signature()
        return None, f"the request is bad: {error}"


def _own_key(signer: CertificateView, unread: UnreadCsr) -> PublicKeyTypes | None:
    """The signer's key, if the request is for that, whatever its encoding."""
    mine, other = signer.spki, unread.spki_der
    if mine == other:
        return signer.public_key()
    # RSA without NULL, compressed points.  No other key is loaded for that: some take longer.
    if other[-_ENOUGH:] not in mine and mine[-_ENOUGH:] not in other:
        return None
    key = load_public_key(other)
    return key if public_key_der(key) == public_key_der(signer.public_key()) else None


def _other_key(unread: UnreadCsr, *, renews: bool) -> PublicKeyTypes:
    """The key of a request that another one has signed.

    :raises SignatureError: that was a stranger's (G1).
    :raises AlgorithmError: verifying would take so long that it shows.
    """
    if not renews:
        raise SignatureError("the signer's key is not the key of the request (G1)")
    key = load_public_key(unread.spki_der)
    match key:
        case rsa.RSAPublicKey():
            quick = key.key_size <= _LONGEST_RSA and key.public_numbers().e < _LARGEST_EXPONENT
        case ec.EllipticCurvePublicKey():
            quick = isinstance(key.curve, _CURVES)
        case _:
            quick = True
    if not quick:
        raise AlgorithmError(
            "a renewal's new key is RSA of 4096 bits at most, or on a curve of NIST",
            algorithm="public key",
        )
    return key


def _fail_late() -> None:
    """Read BER to its end, and fail at the public key: what takes the longest to fail."""
    with suppress(ScepError):
        read_csr(_decoy_without_key())


@cache
def _decoy() -> bytes:
    """A request of nobody, made once a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "decoy")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@cache
def _decoy_without_key() -> bytes:
    """The same in BER, with an exponent that is even, which no RSA key has."""
    decoy = read_csr(_decoy())
    broken = decoy.der.replace(decoy.spki_der, decoy.spki_der[:-1] + b"\0")
    return b"\x30\x80" + asn1.content_of(broken) + b"\0\0"


def prepare() -> None:
    """Make what the first failure would otherwise be slower for."""
    _decoy_without_key()


__all__ = [
    "AlgorithmError",
    "Opened",
    "Sealed",
    "Unreadable",
    "look_at",
    "open_request",
    "prepare",
]
