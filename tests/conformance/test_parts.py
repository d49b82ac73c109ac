"""The parts of the tester: sources of challenges, statistics, selection, BER, the runner."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scepkit.conformance import challenges
from scepkit.conformance.ber import indefinite
from scepkit.conformance.challenges import (
    ChallengeSource,
    Command,
    NdesPage,
    Static,
    read_ndes_page,
)
from scepkit.conformance.judging import must_refuse
from scepkit.conformance.keypool import KeyPool
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Check, Class, Need, all_checks, select
from scepkit.conformance.report.text import verdict_line
from scepkit.conformance.runner import run, run_one
from scepkit.conformance.statistics import compare, least_visible, threshold
from scepkit.conformance.themes.algorithms import _may_be_broken
from scepkit.conformance.themes.load import serials
from scepkit.conformance.themes.timing import Times, judge
from scepkit.conformance.verdicts import Kind, Verdict, failed, passed
from scepkit.core.ber import to_der
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.errors import InputError
from scepkit.testing import TestCa
from scepkit.testing.answers import Answer
from scepkit.testing.front import Front
from tests import pki
from tests.conformance.broken import ca_with
from tests.conformance.running import checks, session_for

# ------------------------------------------------------------------ the list


def test_there_are_104_tests() -> None:
    assert [check.number for check in sorted(all_checks(), key=lambda one: one.number)] == list(
        range(1, 105)
    )


def test_every_test_says_what_to_change_and_where_that_is_from() -> None:
    for check in all_checks():
        assert check.section.startswith(("RFC ", "NIST")), check
        assert len(check.remedy) > 20, check
        assert (
            not check.title[0].isupper()
            or check.title.split()[0].rstrip(":").isupper()
            or (check.title.split()[0].rstrip(",:") in _NAMES)
        ), check.title


_NAMES = {
    "GetCACaps", "GetCACert", "GetNextCACert", "SCEPStandard", "PKCSReq", "PKIOperation", "GET",
    "POST", "RSA-OAEP", "RSA-3072", "AES-256", "AES-GCM", "CertPoll", "GetCert", "GetCRL",
    "PENDING", "SCEP", "HEAD", "CA", "BER", "HTTP/1.0", "AES",
}  # fmt: skip


def test_tests_are_chosen_by_pattern_and_class() -> None:
    every = all_checks()
    assert [one.id for one in select(every, ["t20"])] == ["T20"]
    assert {one.id for one in select(every, ["T5*"], ["X"])} == {f"T{n}" for n in range(52, 60)}
    with pytest.raises(InputError, match="no test T999"):
        select(every, ["T999"])
    with pytest.raises(InputError, match="no class Z"):
        select(every, [], ["M", "Z"])


# ------------------------------------------------------------------ the runner


def made(run_: Any, cls: Class = Class.MUST, *needs: Need, seconds: float = 60) -> Check:
    return Check("T20", cls, "a title", "RFC 8894", "change it", frozenset(needs), "", seconds,
                 "http", run_)  # fmt: skip


def ended(check: Check, **settings: Any) -> Verdict:
    with TestCa().serve() as url, session_for(url, **settings) as session:
        session.discover()
        return run_one(session, check).verdict


def test_a_failure_of_what_is_recommended_is_a_warning() -> None:
    assert ended(made(lambda probe: failed("no"), Class.SHOULD)).kind is Kind.WARN
    assert ended(made(lambda probe: failed("no"), Class.MUST)).kind is Kind.FAIL


def test_a_waived_failure_is_accepted() -> None:
    verdict = ended(made(lambda probe: failed("no")), waived=frozenset({"T20"}))
    assert (verdict.kind, verdict.text) == (Kind.WAIVED, "no")


def test_a_test_that_stumbles_is_inconclusive() -> None:
    def stumble(probe: Probe) -> Verdict:
        return passed(str(int("x")))

    assert ended(made(stumble)).kind is Kind.INCONCLUSIVE


def test_a_test_that_takes_too_long_is_inconclusive() -> None:
    def dawdle(probe: Probe) -> Verdict:
        while True:
            probe.operation("GetCACaps")

    verdict = ended(made(dawdle, seconds=0.2))
    assert verdict.kind is Kind.INCONCLUSIVE
    assert "not done after 0.2 s" in verdict.text


@pytest.mark.parametrize("need", [Need.ISSUE, Need.INTRUSIVE, Need.CHALLENGE])
def test_a_test_without_what_it_needs_is_skipped(need: Need) -> None:
    assert ended(made(lambda probe: failed("it ran"), Class.MUST, need)).kind is Kind.SKIPPED


def test_nothing_is_said_of_a_server_whose_plain_enrolment_fails() -> None:
    check = next(one for one in checks("T52"))
    verdict = ended(check, allow_issue=True)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert "see T20" in verdict.text


def test_a_server_that_dies_has_failed_the_test_and_ends_the_others() -> None:
    serving = TestCa().serve()
    url = serving.__enter__()

    def kill(probe: Probe) -> Verdict:
        serving.__exit__(None, None, None)
        probe.operation("GetCACaps")
        return passed()

    with session_for(url) as session:
        report = run(session, [made(kill, Class.QUIRK), *checks("T01", "T02")])
    first, *others = report.results
    assert first.kind is Kind.FAIL
    assert "does not answer any more" in first.verdict.text
    assert {one.verdict.text for one in others} == {"the server has not answered since T20"}


class BusyAtFirst(Front):
    """Is busy when a message comes for the first time."""

    def _pki_operation(self, raw: bytes, method: str) -> Answer:
        if raw in self.seen:
            return super()._pki_operation(raw, method)
        self.seen.add(raw)
        return Answer(b"later", "text/plain", 503, retry_after="0")

    seen: ClassVar[set[bytes]] = set()


class AlwaysBusy(Front):
    """Has never time."""

    def _pki_operation(self, raw: bytes, method: str) -> Answer:
        return Answer(b"later", "text/plain", 429, retry_after="0")


@pytest.mark.parametrize(
    ("front", "kind"), [(BusyAtFirst, Kind.PASS), (AlwaysBusy, Kind.INCONCLUSIVE)]
)
def test_a_busy_server_is_asked_again_and_has_refused_nothing(
    front: type[Front], kind: Kind
) -> None:
    def without_challenge(probe: Probe) -> Verdict:
        return must_refuse(probe.enrol(probe.requester(challenge=None)))

    check = made(without_challenge, Class.MUST, Need.CA)
    with ca_with(front=front).serve() as url, session_for(url) as session:
        session.discover()
        result = run_one(session, check)
    assert result.kind is kind


def test_keys_are_used_again_until_a_certificate_was_issued() -> None:
    made_keys = iter([pki.key("rsa2048-a"), pki.key("rsa2048-b"), pki.key("rsa2048-c")])
    pool = KeyPool(lambda spec: next(made_keys))
    first = pool.take()
    assert pool.take() is not first
    pool.give_back(used=False)
    assert {pool.take(), pool.take()} == {first, pki.key("rsa2048-b")}
    pool.give_back(used=True)
    assert pool.take() is pki.key("rsa2048-c")


# ------------------------------------------------------------------ challenges


def test_a_command_gives_a_challenge_for_each_name(tmp_path: Path) -> None:
    program = tmp_path / "new.py"
    program.write_text(
        "import os; print(os.environ['SCEPKIT_CHECK_SUBJECT'], os.environ['SCEPKIT_CHECK_SAN'])"
    )
    source = Command(f"{sys.executable} {program}")
    assert source.get("CN=a", ["dns:a", "dns:b"]) == "CN=a dns:a dns:b"
    assert source.one_time
    with pytest.raises(InputError, match="printed 0 lines"):
        Command("true").get("CN=a", [])
    with pytest.raises(InputError, match="exit code 3"):
        Command("echo secret; exit 3").get("CN=a", [])


def test_a_command_that_fails_is_quoted_in_one_bounded_line() -> None:
    complaint = r"printf 'first\n\033[1mno such profile%300s.\n\n' >&2; exit 1"
    with pytest.raises(InputError) as caught:
        Command(complaint).get("CN=a", [])
    assert caught.value.hint == "its stderr says: ?[1mno such profile ."
    with pytest.raises(InputError) as caught:
        Command("printf 'scepkit: no file\nscepkit: hint: name it\n' >&2; exit 2").get("CN=a", [])
    assert caught.value.hint == "its stderr says: scepkit: no file"
    with pytest.raises(InputError) as caught:
        Command("head -c 1000 /dev/zero | tr '\\0' a >&2; exit 1").get("CN=a", [])
    assert len(caught.value.hint) < 250
    with pytest.raises(InputError) as caught:
        Command("exit 1").get("CN=a", [])
    assert caught.value.hint == ""


def test_a_source_that_never_gives_a_challenge_ends_the_run() -> None:
    source = Command("exit 3")
    with (
        TestCa().serve() as url,
        session_for(url, challenges=source, allow_issue=True) as session,
        pytest.raises(InputError, match="exit code 3"),
    ):
        run(session, checks("T01", "T20"))


def test_a_source_that_runs_dry_leaves_the_test_undecided(tmp_path: Path) -> None:
    (tmp_path / "left").write_text("secret\n")
    source = Command(f"cd {tmp_path} && cat left && rm left")
    with TestCa().serve() as url, session_for(url, challenges=source, allow_issue=True) as session:
        report = run(session, checks("T20", "T31"))
    plain, next_ = report.results
    assert plain.kind is Kind.PASS
    assert next_.kind is Kind.INCONCLUSIVE
    assert "no challenge could be had" in next_.verdict.text
    assert verdict_line(report).endswith("nothing failed, 1 passed, 1 undecided")


PASSWORD = "0123456789ABCDEF"
SENTENCE = f"<P> The enrollment challenge password is: <B> {PASSWORD} </B> <P> It expires."


@pytest.mark.parametrize(
    "body",
    [
        SENTENCE.encode(),
        SENTENCE.encode("utf-16"),
        f"<HTML>{SENTENCE}".encode("utf-16-le"),
        f"<P>Das Kennwort lautet: <B> {PASSWORD} </B>".encode(),
    ],
)
def test_the_password_of_an_ndes_page_is_found(body: bytes) -> None:
    assert read_ndes_page(body) == PASSWORD


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("The password cache is full.", "cache is full"),
        ("You do not have sufficient permission to enroll with SCEP.", "may not enrol"),
        ("<TITLE>Hello</TITLE>", "no enrolment challenge"),
    ],
)
def test_an_ndes_page_without_a_password_says_why(sentence: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_ndes_page(sentence.encode())


class Answering:
    """A transport with one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.response = HttpResponse(status, body, pki.NOW)

    def exchange(self, request: HttpRequest) -> HttpResponse:
        return self.response

    def close(self) -> None: ...


