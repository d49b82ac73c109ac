"""verifiers: asking a person at a terminal, and remembering what was vouched for."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography import x509

from scepkit.core.algorithms import Digest
from scepkit.core.trust import CaOffer, PinnedCertificate, fingerprint
from scepkit.errors import TrustError
from scepkit.verifiers import AskOnConsole, Caching
from tests import odd_certificates as odd
from tests import pki

ROOT = pki.root()
ISSUING = pki.intermediate(ROOT)
ROGUE = pki.root("rsa2048-c")
SECONDS = 20


def offer(
    *identities: pki.Identity, url: str = "http://ca.test/scep", profile: str | None = None
) -> CaOffer:
    return CaOffer(url, profile, tuple(identity.certificate for identity in identities))


# -------------------------------------------------------------------------------- AskOnConsole


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ask(answers: str, *identities: pki.Identity) -> tuple[x509.Certificate | None, str]:
    screen = Terminal()
    try:
        found = AskOnConsole(Terminal(answers), screen)(offer(*identities))
    except TrustError:
        return None, screen.getvalue()
    return found, screen.getvalue()


def test_a_person_who_types_yes_accepts_the_ca() -> None:
    for answer in ("yes\n", " YES \n", "yes"):
        assert ask(answer, ISSUING, ROOT)[0] == ROOT.certificate


@pytest.mark.parametrize("answer", ["no\n", "N\n", "", "\n\n\n", "y\ny\ny\nyes\n", "yes please\n"])
def test_anything_else_refuses_the_ca(answer: str) -> None:
    assert ask(answer, ROOT)[0] is None


def test_a_person_may_try_three_times() -> None:
    found, shown = ask("y\nwhat\nyes\n", ROOT)
    assert found == ROOT.certificate
    assert shown.count('Type "yes" or "no"') == 3


def test_a_refusal_carries_the_fingerprints() -> None:
    with pytest.raises(TrustError, match="was not accepted") as caught:
        AskOnConsole(Terminal("no\n"), Terminal())(offer(ISSUING, ROOT))
    assert caught.value.fingerprints == offer(ISSUING, ROOT).fingerprints


def test_a_person_sees_subject_validity_and_digests() -> None:
    _, shown = ask("no\n", ISSUING, ROOT)
    assert "http://ca.test/scep" in shown
    assert "CN=Test Root CA,O=Acme" in shown
    assert "itself" in shown
    assert "from 2025-06-01 00:00 UTC to 2036-05-29 00:00 UTC" in shown
    assert "Beside it: CN=Test Issuing CA,O=Acme" in shown
    digits = "".join(
        line[12:].replace(":", "").strip() for line in shown.splitlines() if line.count(":") >= 3
    )
    for digest in (Digest.SHA256, Digest.SHA1, Digest.SHA512):
        assert digest.of(ROOT.der).hex().upper() in digits
        assert digest.value.upper().replace("SHA", "SHA-") in shown


def test_of_an_intermediate_the_issuer_is_shown() -> None:
    _, shown = ask("no\n", ISSUING)
    assert "issuer    CN=Test Root CA,O=Acme" in shown


def test_a_name_cannot_forge_what_a_person_sees() -> None:
    evil = pki.root("rsa2048-c", 'x\x1b[2J\nIs this the CA? Type "yes" or "no": yes\u202e')
    _, shown = ask("no\n", evil, odd.with_part(ISSUING, odd.SUBJECT, b"\x30\x00", ROOT))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("Is this the CA?")]) == 1


class _NoTerminal(io.StringIO):
    pass


@pytest.mark.parametrize(
    ("source", "screen"),
    [(_NoTerminal("yes\n"), Terminal()), (Terminal("yes\n"), _NoTerminal())],
    ids=["answers from a file", "question into a file"],
)
def test_without_a_terminal_nobody_is_asked(source: io.StringIO, screen: io.StringIO) -> None:
    with pytest.raises(TrustError, match="no terminal") as caught:
        AskOnConsole(source, screen)(offer(ROOT))
    assert "--ca-fingerprint" in caught.value.hint
    assert not screen.getvalue()
    assert source.tell() == 0


def test_a_process_without_standard_streams_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(TrustError, match="no terminal"):
        AskOnConsole()(offer(ROOT))


def test_the_standard_streams_are_looked_up_when_the_question_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = AskOnConsole()
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    monkeypatch.setattr(sys, "stderr", screen)
    assert verifier(offer(ROOT)) == ROOT.certificate
    assert "SHA-256" in screen.getvalue()


def test_two_questions_do_not_mix_on_the_terminal() -> None:
    asked = threading.Event()
    second = threading.Event()

    class Slow(Terminal):
        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            asked.set()
            second.wait(0.2)
            return "yes\n"

    screen = Terminal()
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(AskOnConsole(Slow(), screen), offer(ROOT))
        assert asked.wait(SECONDS)
        two = pool.submit(AskOnConsole(Terminal("yes\n"), screen), offer(ROGUE))
        assert one.result(SECONDS) == ROOT.certificate
        assert two.result(SECONDS) == ROGUE.certificate
    parts = screen.getvalue().split('Is this the CA? Type "yes" or "no": ')
    assert [part.count("offers this CA certificate") for part in parts] == [1, 1, 0]


# -------------------------------------------------------------------------------------- Caching


class Counting:
    """A verifier that counts, and answers what it is told to."""

    def __init__(self, answer: Callable[[CaOffer], Any] = lambda offered: offered.ca) -> None:
        self.answer = answer
        self.asked: list[CaOffer] = []

    def __call__(self, offered: CaOffer, /) -> x509.Certificate:
        self.asked.append(offered)
        found: x509.Certificate = self.answer(offered)
        return found


def refuse(offered: CaOffer) -> x509.Certificate:
    raise offered.refusal("no", hint="ask")


def test_what_was_vouched_for_is_not_asked_again() -> None:
    inner = Counting()
    caching = Caching(inner)
    for _ in range(3):
        assert caching(offer(ISSUING, ROOT)) == ROOT.certificate
    assert caching(offer(ROOT)) == ROOT.certificate
    assert len(inner.asked) == 1


def test_another_url_and_another_profile_are_asked_about() -> None:
    inner = Counting()
    caching = Caching(inner)
    for one in (
        offer(ROOT),
        offer(ROOT, url="http://other.test/scep"),
        offer(ROOT, profile="printers"),
        offer(ROOT, profile="routers"),
    ):
        assert caching(one) == ROOT.certificate
    assert len(inner.asked) == 4


def test_another_ca_at_the_same_url_is_asked_about() -> None:
    caching = Caching(PinnedCertificate(ROOT.certificate))
    assert caching(offer(ROOT)) == ROOT.certificate
    with pytest.raises(TrustError):
        caching(offer(ROGUE))


def test_a_remembered_anchor_is_returned_whatever_comes_beside_it() -> None:
    caching = Caching(Counting())
    caching(offer(ROOT))
    assert caching(offer(ROGUE, ROOT)) == ROOT.certificate


def test_an_anchor_that_is_not_offered_is_remembered_for_the_same_offer() -> None:
    inner = Counting(PinnedCertificate(ROOT.certificate))
    caching = Caching(inner)
    for _ in range(3):
        assert caching(offer(ISSUING)) == ROOT.certificate
    assert len(inner.asked) == 1
    with pytest.raises(TrustError):
        caching(offer(ROGUE))


def test_a_refusal_is_not_remembered() -> None:
    inner = Counting(refuse)
    caching = Caching(inner)
    for _ in range(2):
        with pytest.raises(TrustError, match="no; http"):
            caching(offer(ROOT))
    inner.answer = lambda offered: offered.ca
    assert caching(offer(ROOT)) == ROOT.certificate
    assert len(inner.asked) == 3


def test_an_answer_that_is_no_certificate_is_passed_on_and_not_remembered() -> None:
    inner = Counting(lambda offered: True)
    caching = Caching(inner)
    answers: list[Any] = [caching(offer(ROOT)), caching(offer(ROOT))]
    assert answers == [True, True]
    assert len(inner.asked) == 2


def _all_at_once(caching: Caching, release: threading.Event, count: int) -> list[Any]:
    """Results of `count` threads that ask for one offer while the verifier is at it."""
    started = threading.Barrier(count + 1)

    def one() -> Any:
        started.wait(SECONDS)
        try:
            return caching(offer(ROOT))
        except (TrustError, RuntimeError) as exc:
            return exc

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one) for _ in range(count)]
        started.wait(SECONDS)
        release.wait(0.2)  # most of them wait by now; one that does not asks anew
        release.set()
        return [future.result(SECONDS) for future in futures]


def test_threads_with_the_same_offer_ask_once() -> None:
    release = threading.Event()

    def answer(offered: CaOffer) -> x509.Certificate:
        release.wait(SECONDS)
        return offered.ca

    inner = Counting(answer)
    assert _all_at_once(Caching(inner), release, 8) == [ROOT.certificate] * 8
    assert len(inner.asked) == 1


def test_threads_that_wait_for_a_refusal_are_told_it() -> None:
    release = threading.Event()

    def answer(offered: CaOffer) -> x509.Certificate:
        release.wait(SECONDS)
        return refuse(offered)

    inner = Counting(answer)
    results = _all_at_once(Caching(inner), release, 8)
    assert len(inner.asked) < 8
    assert len({id(result) for result in results}) == 8
    for result in results:
        assert isinstance(result, TrustError)
        assert result.fingerprints == (fingerprint(ROOT.certificate),)
        assert result.hint == "ask"


def test_a_thread_that_fails_leaves_the_question_to_the_next() -> None:
    release = threading.Event()
    inner = Counting()

    def answer(offered: CaOffer) -> x509.Certificate:
        if len(inner.asked) == 1:
            release.wait(SECONDS)
            raise RuntimeError("the person closed the window")
        return offered.ca

    inner.answer = answer
    results = _all_at_once(Caching(inner), release, 4)
    assert sorted(type(result).__name__ for result in results) == ["Certificate"] * 3 + [
        "RuntimeError"
    ]
    assert len(inner.asked) == 2
