"""What an enrolment is made of, and how it can end: the values a requester handles.

Results are a union, ``Issued | Pending | Rejected``, to be told apart with ``match``.  `Pending`
holds all that a poll needs in another process next week; there is no private key and no
challengePassword in it, so it may be stored in the clear.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from scepkit.core import cms
from scepkit.core.certificates import (
    CertificateView,
    PrivateKey,
    load_certificate,
    public_key_der,
    view_of,
)
from scepkit.core.csr import ParsedCsr
from scepkit.core.csr_builder import self_signed_certificate
from scepkit.core.envelope import DecryptionKey
from scepkit.core.http import printable
from scepkit.core.shown import title
from scepkit.errors import FailInfo, InputError
from scepkit.values import field, frozen, kept


@frozen
class Requester:
    """Who asks: the certificate and key that sign requests and decrypt replies.

    Attributes:
        certificate: a self-signed one, or one issued by this CA or another (RFC 8894 section 2.3).
        key: its private key; any `cryptography` key object, also one that lives in a token.
        chain: certificates to send along, when the CA needs them to verify `certificate`.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        # By its public half, because a key in a token shows nothing else.
        own = public_key_der(self.key.public_key())
        if own != self.view.spki and own != public_key_der(self.view.public_key()):
            raise InputError(
                "the private key does not belong to the requester's certificate "
                f"{title(self.certificate)!r}",
                hint="give the key the certificate was issued for",
            )

    @kept
    def view(self) -> CertificateView:
        """The certificate as CMS sees it."""
        return view_of(self.certificate)

    @property
    def self_signed(self) -> bool:
        """Whether the certificate names itself as its issuer."""
        return self.view.issuer == self.view.subject

    def signer(self) -> cms.Signer:
        """The same, as `cms.sign` wants it."""
        return cms.Signer(
            self.view,
            self.key,
            tuple(view_of(certificate).der for certificate in self.chain),
        )

    def decryption_key(self) -> DecryptionKey:
        """The same, as `envelope.decrypt` wants it."""
        return DecryptionKey(self.view, self.key)


def self_signed_requester(
    csr: x509.CertificateSigningRequest | ParsedCsr, key: PrivateKey, *, now: datetime
) -> Requester:
    """A requester for a first enrolment: self-signed, with the CSR's subject and key.

    :param key: the private key of the CSR.
    :raises InputError: it is not the key of the CSR.
    """
    return Requester(self_signed_certificate(csr, key, now=now), key)


