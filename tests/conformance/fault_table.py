"""The faults that the tester has to see: what is broken, how, and which test must say so.

Every row is a server with exactly one fault.  That the same tests find nothing in a server without
faults is shown in `test_faults`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scepkit.ca import AltNameRules, CertificateProfile, KeyRules
from scepkit.conformance.verdicts import Kind
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.capabilities import Capability
from scepkit.core.certificates import view
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.core.messages import (
    MessageType,
    Protection,
    Request,
    StillPending,
)
from scepkit.errors import DecodeError, FailInfo
from scepkit.testing import Policy, TestCa
from scepkit.testing.desk import Desk
from scepkit.testing.state import LENIENT_PROFILE, Outcome
from tests import pki
from tests.conformance.broken import (
    ca_with,
    crashing_on,
    reading,
    refusing,
    retyped,
    unverified,
    without,
)
from tests.conformance.fault import Fault, Q, S, is_get, known

# ------------------------------------------------------------------ the reply


def to_somebody_else(self: Desk, request: Request, outcome: Outcome) -> Any:
    return view(pki.device(pki.root(), "thief", "rsa2048-b").der)


class Sha1Replies(Desk):
    def handle(self, request: Request) -> Outcome:
        outcome = super().handle(request)
        outcome.protection = replace(outcome.protection, digest=Digest.SHA1)
        return outcome


REPLY = [
    Fault("T20", "PKIOperation is not found", known("http-404")),
    Fault("T20", "the reply is called text", known("reply-wrong-type")),
    Fault("T21", "recipientNonce is another one", known("recipient-nonce-wrong")),
    Fault("T21", "there is no recipientNonce", known("nonce-missing")),
    Fault("T21", "transactionID is another one", known("transaction-id-wrong")),
    Fault("T21", "there is no transactionID", known("transaction-id-missing")),
    Fault("T21", "messageType is another one", known("message-type-wrong")),
    Fault("T21", "an attribute is there twice", known("attribute-twice")),
    Fault("T21", "there are two signers", known("two-signers")),
    Fault("T22", "senderNonce is the client's", known("sender-nonce-copied"), S),
    Fault("T22", "there is no senderNonce", known("sender-nonce-missing"), S),
    Fault("T23", "the signature is broken", known("signature-broken")),
    Fault("T23", "a stranger has signed", known("signer-unknown")),
    Fault("T23", "a device of the same CA has signed", known("signer-is-end-entity")),
    Fault("T24", "the reply is encrypted to somebody else",
          lambda: ca_with(desk=without(recipient_for=to_somebody_else))),
    Fault("T24", "SUCCESS without an envelope", known("success-without-envelope")),
    Fault("T25", "the reply is in single DES", known("des-reply")),
    Fault("T26", "the reply is signed with MD5", known("md5-reply")),
    Fault("T26", "the reply is signed with SHA-1", lambda: ca_with(desk=Sha1Replies)),
    Fault("T27", "the certificate is for another key", known("issued-for-other-key")),
    Fault("T27", "there is no certificate", known("success-without-certificates")),
    Fault("T28", "the leaf comes last", known("leaf-last", intermediate=True), Q),
    Fault("T29", "another CA has issued", known("issued-by-other-ca")),
    Fault("T29", "the certificate has expired", known("issued-expired")),
    Fault("T29", "the certificate is not yet valid", known("issued-in-the-future")),
    Fault("T30", "attributes are UTF8Strings", known("attributes-as-utf8")),
    Fault("T30", "the reply is BER", known("ber-reply"), Kind.WARN),
    Fault("T30", "the attributes are not sorted", known("attributes-unsorted"), Kind.WARN),
]  # fmt: skip

# ------------------------------------------------------------------ what is read


def bad_request(condition: Callable[[Request], bool]) -> Callable[[], TestCa]:
    return lambda: ca_with(desk=refusing(condition, FailInfo.BAD_REQUEST))


def _odd_name(request: Request) -> bool:
    """The self-signed certificate has another subject than the request would have."""
    return b"SCEP Protocol Certificate" in request.signer.der


def _unknown_attribute(m: str, t: str, body: bytes) -> bool:
    return bytes.fromhex("2a864886f70d01091903") in body  # PKCS #9 randomNonce


READING = [
    Fault("T31", "GET crashes it", lambda: ca_with(front=crashing_on(lambda m, t, b: is_get(t))),
          Kind.WARN),
    Fault("T32", "an unescaped + is refused",
          lambda: ca_with(front=crashing_on(lambda m, t, b: is_get(t) and "+" in t, 400)), Q),
    Fault("T33", "line breaks are refused",
          lambda: ca_with(front=crashing_on(lambda m, t, b: is_get(t) and "%0A" in t, 400)), Q),
    Fault("T34", "base64url crashes it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: is_get(t) and "_" in t)), Q),
    Fault("T35", "POST without an operation crashes it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: m == "POST" and "operation" not in t)),
          Q),
    Fault("T41", "BER is refused",
          lambda: ca_with(front=crashing_on(lambda m, t, b: b[1:2] == b"\x80", 400)), Q),
    Fault("T43", "nonces have to have 16 bytes",
          bad_request(lambda request: len(request.sender_nonce) != 16), Q),
    Fault("T46", "names are compared instead of keys", bad_request(_odd_name), Q),
    Fault("T47", "certificates have to have extensions",
          bad_request(lambda request: not request.signer._extensions), Q),
    Fault("T48", "a transactionID has at most 64 characters",
          bad_request(lambda request: len(request.transaction_id) > 64), Q),
    Fault("T50", "an unknown attribute crashes it",
          lambda: ca_with(front=crashing_on(_unknown_attribute)), Q),
    Fault("T38", "triple DES is announced and refused",
          known(policy=Policy(ciphers=frozenset({Cipher.AES128_CBC})),
                capabilities=list(Capability))),
    Fault("T39", "SHA-512 is announced and refused",
          known(policy=Policy(digests=frozenset({Digest.SHA256})),
                capabilities=list(Capability))),
    Fault("T70", "single DES is taken", known(policy=Policy(ciphers=frozenset(Cipher)))),
]  # fmt: skip


class OldTransport(Desk):
    """Takes OAEP and answers in PKCS #1 v1.5."""

    def handle(self, request: Request) -> Outcome:
        outcome = super().handle(request)
        outcome.protection = replace(outcome.protection, key_transport=KeyTransport.RSA_PKCS1V15)
        return outcome


