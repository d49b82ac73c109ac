"""The journal of `scepkit enrol-many`: what is under way, on the disk before the request leaves.

It is a file of JSON objects, one a line, that only ever grows: ``started`` before a request leaves,
with all that it takes to resume it; ``pending``, ``issued``, ``refused`` and ``failed`` when that
is known, and ``trusted`` with the CA certificate that the requests rely on.  There is no secret in
it.

The rules of this file: what `write` was given is on the disk when it returns; and a line that was
cut off by the end of the process never happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.cli.failures import Unfit
from scepkit.core.certificates import load_certificate
from scepkit.core.enrolment import Pending
from scepkit.errors import DecodeError, InputError
from scepkit.values import frozen


@frozen
class Unsettled:
    """A request that nobody knows the end of.

    Attributes:
        pending: what it takes to resume it.
        answered: the CA has said PENDING; False when its answer was lost.
    """

    pending: Pending
    answered: bool


class Journal:
    """The journal in the file `path`, which is made when it is not there.

    Many threads may use one; of the writes that come together, one waits for the disk for all.

    Raises:
        Unfit: what stands in it is not a journal.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = open(path, "a+b", buffering=0, opener=_private)  # noqa: SIM115
        try:
            self._unsettled, end = self._read()
            self._file.truncate(end)
            _sync_directory(os.path.dirname(path) or os.curdir)
        except BaseException:
            self._file.close()
            raise
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def unsettled(self, name: str) -> Unsettled | None:
        """The request for the row `name` that was under way when the journal was opened."""
        return self._unsettled.get(name)

    def started(self, name: str, pending: Pending) -> None:
        """A request is about to leave."""
        self._write(name, "started", pending=json.loads(pending.to_json()))

    def pending(self, name: str, pending: Pending) -> None:
        """The CA has not decided."""
        self._write(name, "pending", pending=json.loads(pending.to_json()))

    def issued(self, name: str, transaction_id: str, serial_number: int) -> None:
        """The certificate is there."""
        self._write(name, "issued", transactionID=transaction_id, serialNumber=f"{serial_number:x}")

    def refused(self, name: str, transaction_id: str, reason: str) -> None:
        """The CA has refused."""
        self._write(name, "refused", transactionID=transaction_id, reason=reason)

    def trusted(self, certificate: x509.Certificate) -> None:
        """The requests that follow rely on this CA certificate."""
        self._write("", "trusted", certificate=certificate.public_bytes(Encoding.DER).hex())

    def _write(self, name: str, event: str, **details: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": now, "name": name, "event": event, **details}
        line = json.dumps(record).encode() + b"\n"
        with self._writing:
            try:
                rest = line
                while rest:  # a disk that gets full may take the first part of it
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(self._written)  # or the next line would go on in this one
                raise
            self._written = mine = self._written + len(line)
        with self._syncing:
            if self._synced < mine:
                covered = self._written
                os.fsync(self._file.fileno())
                self._synced = covered

    def _read(self) -> tuple[dict[str, Unsettled], int]:
        """What is under way, and where the last whole line ends."""
        found: dict[str, Unsettled] = {}
        end = number = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                number += 1
                end += len(line)
                try:
                    record = json.loads(line)
                    name, event = record["name"], record["event"]
                    if event == "trusted":
                        load_certificate(bytes.fromhex(record["certificate"]))
                    elif event in {"started", "pending"}:
                        pending = Pending.from_json(json.dumps(record["pending"]))
                        found[name] = Unsettled(pending, event == "pending")
                    else:
                        found.pop(name, None)
                except (ValueError, KeyError, TypeError, InputError, DecodeError) as error:
                    raise Unfit(
                        f"{self.path}, line {number}: this is not a line of a journal "
                        f"({type(error).__name__})",
                        hint="without its journal, what is under way would be asked for twice; "
                        "if you are sure that nothing is, remove it",
                        path=self.path,
                    ) from None
        return found, end


def trusted_before(path: str) -> tuple[x509.Certificate, ...]:
    """The CA certificates that the requests in a journal relied on; none where there is no journal.

    What is not a line of a journal is passed over: whoever opens it is told of that.
    """
    found: dict[str, x509.Certificate] = {}
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError, DecodeError):
                record = json.loads(line) if b'"trusted"' in line else {"event": ""}
                if record["event"] == "trusted":
                    der = record["certificate"]
                    found[der] = load_certificate(bytes.fromhex(der))
    return tuple(found.values())


def _sync_directory(directory: str) -> None:
    if hasattr(os, "O_DIRECTORY"):  # not on Windows
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