@frozen
class Issued:
    """The CA issued the certificate.

    Attributes:
        certificate: the one whose public key is the request's (RFC 8894 section 3.3.2.1).
        chain: its issuers, nearest first, up to the certificate that was trusted.
        certificates: all that the reply held, in its order.
        transaction_id: the transactionID of the enrolment.
        warnings: what a person should look at: names that differ from the request, clock trouble.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    certificates: tuple[x509.Certificate, ...]
    transaction_id: str
    warnings: tuple[str, ...] = ()


@frozen
class Rejected:
    """The CA refused.

    Attributes:
        fail_info: the reason; a plain int for a number of the CA's own, None when it gave none.
        fail_info_text: the CA's own words, for people, or "" (RFC 8894 section 3.2.1.4).
        transaction_id: the transactionID of the enrolment.
    """

    fail_info: FailInfo | int | None
    fail_info_text: str
    transaction_id: str

    @property
    def reason(self) -> str:
        """The refusal in one line, such as ``badRequest (2): unknown challenge``."""
        return describe_failure(self.fail_info, self.fail_info_text)


def describe_failure(fail_info: FailInfo | int | None, text: str) -> str:
    """A refusal in one line."""
    match fail_info:
        case None:
            name = "no reason given"
        case FailInfo():
            name = f"{fail_info.rfc_name} ({int(fail_info)})"
        case _:
            name = f"failInfo {fail_info}"
    said = printable(text, _LONGEST_TEXT)
    return f"{name}: {said}" if said else name


_LONGEST_TEXT = 500


@frozen
class Pending:
    """An enrolment that is under way: the CA has not decided, or its answer was lost.

    Attributes:
        url: the SCEP service.
        profile: the CA identifier, or None.
        transaction_id: the transactionID, which every poll repeats (RFC 8894 section 4.4).
        subject: the subject of the request, as a Name in DER.
        spki_sha256: SHA-256 of the requested key's SubjectPublicKeyInfo.
        requester: the certificate (DER) that signed the request and must sign the polls.
        requester_chain: certificates (DER) that were sent along.
        ca_fingerprint: SHA-256 of the CA certificate that was trusted.
        retry_after: seconds the server asked to wait, or None.
    """

    url: str
    profile: str | None
    transaction_id: str
    subject: bytes = field(repr=False)
    spki_sha256: bytes = field(repr=False)
    requester: bytes = field(repr=False)
    requester_chain: tuple[bytes, ...] = field(repr=False)
    ca_fingerprint: bytes = field(repr=False)
    retry_after: float | None = None

    def requester_with(self, key: PrivateKey) -> Requester:
        """The requester that can poll.

        :param key: the private key of the certificate that signed the request (in a renewal that
            is the *old* key).
        :raises InputError: it is another key.
        :raises DecodeError: a stored certificate cannot be read.
        """
        return Requester(
            load_certificate(self.requester),
            key,
            tuple(load_certificate(der) for der in self.requester_chain),
        )

    def to_json(self) -> str:
        """Everything, as one JSON object; there is no secret in it."""
        import json

        return json.dumps(
            {
                "format": _FORMAT,
                "url": self.url,
                "profile": self.profile,
                "transactionID": self.transaction_id,
                "subject": self.subject.hex(),
                "spkiSha256": self.spki_sha256.hex(),
                "requester": self.requester.hex(),
                "requesterChain": [der.hex() for der in self.requester_chain],
                "caFingerprintSha256": self.ca_fingerprint.hex(),
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Pending:
        """Read what `to_json` wrote.

        :raises InputError: it is not that.
        """
        import json

        try:
            stored = json.loads(text)
            if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
                raise ValueError(f"its format is not {_FORMAT}")
            profile, url, transaction_id = (
                stored["profile"],
                stored["url"],
                stored["transactionID"],
            )
            if not (isinstance(url, str) and isinstance(transaction_id, str) and transaction_id):
                raise ValueError("url and transactionID must be texts")
            if not (profile is None or isinstance(profile, str)):
                raise ValueError("profile must be a text or null")
            if not isinstance(stored["requesterChain"], list):
                raise ValueError("requesterChain must be a list")
            subject = bytes.fromhex(stored["subject"])
            if subject[:1] != b"\x30":
                raise ValueError("subject must be a Name in DER")
            return cls(
                url=url,
                profile=profile,
                transaction_id=transaction_id,
                subject=subject,
                spki_sha256=_sha256(stored["spkiSha256"]),
                requester=bytes.fromhex(stored["requester"]),
                requester_chain=tuple(bytes.fromhex(der) for der in stored["requesterChain"]),
                ca_fingerprint=_sha256(stored["caFingerprintSha256"]),
            )
        except KeyError as exc:
            raise InputError(f"this is not a pending enrolment: {exc} is missing") from exc
        except (ValueError, TypeError, RecursionError) as exc:
            raise InputError(f"this is not a pending enrolment: {exc}") from exc


_FORMAT = "scepkit-pending-1"


def _sha256(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != 32:
        raise ValueError(f"a SHA-256 digest has 32 bytes, not {len(digest)}")
    return digest


_YEAR = 366 * 86400.0

#: How an enrolment, a renewal or a poll ends.
EnrolmentResult: TypeAlias = Issued | Pending | Rejected


@frozen
class PollPolicy:
    """How often and how long to ask again; SCEP itself says nothing about it (G13).

    Attributes:
        interval: seconds before the first poll; a Retry-After of the server goes before it.
        factor: what the interval is multiplied with after each poll.
        max_interval: the longest interval, in seconds.
        max_polls: at most so many polls, or None.
        max_seconds: at most so many seconds from the start, or None.
    """

    interval: float = 30.0
    factor: float = 1.5
    max_interval: float = 900.0
    max_polls: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.interval <= _YEAR and 0 <= self.max_interval <= _YEAR):
            raise InputError("interval and max_interval must be from 0 seconds to a year")
        if not 1 <= self.factor <= 1000:
            raise InputError("factor must be from 1 to 1000")
        if self.max_polls is not None and self.max_polls < 0:
            raise InputError("max_polls must not be negative")
        if self.max_seconds is not None and not self.max_seconds >= 0:
            raise InputError("max_seconds must not be negative")

    def next_wait(self, polls: int, retry_after: float | None, elapsed: float) -> float | None:
        """Seconds to wait before the next poll, or None when the limits are reached.

        The last poll comes at `max_seconds`, unless the server asked for more time than is left.

        :param polls: how many there were.
        :param retry_after: seconds the server asked to wait, or None.
        :param elapsed: seconds since the start.
        """
        if self.max_polls is not None and polls >= self.max_polls:
            return None
        if retry_after is None:
            # The cap keeps the power from overflowing.
            seconds = min(self.interval * self.factor ** min(polls, 64), self.max_interval)
        else:
            # A server that says 0 is not to be asked without a pause.
            seconds = max(retry_after, min(self.interval, 1.0))
        if self.max_seconds is None:
            return seconds
        left = self.max_seconds - elapsed
        if left <= 0 or (retry_after is not None and seconds > left):
            return None
        return min(seconds, left)