READING.append(Fault("T40", "OAEP is not answered in OAEP", lambda: ca_with(desk=OldTransport)))

# ------------------------------------------------------------------ what is decided


class NoPossession(Desk):
    """Does not verify the signature of a certificate request."""

    def handle(self, request: Request) -> Outcome:
        original = ParsedCsr.check_signature
        ParsedCsr.check_signature = lambda self: None  # type: ignore[method-assign]
        try:
            return super().handle(request)
        finally:
            ParsedCsr.check_signature = original  # type: ignore[method-assign]


def authorised_by_challenge(
    self: Desk, request: Request, csr: ParsedCsr, outcome: Outcome, *, renewing: bool
) -> None:
    """Looks at the challenge alone, and never at the signer's key."""
    self._check_challenge(csr.challenge, outcome)


def renewals_are_free(
    self: Desk, request: Request, csr: ParsedCsr, outcome: Outcome, *, renewing: bool
) -> None:
    """Looks at the challenge only in a PKCSReq."""
    if not renewing:
        self._check_challenge(csr.challenge, outcome)


def prefix_challenge(self: Desk, given: str | None, outcome: Outcome) -> None:
    """Compares as far as the shorter text goes."""
    from scepkit.errors import ProtocolError

    expected = self.policy.challenge or ""
    if given is None or not (expected.startswith(given) or given.startswith(expected)):
        raise ProtocolError("the challengePassword is wrong")


def echoed_challenge(self: Desk, given: str | None, outcome: Outcome) -> None:
    from scepkit.errors import ProtocolError

    if given != self.policy.challenge:
        raise ProtocolError(f"the challengePassword {given!r} is wrong")


def never_used_up(self: Desk, given: str | None, outcome: Outcome) -> None:
    from scepkit.errors import ProtocolError

    if given not in self.policy.one_time_challenges:
        raise ProtocolError("the challengePassword is wrong")


def always_new(self: Desk, request: Request, csr: ParsedCsr) -> None:
    """Knows no repetition."""


def by_transaction_id(self: Desk, request: Request, csr: ParsedCsr) -> Any:
    """Looks at nothing but the transactionID."""
    return self.transactions.get(request.transaction_id)


def by_content(self: Desk, request: Request, csr: ParsedCsr) -> Any:
    """Looks at nothing but the certificate request."""
    found = [one for one in self.transactions.values() if one.csr.der == csr.der]
    return found[0] if found else None


def taken_for_pkcs_req(request: Request) -> Request:
    """What it does not know is a PKCSReq to it."""
    if request.message_type is None:
        return replace(request, message_type=MessageType.PKCS_REQ)
    return request


def update_is_renewal(request: Request) -> Request:
    if request.message_type_text == "18":
        return replace(request, message_type=MessageType.RENEWAL_REQ)
    return request


WITH_SIDS = CertificateProfile(alternative_names=AltNameRules(requested_sid=True))
WEAK = CertificateProfile(keys=KeyRules(min_rsa_bits=1024))

