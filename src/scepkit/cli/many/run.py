"""All rows of `scepkit enrol-many`: so many at once, so many a second, and what came of them.

The rules of this file: a row that fails does not keep the others from their certificates, but a
server that cannot be reached does; and however many rows there are, so many as are asked for at
once are in memory, and those that are pending while they are waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from scepkit.cli.connect import Options, open_client, read_trust
from scepkit.cli.destination import alone_in
from scepkit.cli.failures import ExitCode, Refused, describe, fail_info_name
from scepkit.cli.identity import KeyPassword
from scepkit.cli.many.journal import Journal, trusted_before
from scepkit.cli.many.rows import Row, RowFile, check_rows, read_rows
from scepkit.cli.many.waiting import Job, Waiting
from scepkit.cli.many.work import Errands, certificate_of, obtain
from scepkit.cli.outcome import LONGEST_INTERVAL
from scepkit.cli.output import Output, fields, stderr_line
from scepkit.cli.passwords import Challenge, only_one_from_stdin
from scepkit.cli.polling import Succession
from scepkit.cli.terminal import Progress
from scepkit.core.enrolment import EnrolmentResult, Issued, Pending, PollPolicy, Rejected
from scepkit.errors import ScepError, TransportError
from scepkit.keys import parse_key_spec

JOURNAL = ".enrol-many.journal"
#: So many failures are in the JSON result; all of them were told on stderr.
_MOST_FAILURES = 1000
#: Which failure gives the exit code: the first of these that occurred.
_GRAVEST = (
    ExitCode.UNREACHABLE,
    ExitCode.UNTRUSTED,
    ExitCode.FILE,
    ExitCode.UNEXPECTED,
    ExitCode.USAGE,
    ExitCode.REFUSED,
    ExitCode.PENDING,
)
_SECONDS_BETWEEN_LINES = 0.2
_BAR = 24


def run(out: Output, url: str, path: str, directory: str, options: Options) -> ExitCode:
    """Obtain the certificates of all rows of the file `path` into folders of `directory`."""
    only_one_from_stdin(options, file=path)
    if options["key_type"] is not None:
        parse_key_spec(options["key_type"])
    with RowFile(path) as source:
        return _obtain_all(out, url, source, directory, options)


def _obtain_all(
    out: Output, url: str, source: RowFile, directory: str, options: Options
) -> ExitCode:
    total = check_rows(source, directory)
    secret = Challenge(out, {**options, "challenge": None, "ask_challenge": False})
    passwords = KeyPassword(out, options["key_password_file"], options["new_key_password_file"])
    journal_path = os.path.join(directory, JOURNAL)
    before = trusted_before(journal_path)
    # What is under way may have been decided by a CA that has got a new key since.
    trust = Succession(read_trust(out, options), *before) if before else None
    with open_client(out, url, options, trust=trust) as client:
        anchor = client.get_ca_certificates(options["profile"]).anchor
        os.makedirs(directory, exist_ok=True)
        with alone_in(directory), Journal(journal_path) as journal:
            if anchor not in before:
                journal.trusted(anchor)
            stop = threading.Event()
            errands = Errands(
                client=client,
                journal=journal,
                directory=directory,
                passwords=passwords,
                challenge=secret.get(),
                options=options,
                may_ask=Pace(options["rate"], stop).wait,
                stop=stop,
            )
            crowd = Crowd(out, errands, source, total)
            crowd.run(options["parallel"])
    return crowd.tell()


class Pace:
    """Lets so many pass in a second, evenly; None lets all pass."""

    def __init__(self, rate: float | None, stop: threading.Event) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the caller may go on, or at once when everything is to stop."""
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._interval
        self._stop.wait(mine - now)


