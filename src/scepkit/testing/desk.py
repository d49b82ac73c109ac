"""What a test CA decides about the messages it gets.

The rule of this file: it does what a careful CA does (RFC 8894, and section by section what that
leaves open), because clients are tested against it; every leniency is a field of `state.Policy`.

* The signer of a first request is the owner of the requested key, or nothing counts (A1).
* The same request again is answered with the same result (RFC 8894 section 5.2, P1).
* A renewal is signed by a certificate this CA issued: valid, not revoked, of the same subject.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, ProfileRefusal, Revocation, template_for
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.certificates import CertificateView, load_certificate
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    GetCert,
    GetCrl,
    PkcsReq,
    Protection,
    RenewalReq,
    Request,
    StillPending,
    Success,
)
from scepkit.errors import (
    AlgorithmError,
    DecodeError,
    FailInfo,
    InputError,
    ProtocolError,
    SignatureError,
)
from scepkit.testing.credentials import Credentials, der
from scepkit.testing.faults import Fault
from scepkit.testing.opening import open_request
from scepkit.testing.state import Outcome, Policy, Transaction


class Desk:
    """Decides; knows nothing of HTTP and does not sign replies."""

    def __init__(
        self,
        credentials: Credentials,
        policy: Policy,
        faults: set[Fault],
        clock: Callable[[], datetime],
    ) -> None:
        self.credentials = credentials
        self.next: Credentials | None = None
        #: CAs whose certificates may be renewed; the present one is the last.
        self.generations = [credentials.issuer]
        self.policy = policy
        self.faults = faults
        self.clock = clock
        self.transactions: dict[str, Transaction] = {}
        self.issued: dict[int, x509.Certificate] = {}
        self.revoked: dict[int, Revocation] = {}
        self.crl_number = 0

    def handle(self, request: Request) -> Outcome:
        """Answer a message whose signature was verified."""
        outcome = Outcome(StillPending(), Protection(digest=request.digest))
        try:
            issuer = self._open(request, outcome)
            self._check_algorithms(outcome.protection)
            outcome.reply = self._answer(request, outcome, issuer)
        except ProtocolError as error:
            outcome.reply = Failure(error.fail_info, str(error))
        return outcome

    def _open(self, request: Request, outcome: Outcome) -> CaIssuer:
        """Decrypt, and say which CA was addressed (RFC 8894 section 5.1)."""
        known = self.transactions.get(request.transaction_id)
        passwords = dict.fromkeys(
            secret
            for secret in (
                known.secret if known else None,
                self.policy.challenge,
                *sorted(self.policy.one_time_challenges),
            )
            if secret
        )
        keys = self.credentials.decrypters + (self.next.decrypters if self.next else ())
        opened, opener = open_request(
            request, keys, [Password(secret.encode()) for secret in passwords]
        )
        outcome.data, outcome.protection = opened.data, opened.protection
        outcome.decrypted = True
        if isinstance(opener, Password):
            outcome.secret = opener.secret.decode()
        elif self.next and _holds(self.next, opener):
            return self.next.issuer
        return self.credentials.issuer

    def _check_algorithms(self, protection: Protection) -> None:
        ciphers, digests = self.policy.ciphers, self.policy.digests
        if Fault.ONLY_3DES in self.faults:
            ciphers, digests = frozenset({Cipher.DES_EDE3_CBC}), frozenset({Digest.SHA1})
        for algorithm, accepted in ((protection.cipher, ciphers), (protection.digest, digests)):
            if algorithm not in accepted:
                raise AlgorithmError(
                    f"{algorithm.value} is not accepted here", algorithm=algorithm.value
                )

    def _answer(self, request: Request, outcome: Outcome, issuer: CaIssuer) -> CertRep:
        match outcome.data:
            case PkcsReq(csr) | RenewalReq(csr):
                renewing = isinstance(outcome.data, RenewalReq)
                return self._enrol(request, csr, outcome, issuer, renewing=renewing)
            case CertPoll():
                return self._poll(request, outcome)
            case GetCert(name, serial):
                return self._get_certificate(name, serial, outcome)
            case GetCrl(name, _):
                return self._get_crl(name, outcome)
        raise ProtocolError(f"messageType {request.message_type_text!r} is not a request")

    # -------------------------------------------------------------- enrolment

    def _enrol(
        self, request: Request, der_: bytes, outcome: Outcome, issuer: CaIssuer, *, renewing: bool
    ) -> CertRep:
        csr = outcome.csr = read_csr(der_)
        csr.check_signature()
        outcome.secret = outcome.secret or csr.challenge
        known = self._known(request, csr)
        if known is not None:
            self.transactions[request.transaction_id] = known
            return self._result(known, outcome, polled=True)
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        self._authorise(request, csr, outcome, renewing=renewing)
        template = template_for(csr, self.policy.profile)
        if isinstance(template, ProfileRefusal):
            return Failure(template.fail_info, template.reason)
        transaction = Transaction(
            transaction_id=request.transaction_id,
            csr=csr,
            requester=request.signer,
            template=template,
            issuer=issuer,
            polls_left=self._polls(),
            secret=outcome.secret,
            resets_left=int(Fault.PENDING_THEN_RESET in self.faults),
        )
        self.transactions[request.transaction_id] = transaction
        return self._result(transaction, outcome, polled=False)

    def _known(self, request: Request, csr: ParsedCsr) -> Transaction | None:
        """The transaction this request repeats, with its own transactionID or a new one."""
        known = self.transactions.get(request.transaction_id)
        if known is not None:
            if known.requester.spki != request.signer.spki or known.csr.der != csr.der:
                raise ProtocolError("the transactionID belongs to another request")
            return known
        for one in self.transactions.values():
            # The signer's name tells an enrolment from a renewal with the same key.
            if (
                one.csr.der == csr.der
                and one.requester.spki == request.signer.spki
                and one.requester.issuer == request.signer.issuer
            ):
                return one
        return None

    def _refusal(self) -> Failure | None:
        implied = {
            Fault.EMPTY_ECONTENT_IN_FAILURE,
            Fault.FAILURE_WITHOUT_FAIL_INFO,
            Fault.FAIL_INFO_7,
        }
        if self.faults & implied:
            return Failure(FailInfo.BAD_REQUEST, "this test CA was told to refuse")
        return self.policy.reject

    def _polls(self) -> int | None:
        if self.policy.manual or Fault.PENDING_FOREVER in self.faults:
            return None
        if Fault.PENDING_THEN_RESET in self.faults:
            return 2
        if self.faults & {Fault.PENDING_THEN_FAILURE, Fault.RETRY_AFTER}:
            return 1
        return self.policy.pending_polls

    def _authorise(
        self, request: Request, csr: ParsedCsr, outcome: Outcome, *, renewing: bool
    ) -> None:
        """Return if the requester may have a certificate, else raise."""
        existing = self._own_certificate(request.signer)
        if renewing and existing is None:
            raise SignatureError("a RenewalReq is signed with a certificate of this CA")
        if existing is not None:
            self._check_renewal(existing, csr)
            return
        if request.signer.issuer == request.signer.subject and not _same_key(request.signer, csr):
            # Or whoever catches a request could sign it again and have it answered to him (A1).
            raise ProtocolError("the request is not signed with the key it is for")
        self._check_challenge(csr.challenge, outcome)

    def _check_challenge(self, given: str | None, outcome: Outcome) -> None:
        expected = self.policy.challenge
        if self.policy.open:
            return
        candidate = (given or "").encode()
        outcome.challenge_matched = expected is not None and hmac.compare_digest(
            candidate, expected.encode()
        )
        if not outcome.challenge_matched and given in self.policy.one_time_challenges:
            self.policy.one_time_challenges.remove(given)
            outcome.challenge_matched = True
        if not outcome.challenge_matched:
            missing = given is None
            raise ProtocolError(
                "the challengePassword is missing" if missing else "the challengePassword is wrong"
            )

    def _own_certificate(self, signer: CertificateView) -> x509.Certificate | None:
        """The signer's certificate, if this CA issued it."""
        if signer.issuer == signer.subject:
            return None
        for issuer in self.generations:
            try:
                certificate = load_certificate(signer.der)
                certificate.verify_directly_issued_by(issuer.certificate)
            except (DecodeError, ValueError, TypeError, InvalidSignature):
                continue
            return certificate
        return None

    def _check_renewal(self, existing: x509.Certificate, csr: ParsedCsr) -> None:
        if not self.policy.renewal:
            raise ProtocolError("this CA does not renew certificates")
        if existing.serial_number not in self.issued:
            raise SignatureError("the request is signed with a certificate nobody was given")
        if existing.serial_number in self.revoked:
            raise SignatureError("the certificate that signed the request is revoked")
        now = self.clock()
        if not existing.not_valid_before_utc <= now <= existing.not_valid_after_utc:
            raise SignatureError("the certificate that signed the request is out of date")
        if csr.subject != existing.subject:
            raise ProtocolError("a renewal has the subject of the certificate it renews")

    def _result(self, transaction: Transaction, outcome: Outcome, *, polled: bool) -> CertRep:
        """How the transaction stands; being asked brings it on."""
        if polled and transaction.pending:
            if transaction.polls_left is not None:
                transaction.polls_left -= 1
            if transaction.resets_left:
                transaction.resets_left -= 1
                outcome.reset = True
        left = transaction.polls_left
        if transaction.pending and left is not None and left <= 0:
            self._decide(transaction)
        outcome.secret = outcome.secret or transaction.secret
        if transaction.failure is not None:
            return transaction.failure
        if transaction.certificate is None:
            return StillPending()
        outcome.template = transaction.template
        outcome.certificate = transaction.certificate
        return Success((der(transaction.certificate),))

    def _decide(self, transaction: Transaction) -> None:
        if Fault.PENDING_THEN_FAILURE in self.faults:
            transaction.failure = Failure(FailInfo.BAD_REQUEST, "somebody has said no")
        else:
            self.issue(transaction)

    def issue(self, transaction: Transaction) -> x509.Certificate:
        """Issue what a transaction asks for."""
        transaction.certificate = transaction.issuer.issue(
            transaction.template, x509.random_serial_number(), self.clock()
        )
        self.issued[transaction.certificate.serial_number] = transaction.certificate
        return transaction.certificate

    # -------------------------------------------------------------- polls and queries

    def _poll(self, request: Request, outcome: Outcome) -> CertRep:
        # By transactionID alone; the names in the poll say nothing more (RFC 8894 section 3.3.3).
        known = self.transactions.get(request.transaction_id)
        if known is None:
            return Failure(FailInfo.BAD_CERT_ID, "there is no such transaction")
        if known.requester.spki != request.signer.spki:
            return Failure(FailInfo.BAD_MESSAGE_CHECK, "somebody else asked for this certificate")
        outcome.csr = known.csr
        return self._result(known, outcome, polled=True)

    def _get_certificate(self, name: bytes, serial: int, outcome: Outcome) -> CertRep:
        issuer = self.credentials.issuer.certificate
        found = self.issued.get(serial)
        if found is None or issuer.subject.public_bytes() != name:
            return Failure(FailInfo.BAD_CERT_ID, "there is no such certificate")
        outcome.certificate = found
        return Success((der(found),))

    def _get_crl(self, name: bytes, outcome: Outcome) -> CertRep:
        if Fault.QUERY_PENDING in self.faults:
            return StillPending()
        if self.credentials.issuer.certificate.subject.public_bytes() != name:
            return Failure(FailInfo.BAD_CERT_ID, "this CA has no CRL for that issuer")
        return Success(crls=(self.make_crl().public_bytes(Encoding.DER),))

    def make_crl(self) -> x509.CertificateRevocationList:
        """The newest CRL."""
        self.crl_number += 1
        return self.credentials.issuer.make_crl(
            self.revoked.values(), self.crl_number, self.clock()
        )

    def find(self, transaction_id: str | None) -> Transaction:
        """The transaction with this id, or the only one that is pending.

        :raises InputError: there is none, or which one is meant cannot be told.
        """
        if transaction_id is not None:
            if transaction_id not in self.transactions:
                raise InputError(f"there is no transaction {transaction_id!r}")
            return self.transactions[transaction_id]
        pending = {id(one): one for one in self.transactions.values() if one.pending}
        if len(pending) != 1:
            raise InputError(f"{len(pending)} transactions are pending; name one by its id")
        return next(iter(pending.values()))

    def recipient_for(self, request: Request, outcome: Outcome) -> CertificateView | Password:
        """Whom the answer is encrypted to (RFC 8894 sections 2.3 and 3.1).

        :raises ProtocolError: the requester's key cannot decrypt and there is no shared secret.
        """
        if isinstance(request.signer.public_key(), rsa.RSAPublicKey):
            return request.signer
        secrets = [one.secret for one in self.transactions.values() if _asked(one, request)]
        secret = next(filter(None, (outcome.secret, *secrets, self.policy.challenge)), None)
        if secret is None:
            raise AlgorithmError(
                "the requester's key cannot decrypt, and there is no challengePassword instead",
                algorithm="password",
            )
        return Password(secret.encode())


def _asked(transaction: Transaction, request: Request) -> bool:
    return transaction.requester.spki == request.signer.spki


def _same_key(signer: CertificateView, csr: ParsedCsr) -> bool:
    return signer.spki == csr.spki_der or signer.public_key() == csr.public_key


def _holds(credentials: Credentials, key: DecryptionKey) -> bool:
    return any(one.certificate == key.certificate for one in credentials.decrypters)
