"""A fleet of devices that will enrol: keys, requests as bytes, and the reading of what came back.

Keys are made of a pool of primes, each pair used once: good enough for keys that live a minute, and
a thousand times as fast as making each by itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import combinations, islice

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from scepkit.core import cms, messages
from scepkit.core.certificates import view_of
from scepkit.core.csr_builder import build_csr
from scepkit.core.enrolment import self_signed_requester
from scepkit.core.envelope import DecryptionKey
from scepkit.core.messages import Failure, PkcsReq, Protection, Success
from scepkit.errors import ScepError

_EXPONENT = 65537
_NONCE = bytes(range(16))


@dataclass(frozen=True)
class Enrolment:
    """What one device sends, and what it reads the answer with."""

    key: bytes
    transaction_id: str
    message: bytes


def keys(count: int) -> Iterator[rsa.RSAPrivateKey]:
    """Distinct RSA-2048 keys."""
    primes: list[int] = []
    while len(primes) * (len(primes) - 1) // 2 < count:
        numbers = rsa.generate_private_key(_EXPONENT, 2048).private_numbers()
        primes += (numbers.p, numbers.q)
    return map(_key, islice(combinations(primes, 2), count))


def _key(primes: tuple[int, int]) -> rsa.RSAPrivateKey:
    p, q = max(primes), min(primes)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(_EXPONENT, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def enrolments(
    recipient: x509.Certificate, challenges: Sequence[str], *, prefix: str
) -> list[Enrolment]:
    """One enrolment for each challenge; made by all processors."""
    work = [
        (
            key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            f"{prefix}{number}",
            challenge,
        )
        for number, (key, challenge) in enumerate(
            zip(keys(len(challenges)), challenges, strict=True)
        )
    ]
    der = recipient.public_bytes(Encoding.DER)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(_enrolment, der), work, chunksize=50))


def _enrolment(recipient: bytes, work: tuple[bytes, str, str]) -> Enrolment:
    key_der, name, challenge = work
    key = load_der_private_key(key_der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = datetime.now(UTC)
    csr = build_csr(key, f"CN={name},O=Acme", challenge=challenge)
    requester = self_signed_requester(csr, key, now=now)
    view = view_of(requester.certificate)
    transaction_id = messages.new_transaction_id()
    message = messages.encode_request(
        PkcsReq(csr.public_bytes(Encoding.DER)),
        transaction_id=transaction_id,
        sender_nonce=_NONCE,
        signer=cms.Signer(view, key),
        recipient=view_of(x509.load_der_x509_certificate(recipient)),
        protection=Protection(),
        signing_time=now,
    )
    return Enrolment(key_der, transaction_id, message)


@dataclass(frozen=True)
class Read:
    """What came back.

    Attributes:
        issued: answers with a certificate for the key that asked.
        duplicates: serial numbers that more than one certificate has.
        faults: what was wrong with the others, and how often.
    """

    issued: int
    duplicates: int
    faults: Counter[str]


def read_replies(
    sent: Sequence[Enrolment], replies: Sequence[bytes], signer: x509.Certificate
) -> Read:
    """Verify and decrypt every reply, by all processors."""
    check = partial(_serial_number, signer.public_bytes(Encoding.DER))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(check, sent, replies, chunksize=50))
    serials = Counter(one for one in found if isinstance(one, int))
    return Read(
        issued=serials.total(),
        duplicates=sum(count - 1 for count in serials.values()),
        faults=Counter(one for one in found if isinstance(one, str)),
    )


def _serial_number(signer: bytes, sent: Enrolment, reply: bytes) -> int | str:
    key = load_der_private_key(sent.key, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    ca = view_of(x509.load_der_x509_certificate(signer))
    try:
        requester = view_of(_requester_of(sent))
        answer = messages.open_reply(
            reply,
            transaction_id=sent.transaction_id,
            sender_nonce=_NONCE,
            signers=[ca],
            decrypt_with=DecryptionKey(requester, key),
            allow_legacy=True,
        )
    except ScepError as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(answer, Failure):
        return f"FAILURE {getattr(answer.fail_info, 'name', answer.fail_info)}"
    if not isinstance(answer, Success):
        return type(answer).__name__
    for der in answer.certificates:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.public_key() == key.public_key():
            return certificate.serial_number
    return "no certificate for the key"


def _requester_of(sent: Enrolment) -> x509.Certificate:
    return x509.load_der_x509_certificate(cms.read_signed(sent.message).certificates[0])
