"""One row of `scepkit enrol-many`: from its key to its certificate, however often it is begun.

The order is the point of this file: the key on the disk, the journal on the disk, the request, the
certificate on the disk, the journal.  So whenever the process ends, the next one finds the key, and
knows whether the CA may have been asked.  If it may, it is asked how that request stands, and only
if the CA knows of none is the same sent again, with the same transactionID and key.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from scepkit.cli.destination import Destination
from scepkit.cli.enrolling import refuse_other_type
from scepkit.cli.identity import KeyPassword
from scepkit.cli.many.journal import Journal, Unsettled
from scepkit.cli.many.rows import Row
from scepkit.cli.request import Wanted, read_csr_file
from scepkit.client import Client
from scepkit.core.certificates import PrivateKey, view_of
from scepkit.core.enrolment import EnrolmentResult, Issued, Pending, Rejected
from scepkit.core.flows.enrolling import is_passing
from scepkit.core.names import parse_eku, parse_san, parse_subject
from scepkit.errors import HttpStatusError, TransportError
from scepkit.keys import generate_key, write_private_key
from scepkit.values import frozen

#: Seconds before a request is tried again that did not reach the server, or found it busy.
_WAITS = (1.0, 4.0, 16.0)
#: A server that asks for more patience than this (seconds) is not waited for.
_LONGEST_WAIT = 300.0
#: What a server says that is busy; any other status is its answer to being polled.
_BUSY = frozenset({408, 429, 503})


@frozen
class Errands:
    """What all rows have in common.

    Attributes:
        client: asks the CA; several threads do so at once.
        journal: keeps what is under way.
        directory: in which each row has a folder.
        passwords: of the keys.
        challenge: for rows that have none of their own.
        options: the options of the command.
        may_ask: called before a request is made; it waits until that may leave.
        stop: set when no further request is to leave.
    """

    client: Client
    journal: Journal
    directory: str
    passwords: KeyPassword
    challenge: str | None
    options: Mapping[str, Any]
    may_ask: Callable[[], None]
    stop: threading.Event


def certificate_of(directory: str, row: Row) -> str:
    """The file for the certificate of a row."""
    return os.path.join(directory, row.name, "cert.pem")


def obtain(errands: Errands, row: Row, pending: Pending | None = None) -> EnrolmentResult:
    """Obtain the certificate of a row that has none, and put it into its folder.

    Args:
        errands: what all rows have in common.
        row: the row.
        pending: what the CA has said of it before in this run.

    Raises:
        ScepError: as the client does.
        Unfit: a key that is there cannot be used.
        OSError: a file cannot be written.
    """
    certificate = certificate_of(errands.directory, row)
    folder = os.path.dirname(certificate)
    os.makedirs(folder, exist_ok=True)
    key_path = row.key or os.path.join(folder, "key.pem")
    key = _key(errands, row, key_path)
    before = errands.journal.unsettled(row.name)
    if pending is not None:
        before = Unsettled(pending, answered=True)
    result = _Asking(errands, row, key, before).result()
    match result:
        case Issued():
            chain = os.path.join(folder, "chain.pem")
            Destination(key_path, certificate, chain).install(result.certificate, result.chain)
            serial_number = view_of(result.certificate).serial_number
            errands.journal.issued(row.name, result.transaction_id, serial_number)
        case Pending():
            # Once: a row may be asked about for days, and the journal would grow each time.
            if before is None or not before.answered:
                errands.journal.pending(row.name, result)
        case Rejected():
            errands.journal.refused(row.name, result.transaction_id, result.reason)
    return result


def _key(errands: Errands, row: Row, path: str) -> PrivateKey:
    """The row's key; a new one is on the disk when this returns."""
    wanted = errands.options["key_type"]
    if row.key or row.csr:
        return errands.passwords.read_key(path)
    if os.path.lexists(path):
        key = errands.passwords.read_key(path, first=errands.passwords.for_new())
        refuse_other_type(key, path, wanted)
        return key
    key = generate_key(wanted or "rsa:2048")
    write_private_key(path, key, errands.passwords.for_new())
    return key


class _Asking:
    """The CA is asked until it has answered, by one request however often that is sent."""

    def __init__(
        self, errands: Errands, row: Row, key: PrivateKey, before: Unsettled | None
    ) -> None:
        self._errands, self._row, self._key, self._before = errands, row, key, before
        self._challenge = row.challenge or errands.challenge

    def result(self) -> EnrolmentResult:
        for wait in _WAITS:
            try:
                return self._once()
            except TransportError as error:
                wait = max(wait, error.retry_after or 0)
                if not is_passing(error) or wait > _LONGEST_WAIT or self._errands.stop.wait(wait):
                    raise
        return self._once()

    def _once(self) -> EnrolmentResult:
        self._errands.may_ask()
        before = self._before
        if before is None:
            return self._enrol()
        try:
            found = self._errands.client.poll(before.pending, self._key, challenge=self._challenge)
        except HttpStatusError as error:
            # Some servers know no CertPoll and say so by a status.
            if before.answered or error.status in _BUSY:
                raise
            return self._enrol(before.pending)
        if isinstance(found, Rejected) and not before.answered:
            # The request never came; or it did and was refused, and will be again.
            return self._enrol(before.pending)
        return found

    def _enrol(self, again: Pending | None = None) -> EnrolmentResult:
        return self._errands.client.enrol(
            _wanted(self._row).csr_for(self._key, self._challenge),
            self._key,
            requester=again.requester_with(self._key) if again else None,
            profile=self._errands.options["profile"],
            challenge=self._challenge,
            transaction_id=again.transaction_id if again else None,
            on_started=self._leave,
        )

    def _leave(self, pending: Pending) -> None:
        self._errands.journal.started(self._row.name, pending)
        self._before = Unsettled(pending, answered=False)


def _wanted(row: Row) -> Wanted:
    if row.csr is not None:
        return Wanted(csr=read_csr_file(row.csr))
    return Wanted(
        subject=parse_subject(row.subject),
        san=tuple(parse_san(text) for text in row.san),
        eku=tuple(parse_eku(text) for text in row.eku),
    )
