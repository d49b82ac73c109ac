"""Runs the tests one after the other, and says what their verdicts are worth.

The rule of this file: one test cannot stop another; and whoever cannot be tested is not passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from scepkit.conformance.exchanges import Exchange, now
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Check, Class, Need
from scepkit.conformance.requesters import shown_certificate
from scepkit.conformance.session import Session
from scepkit.conformance.verdicts import Ended, Kind, Stopped, Verdict, inconclusive, skipped
from scepkit.core.http import ca_cert_request
from scepkit.core.wording import counted
from scepkit.errors import ScepError, TransportError
from scepkit.values import field, frozen


@frozen
class Result:
    """One test and how it ended.

    Attributes:
        seconds: how long it took.
        exchanges: what a report shows of what was sent and came back.
        requests: how many requests there were.
        fatal: the server does not answer any more since.
    """

    check: Check
    verdict: Verdict
    seconds: float
    exchanges: tuple[Exchange, ...] = field(default=(), repr=False)
    requests: int = 0
    fatal: bool = False

    @property
    def kind(self) -> Kind:
        """How it ended."""
        return self.verdict.kind


@frozen
class Report:
    """What a run found.

    Attributes:
        url: the server.
        profile: the profile asked for, or None.
        capabilities: the words of GetCACaps.
        certificates: the certificates of GetCACert, in a few words each.
        notes: sentences about the run as a whole.
    """

    url: str
    profile: str | None
    started: datetime
    seconds: float
    capabilities: tuple[str, ...]
    certificates: tuple[str, ...]
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    def of(self, cls: Class) -> tuple[Result, ...]:
        """The results of one class."""
        return tuple(one for one in self.results if one.check.cls is cls)

    def count(self, kind: Kind, results: Iterable[Result] | None = None) -> int:
        """How many ended so."""
        return sum(one.kind is kind for one in (self.results if results is None else results))

    def failed(self, cls: Class) -> tuple[Result, ...]:
        """The failures of one class."""
        return tuple(one for one in self.of(cls) if one.kind is Kind.FAIL)

    @property
    def exit_code(self) -> int:
        """0, or by class: 10 what RFC 8894 requires, 11 security, 12 both (see docs/cli.md)."""
        required = bool(self.failed(Class.MUST) or self.failed(Class.OPTIONAL))
        security = bool(self.failed(Class.SECURITY))
        return {(False, False): 0, (True, False): 10, (False, True): 11}.get(
            (required, security), 12
        )


def run(
    session: Session,
    checks: Iterable[Check],
    *,
    progress: Callable[[Check], object] = lambda check: None,
    done: Callable[[Result], object] = lambda result: None,
) -> Report:
    """Run tests against a server.

    :param progress: called before each test.
    :param done: called after each.
    :raises TransportError: the server cannot be reached at all.
    :raises TrustError: its CA is not the one that the verifier knows.
    :raises ScepError: the source of challenges does not give the first one.
    """
    started, clock = now(), time.monotonic()
    session.discover()
    results = []
    down = ""
    for check in checks:
        progress(check)
        if down and not answers(session, (0.0,)):
            text = f"the server has not answered since {down}"
            result = Result(check, inconclusive(text), 0.0)
        else:
            try:
                result = run_one(session, check)
            except Stopped as stop:
                raise stop.error from None
            down = check.id if result.fatal else ""
        results.append(result)
        done(result)
    return Report(
        url=str(session.endpoint),
        profile=session.profile,
        started=started,
        seconds=time.monotonic() - clock,
        capabilities=session.caps.to_words(),
        certificates=tuple(shown_certificate(one) for one in session.offered),
        results=tuple(results),
        notes=_notes(session),
    )


def _notes(session: Session) -> tuple[str, ...]:
    notes = []
    if session.ca is None:
        notes.append(f"most tests could not run: {session.ca_fault}")
    if not session.settings.allow_issue:
        notes.append("tests that have certificates issued did not run (--allow-issue)")
    if not session.settings.intrusive:
        notes.append("tests that load the server did not run (--intrusive)")
    if session.issued:
        count = len(set(session.issued))
        were, them = ("was", "it") if count == 1 else ("were", "them")
        what = counted(count, "certificate")
        notes.append(f"{what} {were} issued; revoke {them} if you must")
    return tuple(notes)


def run_one(session: Session, check: Check) -> Result:
    """Run one test, whatever happens in it."""
    intrusive = Need.INTRUSIVE in check.needs
    probe = Probe(session, seconds=check.seconds, intrusive=intrusive)
    clock = time.monotonic()
    try:
        verdict = unmet(probe, check) or check.run(probe)
    except Ended as end:
        verdict = end.verdict
    except ScepError as error:
        verdict = inconclusive(f"the test could not go on: {error}")
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        # A reply that the tester did not think of must not end the run.
        verdict = inconclusive(
            f"the tester stumbled ({type(error).__name__}: {error}); this is a fault in scepkit"
        )
    session.keys.give_back(used=probe.issued_here)
    verdict = graded(check, verdict, session.settings.waived)
    # Whoever does not answer once may be busy; whoever does not answer again is down.
    fatal = any(one.response is None for one in probe.record.kept) and not answers(session)
    if fatal:
        text = f"the server does not answer any more after this test; before: {verdict.text}"
        verdict = Verdict(Kind.FAIL, text, verdict.details)
    seconds, record = time.monotonic() - clock, probe.record
    return Result(check, verdict, seconds, record.kept, record.count, fatal)


#: How often, and after how many seconds each time, a silent server is asked again.
_PATIENCE = (0.0, 0.5, 2.0)


def answers(session: Session, patience: Sequence[float] = _PATIENCE) -> bool:
    """Whether the server answers at all."""
    for pause in patience:
        time.sleep(pause)
        try:
            session.transport.exchange(ca_cert_request(session.endpoint, session.profile))
        except TransportError:
            continue
        return True
    return False


def unmet(probe: Probe, check: Check) -> Verdict | None:
    """Why a test cannot run, if it cannot."""
    settings, session, needs = probe.settings, probe.session, check.needs
    if Need.CA in needs and session.ca is None:
        return skipped(f"there are no CA certificates to go by: {session.ca_fault}")
    if Need.ISSUE in needs and not settings.allow_issue:
        return skipped("it may have a certificate issued, which needs --allow-issue")
    if Need.INTRUSIVE in needs and not settings.intrusive:
        return skipped("it loads the server, which needs --intrusive")
    if Need.CHALLENGE in needs and settings.challenges is None:
        return skipped("it needs a challenge (--challenge-file, --challenge-command, ...)")
    if Need.RSA in needs and not session.recipient_is_rsa:
        return skipped("the server has no RSA key to encrypt to")
    if Need.ISSUE in needs and check.id not in BY_THEMSELVES:
        return _without_baseline(probe)
    return None


#: These look at the plain enrolment, and say themselves what is wrong with it.
BY_THEMSELVES = frozenset(f"T{number}" for number in range(20, 31))


def _without_baseline(probe: Probe) -> Verdict | None:
    """Nothing can be said of a server that refuses what is right."""
    answer = probe.baseline()
    probe.record.forget(answer.exchange)
    if answer.success or answer.pending:
        return None
    return inconclusive(f"a plain enrolment does not work (see T20): {answer.said}")


def graded(check: Check, verdict: Verdict, waived: frozenset[str]) -> Verdict:
    """A failure of what is only recommended is a warning, and a waived one is accepted."""
    if verdict.kind is not Kind.FAIL:
        return verdict
    if check.id in waived:
        return Verdict(Kind.WAIVED, verdict.text, verdict.details)
    if not check.cls.counts:
        return Verdict(Kind.WARN, verdict.text, verdict.details)
    return verdict