DECIDING = [
    Fault("T66", "requests need not be signed", lambda: ca_with(desk=NoPossession)),
    Fault("T67", "the signer's key may be another one",
          lambda: ca_with(desk=without(_authorise=authorised_by_challenge)), Kind.WARN),
    Fault("T63", "an envelope that was caught is answered to the thief",
          lambda: ca_with(desk=without(_authorise=authorised_by_challenge))),
    Fault("T63", "what was granted is answered to whoever signs the request anew",
          lambda: ca_with(desk=without(_known=by_content)),
          says="the attacker's message after it was granted: "),
    Fault("T63", "what was granted is answered to whoever knows its transactionID",
          lambda: ca_with(desk=without(_known=by_transaction_id)),
          says="the same under the owner's transactionID: "),
    Fault("T68", "names are copied without looking",
          known(policy=Policy(profile=LENIENT_PROFILE))),
    Fault("T68", "whoever asks to be a Windows account is one",
          known(policy=Policy(profile=WITH_SIDS)), says="a Windows SID as a URI: the certificate"),
    Fault("T69", "RSA-1024 is certified", known(policy=Policy(profile=WEAK))),
    Fault("T52", "no challenge is asked for", known(policy=Policy(open=True))),
    Fault("T53", "challenges are compared by prefix",
          lambda: ca_with(desk=without(_check_challenge=prefix_challenge))),
    Fault("T54", "challenges are never used up",
          lambda: ca_with(desk=without(_check_challenge=never_used_up)), one_time=True),
    Fault("T55", "of a challenge many can make use at once",
          lambda: ca_with(desk=without(_check_challenge=never_used_up)), one_time=True),
    Fault("T56", "challenges never expire", known(), settings={"expired_challenge": "secret"}),
    Fault("T57", "challenges are good for any name", known(), settings={"bound_challenges": True}),
    Fault("T57", "challenges are good for any name, and nobody says otherwise", known(),
          Kind.WARN),
    Fault("T78", "the challenge is in failInfoText",
          lambda: ca_with(desk=without(_check_challenge=echoed_challenge))),
    Fault("T58", "a RenewalReq needs neither challenge nor certificate",
          lambda: ca_with(desk=without(_authorise=renewals_are_free))),
    Fault("T59", "type 18 goes round the challenge",
          lambda: ca_with(desk=without(_authorise=renewals_are_free),
                          front=retyped(update_is_renewal))),
    Fault("T60", "types it does not know are PKCSReqs to it",
          lambda: ca_with(front=retyped(taken_for_pkcs_req))),
    Fault("T74", "a repetition gives another certificate",
          lambda: ca_with(desk=without(_known=always_new))),
    Fault("T75", "the transactionID alone is looked at",
          lambda: ca_with(desk=without(_known=by_transaction_id))),
]  # fmt: skip

# ------------------------------------------------------------------ signatures and contents


class TakesBareCsr(Desk):
    """Takes a certificate request that is not encrypted, with any challenge."""

    def handle(self, request: Request) -> Outcome:
        try:
            csr = read_csr(request.content or b"")
        except DecodeError:
            return super().handle(request)
        outcome = Outcome(StillPending(), Protection(digest=request.digest))
        self.policy.open = True
        outcome.reply = self._enrol(
            request, csr.der, outcome, self.credentials.issuer, renewing=False
        )
        self.policy.open = False
        return outcome


class SlowPasswords(Desk):
    """Derives keys for as long as a client likes."""

    def handle(self, request: Request) -> Outcome:
        if bytes.fromhex("3b9aca00") in (request.content or b""):  # a thousand million
            time.sleep(5.5)
        return super().handle(request)


class PollsAreRequests(Desk):
    """Does not look whether the content fits the type."""

    def handle(self, request: Request) -> Outcome:
        if request.message_type is MessageType.CERT_POLL:
            enrolling = replace(request, message_type=MessageType.PKCS_REQ)
            return super().handle(enrolling)
        return super().handle(request)


WRAPPING = [
    Fault("T61", "signatures are not verified", lambda: ca_with(front=reading(unverified))),
    Fault("T62", "any certificate will do",
          lambda: ca_with(front=reading(lambda raw: unverified(raw, any_signer=True)))),
    Fault("T64", "of two signers the first one counts",
          lambda: ca_with(front=reading(lambda raw: unverified(raw, first_of_many=True)))),
    Fault("T64", "attributes need not be signed",
          lambda: ca_with(front=reading(lambda raw: unverified(raw, unsigned_too=True)))),
    Fault("T64", "of two attributes the last one counts",
          lambda: ca_with(front=reading(lambda raw: unverified(raw, last_value=True)))),
    Fault("T65", "there need not be signed attributes",
          lambda: ca_with(front=reading(lambda raw: unverified(raw, unsigned_too=True)))),
    Fault("T71", "requests need not be encrypted", lambda: ca_with(desk=TakesBareCsr)),
    Fault("T77", "key derivation has no limit", lambda: ca_with(desk=SlowPasswords)),
    Fault("T95", "the content need not fit the type", lambda: ca_with(desk=PollsAreRequests)),
]  # fmt: skip