def test_the_ndes_page_is_fetched_for_each_enrolment() -> None:
    page = NdesPage("http://ndes/certsrv/mscep_admin/", Answering(200, SENTENCE.encode()))
    assert page.get("CN=a", []) == PASSWORD
    refused = NdesPage("http://ndes/certsrv/mscep_admin/", Answering(401, b""))
    with pytest.raises(InputError) as caught:
        refused.get("CN=a", [])
    assert "--challenge-auth-file" in caught.value.hint


def ca_json(path: Path, *provisioners: dict[str, str]) -> str:
    path.write_text(json.dumps({"authority": {"provisioners": list(provisioners)}}))
    return str(path)


def test_the_challenge_of_step_ca_is_in_its_configuration(tmp_path: Path) -> None:
    scep = {"type": "SCEP", "name": "devices", "challenge": "secret1234"}
    path = ca_json(tmp_path / "ca.json", {"type": "ACME", "name": "acme"}, scep)
    assert challenges.step_ca_challenge(path) == Static("secret1234")
    two = ca_json(tmp_path / "two.json", scep, {**scep, "name": "other", "challenge": "x"})
    assert challenges.step_ca_challenge(two, "other") == Static("x")
    with pytest.raises(InputError, match="2 SCEP provisioners"):
        challenges.step_ca_challenge(two)
    none = ca_json(tmp_path / "none.json", {"type": "SCEP", "name": "open"})
    with pytest.raises(InputError, match="no static challenge"):
        challenges.step_ca_challenge(none)
    (tmp_path / "text").write_text("[]")
    with pytest.raises(InputError, match="not a configuration"):
        challenges.step_ca_challenge(str(tmp_path / "text"))


