"""The SCEP service without HTTP: bytes and the time in, bytes out.

    service = ScepService(store, deployment)
    reply = service.pki_operation("default", body, Context(now, "192.0.2.1"))

The rules of this file: messageTypes are a list, and what is not on it is refused; everything that
could not be read is answered alike, in content and in time (attacks A2 and A3), so every refusal
waits for the next line of a grid, and for a CertPoll nothing is decrypted at all; bad input never
raises.  What is raised is a database or a key that cannot be used: then the client is told to come
back, never that it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from time import perf_counter

from scepkit.core.certificates import view_of
from scepkit.core.http import CA_CERT_TYPE, NEXT_CA_CERT_TYPE, PKI_MESSAGE_TYPE, printable
from scepkit.core.messages import (
    Failure,
    MessageType,
    Protection,
    read_request,
)
from scepkit.errors import AlgorithmError, FailInfo, ProtocolError
from scepkit.server import auditing, offers, opening, passwords
from scepkit.server.auth_renewal import is_of_ours
from scepkit.server.case import Answer, Case, Desk, Refusal, milliseconds_of
from scepkit.server.checkpoints import checkpoint
from scepkit.server.deployment import Deployment
from scepkit.server.enrolling import QueueFull, enrol
from scepkit.server.gate import renews_by
from scepkit.server.opening import Opened, Sealed, Unreadable, look_at, open_request
from scepkit.server.polling import poll
from scepkit.server.queries import query
from scepkit.server.records import OperationRecord
from scepkit.server.replies import Context, Document, Reply
from scepkit.server.sealing import seal
from scepkit.store import Store, crls, turns
from scepkit.store.rows import Crl, moment

_TEXT = "text/plain"
_CRL_TYPE = "application/pkix-crl"
_LONGEST_TEXT = 300
#: Seconds after which a client should ask again when the queue for persons is full.
_QUEUE_FULL_RETRY = 600


class ScepService:
    """What a SCEP server does; any number of threads may use one.

    :param store: the database, migrated.
    :param deployment: replace it to reload (`service.deployment = ...`).
    :param lease: after which another process goes on with what this one began and did not end.
    :param wait: how long to wait for another process that works at the same request.
    :param failure_grid: a refusal is decided at a multiple of this time after the request came, so
        that its cause does not show in the time.
    :param clock, sleep: seconds that only grow, and a pause of seconds.
    """

    def __init__(
        self,
        store: Store,
        deployment: Deployment,
        *,
        lease: timedelta = timedelta(seconds=30),
        wait: timedelta = timedelta(milliseconds=600),
        failure_grid: timedelta = timedelta(milliseconds=5),
        clock: Callable[[], float] = perf_counter,
        sleep: Callable[[float], None] = turns.pause,
    ) -> None:
        self.store = store
        self.deployment = deployment
        self._lease = milliseconds_of(lease)
        self._patience = wait.total_seconds()
        self._grid = failure_grid.total_seconds()
        self._clock, self._sleep = clock, sleep
        opening.prepare()

    @property
    def profile_names(self) -> tuple[str, ...]:
        """The names of the profiles."""
        return tuple(self.deployment.profiles)

    def desk(self) -> Desk:
        """What a job or request is worked at with, as it is now."""
        return Desk(self.store, self.deployment, self._lease, self._patience)

    # -------------------------------------------------------------- what is published

    def get_ca_caps(self, profile: str) -> Reply:
        """GetCACaps (RFC 8894 section 3.5)."""
        found = self.deployment.profiles.get(profile)
        if found is None:
            return _no_profile()
        return Reply(200, offers.capabilities(found), _TEXT)

    def get_ca_cert(self, profile: str) -> Reply:
        """GetCACert (RFC 8894 section 4.2)."""
        found = self.deployment.profiles.get(profile)
        if found is None:
            return _no_profile()
        return Reply(200, *offers.ca_certificates(found.roles.offered))

    def get_next_ca_cert(self, profile: str) -> Reply:
        """GetNextCACert (RFC 8894 section 4.7); 404 while there is none, as it is not announced."""
        found = self.deployment.profiles.get(profile)
        if found is None:
            return _no_profile()
        if found.next_ca is None:
            return Reply(404, b"there is no next CA certificate now\n", _TEXT)
        return Reply(200, found.next_ca, NEXT_CA_CERT_TYPE)

    def ca_certificate(self, label: str) -> Document | None:
        """The certificate of a CA, by its label (``main``, ``main~2``)."""
        generation = self.deployment.labelled(label)
        if generation is None:
            return None
        der = view_of(generation.certificate).der
        issued = generation.certificate.not_valid_before_utc
        return Document(der, CA_CERT_TYPE, f'"ca-{generation.ca_id}"', issued)

    def crl(self, label: str, now: datetime, known: Document | None = None) -> Document | None:
        """The newest CRL of a CA, by its label.

        :param known: what this returned last: read again only when there is a newer one.
        :raises StoreUnavailable: the database cannot be used now.
        """
        generation = self.deployment.labelled(label)
        if generation is None:
            return None
        ca_id = generation.ca_id
        if known is not None:
            head = self.store.read(lambda tx: crls.newest_without_der(tx, ca_id))
            if head is not None and _etag(head) == known.etag:
                return known
        found = self.store.read(lambda tx: crls.newest(tx, ca_id))
        if found is None:
            return None
        return Document(
            found.der,
            _CRL_TYPE,
            _etag(found),
            moment(found.this_update),
            moment(found.next_update),
        )

    # -------------------------------------------------------------- PKIOperation

    def pki_operation(self, profile: str, body: bytes, context: Context) -> Reply:
        """Answer a pkiMessage (RFC 8894 section 4.3).

        :param body: the message itself, DER or BER.
        :raises StoreUnavailable: the database cannot be used now.
        :raises KeyUnavailable: a key that every answer needs cannot be used now.
        """
        began = self._clock()
        found = self.deployment.profiles.get(profile)
        if found is None:
            return _no_profile()
        record = OperationRecord(profile, context.address, context.method)
        try:
            with record.timed("read"):
                request = read_request(body, allow_legacy=True)  # MD5 is refused in words: `_open`
        except ProtocolError as error:
            # There is no transactionID and no nonce to answer with (G5).
            record.reason = str(error)
            text = printable(str(error), _LONGEST_TEXT)
            return Reply(400, f"{text}\n".encode(), _TEXT, record=record)
        record.about(request)
        case = Case(self.desk(), found, request, context, record)
        try:
            if request.message_type is MessageType.GET_CRL:  # some are many megabytes
                body = turns.elsewhere(lambda: self._answer(case, began))
            else:
                body = self._answer(case, began)
        except QueueFull:
            record.reason = "too many requests wait for a person"
            retry = (("Retry-After", str(_QUEUE_FULL_RETRY)),)
            return Reply(503, b"too many requests are waiting\n", _TEXT, retry, record)
        return Reply(200, body, PKI_MESSAGE_TYPE, record=record)

    def _answer(self, case: Case, began: float) -> bytes:
        try:
            opened = self._open(case)
        except ProtocolError as error:
            sealed = Sealed(Protection(digest=case.request.digest), None)
            answer = _refused(case, Refusal(str(error), str(error), error.fail_info))
        else:
            checkpoint("opened")
            answer, sealed = _dispatch(case, opened)
        if isinstance(answer.reply, Failure):
            self._wait(began)
        signer = sealed.opener.signer if sealed.opener else case.profile.roles.signer
        turns.step()
        with case.record.timed("seal"):
            reply = seal(case, answer, sealed.protection, signer)
        checkpoint("sealed")
        return reply

    def _wait(self, began: float) -> None:
        """Until the next line of the grid: what took a little longer is answered no later."""
        if self._grid:
            spent = self._clock() - began
            self._sleep(self._grid - spent % self._grid)

    def _open(self, case: Case) -> Opened | Unreadable | Sealed:
        """Check what can be seen of a request, and decrypt it if its content matters.

        :raises ProtocolError: it is refused for what anybody can see.
        """
        request, profile = case.request, case.profile
        if not _can_be_kept(request.transaction_id):
            raise ProtocolError("the transactionID has characters that no text can have")
        if request.message_type is None:
            raise ProtocolError("this messageType is not a request of RFC 8894")
        if request.digest not in profile.digests:
            name = request.digest.value
            raise AlgorithmError(f"{name} is not accepted here", algorithm=name)
        openers = profile.roles.openers
        turns.step()
        with case.record.timed("open"):
            if request.message_type is MessageType.CERT_POLL:
                return look_at(request, openers, ciphers=profile.ciphers)
            return open_request(
                request,
                openers,
                lambda: passwords.candidates(case),
                ciphers=profile.ciphers,
                renews=renews_by(request.message_type, profile.auth)
                and is_of_ours(self.deployment.authorities, request.signer),
            )


def _dispatch(case: Case, opened: Opened | Unreadable | Sealed) -> tuple[Answer, Sealed]:
    """The answer, and how and by whom it is to be protected."""
    if isinstance(opened, Sealed):
        if opened.opener is not None:
            case.record.protected(opened.protection)
        return poll(case, opened), opened
    sealed = opened.sealed
    if isinstance(opened, Opened):
        case.record.protected(sealed.protection)
    if case.request.message_type in {MessageType.GET_CERT, MessageType.GET_CRL}:
        return query(case, opened), sealed
    if isinstance(opened, Opened):
        if opened.opener is not None:  # whatever the envelope names: this client knows that key
            sealed = replace(sealed, opener=opened.opener)
        return enrol(case, opened), sealed
    case.profile.roles.require_tokens()
    refusal = Refusal(opened.cause, "", FailInfo.BAD_MESSAGE_CHECK, "request.unreadable")
    return _refused(case, refusal), sealed


def _can_be_kept(text: str) -> bool:
    """Whether both databases can keep a text: without NUL and halves of characters."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _refused(case: Case, refusal: Refusal) -> Answer:
    enrolling = case.request.message_type in {MessageType.PKCS_REQ, MessageType.RENEWAL_REQ}
    auditing.refuse(case, refusal, enrolling=enrolling)
    return refusal.answer()


def _etag(crl: Crl) -> str:
    # With its date: after a restore numbers come again, for other CRLs.
    return f'"crl-{crl.ca_id}-{crl.number}-{crl.this_update}"'


def _no_profile() -> Reply:
    return Reply(404, b"there is no such profile\n", _TEXT)
