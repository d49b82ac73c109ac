"""Encoding and decoding of messages, as a ratio to the bare RSA operations in them.

Both are measured in the same run, call by call in turns, so that a change of the machine's speed
meets both and neither runs on caches that the other never sees warm.  The ratio is the median over
the rounds of (ours / bare) of one round.

The bare operations are those a message cannot do without: a request brings the certificate it is
verified with, so its key was only just loaded, and OpenSSL prepares a key at its first use; the
CA's key is kept by whoever asks it, as is that of the certificate to be answered.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from scepkit.core import cms, messages
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.envelope import DecryptionKey
from scepkit.core.messages import PkcsReq, Protection, Success

#: AES-128-CBC, SHA-256, RSA PKCS#1 v1.5: what RFC 8894 makes mandatory.
PROTECTION = Protection()
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Party:
    """A key and its certificate, as whoever holds them keeps them."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    view: CertificateView
    signer: cms.Signer
    decryption_key: DecryptionKey


@dataclass(frozen=True)
class Case:
    """One thing to measure: our function, and the bare operations it cannot do without."""

    name: str
    ours: Callable[[], object]
    bare: Callable[[], object]
    contains: str


@dataclass(frozen=True)
class Measured:
    """Medians in microseconds, and the ratio with its quartiles."""

    case: Case
    ours: float
    bare: float
    ratio: float
    lower: float
    upper: float


def party(common_name: str, key: rsa.RSAPrivateKey, issuer: Party | None = None) -> Party:
    """A key with a certificate of ordinary size."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    view = view_of(certificate)
    return Party(key, certificate, view, cms.Signer(view, key), DecryptionKey(view, key))


def cases() -> list[Case]:
    """The four messages of an enrolment: each side encodes one and decodes one."""
    ca = party("Benchmark CA", rsa.generate_private_key(65537, 2048))
    device_key = rsa.generate_private_key(65537, 2048)
    device = party("device1", device_key)
    issued = party("device1", device_key, ca)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(device.certificate.subject)
        .add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"a challenge of some length")
        .sign(device_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    reply = Success((issued.certificate.public_bytes(Encoding.DER),))
    nonce = bytes(16)

    def encode_request() -> bytes:
        return messages.encode_request(
            PkcsReq(csr),
            transaction_id="benchmark",
            sender_nonce=nonce,
            signer=device.signer,
            recipient=ca.view,
            protection=PROTECTION,
            signing_time=NOW,
        )

    def decode_request() -> object:
        opened = messages.read_request(request)
        return messages.decrypt_request(opened, ca.decryption_key)

    def encode_reply() -> bytes:
        return messages.seal_reply(
            reply, opened, signer=ca.signer, protection=PROTECTION, signing_time=NOW
        )

    def decode_reply() -> object:
        return messages.open_reply(
            answer,
            transaction_id="benchmark",
            sender_nonce=nonce,
            signers=[ca.view],
            decrypt_with=device.decryption_key,
        )

    request = encode_request()
    opened = messages.read_request(request)
    answer = encode_reply()
    writing, reading = "1 signature, 1 encryption", "1 verification, 1 decryption"
    fresh = reading.replace("verification", "verification with a new key")
    return [
        Case("PKCSReq encode", encode_request, _writing(device, ca), writing),
        Case("PKCSReq decode", decode_request, _reading(device, ca, new_key=True), fresh),
        Case("CertRep encode", encode_reply, _writing(ca, device), writing),
        Case("CertRep decode", decode_reply, _reading(ca, device), reading),
    ]


def _writing(signer: Party, recipient: Party) -> Callable[[], object]:
    """The RSA operations of whoever writes a message."""
    data, content_key, pkcs1, sha256 = bytes(300), bytes(16), padding.PKCS1v15(), hashes.SHA256()
    public_key = recipient.key.public_key()

    def operations() -> object:
        return signer.key.sign(data, pkcs1, sha256), public_key.encrypt(content_key, pkcs1)

    return operations


def _reading(signer: Party, recipient: Party, new_key: bool = False) -> Callable[[], object]:
    """The RSA operations of whoever reads it.

    :param new_key: verify with a key that was not used before.
    """
    data, content_key, pkcs1, sha256 = bytes(300), bytes(16), padding.PKCS1v15(), hashes.SHA256()
    public_key = signer.key.public_key()
    signature = signer.key.sign(data, pkcs1, sha256)
    encrypted = recipient.key.public_key().encrypt(content_key, pkcs1)

    def operations() -> object:
        key = load_der_public_key(signer.view.spki) if new_key else public_key
        assert isinstance(key, rsa.RSAPublicKey)
        key.verify(signature, data, pkcs1, sha256)
        return recipient.key.decrypt(encrypted, pkcs1)

    return operations


def measure(rounds: int, repeats: int) -> list[Measured]:
    """Measure every case in `rounds` rounds, each function `repeats` times a round."""
    todo = cases()
    samples: dict[str, list[tuple[float, float]]] = {case.name: [] for case in todo}
    for number in range(rounds + 1):
        for case in todo:
            times = _microseconds(case, repeats)
            if number:  # the first round only warms up
                samples[case.name].append(times)
    return [_summary(case, samples[case.name]) for case in todo]


def _microseconds(case: Case, repeats: int) -> tuple[float, float]:
    """Medians of ours and bare, called in turns."""
    ours, bare = [], []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        case.ours()
        between = time.perf_counter_ns()
        case.bare()
        ours.append(between - start)
        bare.append(time.perf_counter_ns() - between)
    return statistics.median(ours) / 1000, statistics.median(bare) / 1000


def _summary(case: Case, samples: list[tuple[float, float]]) -> Measured:
    ratios = [ours / bare for ours, bare in samples]
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return Measured(
        case=case,
        ours=statistics.median(ours for ours, _ in samples),
        bare=statistics.median(bare for _, bare in samples),
        ratio=median,
        lower=lower,
        upper=upper,
    )


def table(rounds: int, repeats: int) -> str:
    """The results as text."""
    lines = [
        f"Messages (RSA-2048, SHA-256, AES-128-CBC; {rounds} rounds of {repeats}; goal: 1.25)",
        "",
        f"{'':<16}{'ours µs':>10}{'bare RSA µs':>13}{'ratio':>8}  {'quartiles':<13}bare RSA is",
    ]
    lines += [
        f"{one.case.name:<16}{one.ours:>10.0f}{one.bare:>13.0f}{one.ratio:>8.2f}  "
        f"{f'{one.lower:.2f}-{one.upper:.2f}':<13}{one.case.contains}"
        for one in measure(rounds, repeats)
    ]
    return "\n".join(lines)