@pytest.mark.parametrize("secret", [Static("s3cret"), Command("echo s3cret")])
def test_no_repr_shows_a_secret(secret: object) -> None:
    assert "s3cret" not in repr(secret)


@pytest.mark.parametrize(
    ("url", "source", "may"),
    [
        ("http://ca.example.test/scep", Static("x"), False),
        ("http://ca.example.test/scep", Command("true"), True),
        ("http://ca.example.test/scep", None, True),
        ("https://ca.example.test/scep", Static("x"), True),
        ("http://127.0.0.1/scep", Static("x"), True),
    ],
)
def test_a_fixed_challenge_is_not_sent_under_what_others_can_break(
    url: str, source: ChallengeSource | None, may: bool
) -> None:
    with session_for(url, challenges=source) as session:
        assert _may_be_broken(Probe(session, seconds=1)) is may


# ------------------------------------------------------------------ statistics


def drawn(seed: int, mean: float, count: int = 200) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(mean, 0.001) for _ in range(count)]


def times(seed: int = 0, **means: float) -> dict[str, list[float]]:
    found = {name: drawn(seed + at, mean) for at, (name, mean) in enumerate(means.items())}
    return {**found, "the same once more": drawn(seed + 99, next(iter(means.values())))}


def endless(first: Times, *others: Times) -> Iterator[Times]:
    """Measurements; nobody may ask for more than there are."""
    yield first
    yield from others
    pytest.fail("measured too often")