class Crowd:
    """Threads that take rows from one file until there are none left."""

    def __init__(self, out: Output, errands: Errands, source: RowFile, total: int) -> None:
        self._out, self._errands, self._source, self._total = out, errands, source, total
        self._rows: Iterator[Row] = read_rows(source)
        interval, self._wait = errands.options["poll_interval"], errands.options["wait"]
        self._waiting = Waiting(
            PollPolicy(
                interval=interval,
                max_interval=max(LONGEST_INTERVAL, interval),
                max_seconds=self._wait,
            )
        )
        self._under_way = 0
        self._taking, self._telling = threading.Lock(), threading.Lock()
        self._counts: Counter[str] = Counter()
        self._codes: set[ExitCode] = set()
        self._failures: list[dict[str, Any]] = []
        self._fault: BaseException | None = None
        self._ended = threading.Semaphore(0)
        self._progress = Progress(enabled=not out.quiet)
        self._started = time.monotonic()

    def run(self, parallel: int) -> None:
        """Obtain all certificates; returns when no request is under way any more.

        Raises:
            KeyboardInterrupt: somebody stopped it.
        """
        # Daemons, so that a second ^C ends the program at once; the journal allows that.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(parallel)]
        for thread in threads:
            thread.start()
        with self._progress:
            try:
                self._watch(parallel)
            except KeyboardInterrupt:
                self._errands.stop.set()
                self._progress.clear()
                self._out.note("ending the requests under way; the same command goes on from here")
                for thread in threads:
                    thread.join()
                raise
        if self._fault is not None:
            raise self._fault

    def _watch(self, parallel: int) -> None:
        ended = 0
        while ended < parallel:
            with self._telling:
                self._progress.show(self._line())
            ended += self._ended.acquire(timeout=_SECONDS_BETWEEN_LINES)

    def _line(self) -> str:
        done = self._counts.total()
        asked = done - self._counts["present"]
        rate = asked / (time.monotonic() - self._started + 1e-9)
        filled = _BAR * done // self._total
        line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{self._total}"
        if asked:
            line += f"  {rate:.1f}/s  {_duration((self._total - done) / rate)} left"
        counts = self._counts + Counter(pending=len(self._waiting))
        for what in ("pending", "refused", "failed"):
            if counts[what]:
                line += f"  {counts[what]} {what}"
        return line

    # ---------------------------------------------------------------------------- the threads

    def _work(self) -> None:
        try:
            while (job := self._take()) is not None:
                try:
                    self._one(job)
                finally:
                    with self._taking:
                        self._under_way -= 1
        except BaseException as error:
            self._fault = error
            self._errands.stop.set()
        finally:
            self._ended.release()

    def _take(self) -> Job | None:
        """What is to be asked for next; None when there is nothing left, or all is to stop."""
        while not self._errands.stop.is_set():
            with self._taking:
                seconds = self._waiting.seconds()
                job = None
                if seconds is not None and seconds <= 0:
                    job = self._waiting.take()
                elif (row := next(self._rows, None)) is not None:
                    job = Job(row)
                if job is not None:
                    self._under_way += 1
                    return job
                # What is under way may turn out to be pending, and be everybody's again.
                if seconds is None and not (self._wait and self._under_way):
                    return None
            pause = _SECONDS_BETWEEN_LINES
            self._errands.stop.wait(pause if seconds is None else min(seconds, pause))
        return None

    def _one(self, job: Job) -> None:
        row = job.row
        if job.pending is None and os.path.lexists(certificate_of(self._errands.directory, row)):
            self._count("present")
            return
        try:
            self._settle(job, obtain(self._errands, row, job.pending))
        except (ScepError, OSError, click.ClickException) as error:
            self._fail(row, "failed", error)
            if isinstance(error, TransportError):
                self._errands.stop.set()

    def _settle(self, job: Job, result: EnrolmentResult) -> None:
        row = job.row
        match result:
            case Issued(warnings=warnings):
                self._count("issued")
                for warning in warnings:
                    with self._telling:
                        self._progress.clear()
                        self._out.warn(f"{row.name}: {warning}")
            case Pending():
                with self._taking:
                    is_asked_again = self._waiting.put(job, result)
                if not is_asked_again:
                    self._count("pending")
                    self._codes.add(ExitCode.PENDING)
            case Rejected():
                evidence = {
                    "failInfo": fail_info_name(result.fail_info),
                    "failInfoText": result.fail_info_text,
                    "transactionID": result.transaction_id,
                }
                message = f"the CA refused the request: {result.reason}"
                self._fail(row, "refused", Refused(message, evidence=evidence))

    def _count(self, what: str) -> None:
        with self._telling:
            self._counts[what] += 1

    def _fail(self, row: Row, what: str, error: Exception) -> None:
        code, description = describe(error)
        with self._telling:
            self._counts[what] += 1
            self._codes.add(code)
            if len(self._failures) < _MOST_FAILURES:
                self._failures.append({"line": row.line, "name": row.name, **description})
            self._progress.clear()
            text = f"{self._source.name}, line {row.line}, {row.name}: {description['message']}"
            stderr_line(text, alarming=True)

    # ---------------------------------------------------------------------------- the end

    def tell(self) -> ExitCode:
        """Say what came of all rows."""
        if self._waiting:  # all was to stop
            self._counts["pending"] += len(self._waiting)
            self._codes.add(ExitCode.PENDING)
        counts = {
            name: self._counts[name]
            for name in ("issued", "present", "pending", "refused", "failed")
        }
        counts["left"] = self._total - self._counts.total()
        values = {
            "status": "issued" if not self._codes else "incomplete",
            "rows": self._total,
            **counts,
            "journal": self._errands.journal.path,
            "failures": self._failures,
        }
        lines = [(name, str(number)) for name, number in counts.items() if number]
        self._out.result(values, lambda: fields(lines))
        if self._codes:
            self._out.note(self._next_step(refused=bool(counts["refused"])))
        return next((code for code in _GRAVEST if code in self._codes), ExitCode.DONE)

    def _next_step(self, *, refused: bool) -> str:
        again = " with the same rows" if self._source.is_stdin else ""
        text = f"the same command{again} asks for what is missing"
        if not refused:
            return text
        return f"mend the rows that were refused first (their challenge or names); then {text}"


def _duration(seconds: float) -> str:
    minutes = round(seconds) // 60
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {round(seconds) % 60} s" if minutes else f"{round(seconds)} s"