def test_equal_times_show_no_difference() -> None:
    verdict = judge(endless(times(a=0.01, b=0.01, c=0.01)), "a")
    assert verdict.kind is Kind.PASS
    assert "Mann-Whitney over 200 answers" in verdict.details[-1]


def test_a_slower_cause_is_found_if_it_is_slower_twice() -> None:
    slower = [times(seed, a=0.01, b=0.0108, c=0.01) for seed in (0, 1000)]
    verdict = judge(endless(*slower), "a")
    assert verdict.kind is Kind.FAIL
    assert verdict.text.startswith("b takes longer than")


@pytest.mark.parametrize(
    "second", [{"a": 0.01, "b": 0.01, "c": 0.01}, {"a": 0.0108, "b": 0.01, "c": 0.0108}]
)
def test_a_difference_that_does_not_come_again_is_inconclusive(second: dict[str, float]) -> None:
    found = [times(a=0.01, b=0.0108, c=0.01), times(1000, **second)]
    verdict = judge(found, "a")
    assert verdict.kind is Kind.INCONCLUSIVE
    assert "again" in verdict.text


def test_a_noisy_machine_is_inconclusive() -> None:
    found = times(a=0.01, b=0.012)
    found["the same once more"] = drawn(5, 0.02)
    assert judge([found] * 3, "a").kind is Kind.INCONCLUSIVE
    wide = {name: [one * 50 for one in values] for name, values in times(a=0.01, b=0.01).items()}
    assert judge([wide], "a").kind is Kind.INCONCLUSIVE


def test_a_machine_that_grows_quiet_is_judged_by_its_quiet_times() -> None:
    found = times(a=0.01, b=0.012)
    found["the same once more"] = drawn(5, 0.02)
    assert judge(endless(found, times(a=0.01, b=0.01)), "a").kind is Kind.PASS


def test_the_statistic_is_that_of_mann_and_whitney() -> None:
    (pair,) = compare({"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 5.0]})
    assert (pair.slower, pair.quicker) == ("b", "a")
    assert pair.probability == pytest.approx(7.5 / 9)
    assert threshold(2) == pytest.approx(3.29, abs=0.01)
    assert least_visible(2, 200) < least_visible(9, 200) < least_visible(9, 50) <= 1


_DRAW = random.Random(1)
_RANDOM_NUMBERS = [_DRAW.getrandbits(120) for _ in range(30)]


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        (_RANDOM_NUMBERS, Kind.PASS),
        (list(range(1 << 100, (1 << 100) + 30)), Kind.WARN),
        (list(range(30)), Kind.WARN),
        ([1 << 100, 1 << 100], Kind.FAIL),
        ([], Kind.INCONCLUSIVE),
    ],
)
def test_serial_numbers_are_judged(numbers: Sequence[int], kind: Kind) -> None:
    assert serials(list(numbers)).kind is kind


def test_indefinite_lengths_mean_the_same() -> None:
    from scepkit.conformance import cmsparts

    identity = cmsparts.Identity(pki.root().certificate, pki.key())
    info = cmsparts.signer_info(identity, [])
    der = cmsparts.signed_data(b"x" * 1000, [info], [identity.der])
    ber = indefinite(der)
    assert ber[1] == 0x80
    assert to_der(ber) == der
