"""The gate: every authoriser, alone and together, and above all what is not allowed (P5)."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import select
import stat
import sys
import threading
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from scepkit.errors import FailInfo
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_program import Program
from scepkit.server.auth_static import static_secret
from scepkit.server.gate import NOT_AUTHORISED, WRONG_CHALLENGE, Authorisers
from scepkit.server.webhook import Webhook
from scepkit.store import Store
from tests.server.service.hooks import KEY, receiving
from tests.server.service.world import (
    NOW,
    PEPPER,
    World,
    audited,
    certificate_of,
    count,
    is_pending,
    refusal_of,
    rows,
)

BAD_REQUEST = FailInfo.BAD_REQUEST
MISSING = "the challengePassword is missing"
CHALLENGES = ChallengePolicy()
STATIC = static_secret(PEPPER, "for everybody", recoverable=False)


def last_reason(store: Store) -> str:
    return str(audited(store)[-1][1]["reason"])


def test_nobody_configured_allows_nothing(lite: Store) -> None:
    world = World.made(lite, Authorisers())
    for number, challenge in enumerate((None, "", "anything")):
        reply = world.ask(world.device().enrol(challenge, transaction_id=f"{number}"))
        assert refusal_of(reply) == (BAD_REQUEST, NOT_AUTHORISED)
    assert count(lite, "operation") == 0


# ------------------------------------------------------------------ challenges


@pytest.mark.parametrize("challenge", [None, ""])
def test_no_challenge_and_an_empty_one_are_refused(lite: Store, challenge: str | None) -> None:
    world = World.made(lite)
    assert refusal_of(world.ask(world.device().enrol(challenge))) == (BAD_REQUEST, MISSING)


def test_an_unusable_challenge_is_refused_without_saying_why(store: Store) -> None:
    world = World.made(store)
    used, expired, foreign = world.mint(), world.mint(ttl=timedelta(1)), world.mint(profile="x")
    revoked = world.mint()
    from scepkit.store import challenges
    from scepkit.store.rows import milliseconds

    store.write(lambda tx: challenges.revoke(tx, 4, actor="alice", now=milliseconds(NOW)))
    world.ask(world.device().enrol(used))
    world.now = NOW + timedelta(days=1)
    reasons = []
    for number, secret in enumerate((used, expired, foreign, revoked, used + "x")):
        device = world.device(f"other{number}")
        reply = world.ask(device.enrol(secret, transaction_id=f"t{number}"))
        assert refusal_of(reply) == (BAD_REQUEST, WRONG_CHALLENGE)
        reasons.append((audited(store)[-1][0], last_reason(store)))
    assert reasons == [
        ("challenge.reuse", "challenge 1: the challenge was used before"),
        ("request.deny", "challenge 2: the challenge has expired"),
        ("request.deny", "challenge 3: the challenge is for the profile x"),
        ("request.deny", "challenge 4: the challenge was revoked"),
        ("request.deny", "nobody knows the challenge"),
    ]


def test_a_challenge_for_a_subject_buys_nothing_else(store: Store) -> None:
    world = World.made(store)
    secret = world.mint("CN=router1,O=Acme", ["dns:router1.example"])
    bad = world.device("router2")
    assert refusal_of(world.ask(bad.enrol(secret))) == (BAD_REQUEST, WRONG_CHALLENGE)
    good = world.device("router1")
    odd = good.csr(secret, san=["dns:router1.example", "dns:bank.example"])
    assert refusal_of(world.ask(good.enrol(csr=odd))) == (BAD_REQUEST, WRONG_CHALLENGE)
    certificate_of(world.ask(good.enrol(csr=good.csr(secret, san=["dns:ROUTER1.example"]))))


def test_a_challenge_bound_by_subject_alone_allows_its_common_name_as_a_dns_name(
    lite: Store,
) -> None:
    world = World.made(lite)
    device = world.device("router1.example")
    first, second = (world.mint("O=Acme,CN=router1.example") for _ in range(2))
    certificate_of(world.ask(device.enrol(csr=device.csr(first, san=["dns:Router1.example"]))))
    odd = device.csr(second, san=["dns:router2.example"])
    assert refusal_of(world.ask(device.enrol(csr=odd, transaction_id="t2")))[0] is BAD_REQUEST


def test_a_challenge_with_several_uses_is_good_for_so_many(store: Store) -> None:
    world = World.made(store)
    secret = world.mint(uses=2)
    replies = [
        world.ask(world.device(f"d{n}").enrol(secret, transaction_id=f"{n}")) for n in range(3)
    ]
    assert [type(reply).__name__ for reply in replies] == ["Success", "Success", "Failure"]


# ------------------------------------------------------------------ a static secret


def test_the_static_secret_allows_and_a_guess_does_not(lite: Store) -> None:
    world = World.made(lite, Authorisers(static=STATIC))
    certificate_of(world.ask(world.device().enrol("for everybody")))
    for number, guess in enumerate(("For everybody", "for everybod", "for everybody\0", " ")):
        reply = world.ask(world.device(f"d{number}").enrol(guess, transaction_id=guess[:5] + "x"))
        assert refusal_of(reply) == (BAD_REQUEST, WRONG_CHALLENGE)


def test_the_static_secret_is_in_no_repr() -> None:
    assert "everybody" not in repr(static_secret(PEPPER, "for everybody", recoverable=True))
    assert "everybody" not in repr(PEPPER)


# ------------------------------------------------------------------ a webhook


def test_a_webhook_is_asked_as_step_ca_asks(lite: Store) -> None:
    with receiving() as receiver:
        hook = receiver.webhook(key=KEY, id="hook-1")
        world = World.made(lite, Authorisers(webhook=hook))
        device = world.device()
        csr = device.csr("dynamic", san=["dns:router1.example"])
        certificate_of(world.ask(device.enrol(csr=csr)))
    (asked,), (headers,), (body,) = receiver.asked, receiver.headers, receiver.bodies
    assert asked["scepChallenge"] == "dynamic"
    assert asked["scepTransactionID"] == "transaction-1"
    assert asked["provisionerName"] == "default"
    request = asked["x509CertificateRequest"]
    assert b64decode(request["raw"]) == csr
    assert request["subject"] == {"commonName": "router1", "organization": ["Acme"]}
    assert request["dnsNames"] == ["router1.example"]
    assert request["publicKeyAlgorithm"] == "RSA"
    assert headers["X-Smallstep-Webhook-ID"] == "hook-1"
    expected = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    assert headers["X-Smallstep-Signature"] == expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b'{"allow": false}'), "the webhook says no"),
        (
            (200, b'{"allow": false, "error": {"message": "unknown device"}}'),
            "the webhook says no: unknown device",
        ),
        ((200, b'{"allow": "true"}'), 'no "allow"'),
        ((200, b'{"allow": 1}'), 'no "allow"'),
        ((200, b"{}"), 'no "allow"'),
        ((200, b"[true]"), 'no "allow"'),
        ((200, b"yes"), "not JSON"),
        ((200, b"[" * 50_000), "not JSON"),
        ((200, b""), "not JSON"),
        ((404, b'{"allow": true}'), "HTTP status 404"),
        ((302, b'{"allow": true}'), "302"),
        ((500, b'{"allow": true}'), "HTTP status 500"),
        ((200, b" " * 100_000 + b'{"allow": true}'), "does not answer"),
    ],
)
def test_only_a_clear_yes_of_a_webhook_allows(
    lite: Store, answer: tuple[int, bytes], said: str
) -> None:
    with receiving() as receiver:
        receiver.otherwise = answer
        world = World.made(lite, Authorisers(webhook=receiver.webhook()))
        fail_info, _ = refusal_of(world.ask(world.device().enrol("dynamic")))
    assert fail_info is BAD_REQUEST
    assert said in last_reason(lite)
    assert count(lite, "operation") == 0


def test_a_webhook_that_is_down_or_slow_allows_nothing(lite: Store) -> None:
    asked = threading.Event()
    with receiving() as receiver:
        hook = receiver.webhook(timeout=0.3)
        receiver.before = lambda: asked.wait(60)
        world = World.made(lite, Authorisers(webhook=hook))
        assert refusal_of(world.ask(world.device().enrol("dynamic")))[0] is BAD_REQUEST
        asked.set()
    assert "does not answer" in last_reason(lite)
    assert refusal_of(world.ask(world.device().enrol("dynamic")))[0] is BAD_REQUEST


def test_a_webhook_that_fails_makes_a_request_wait_where_persons_decide(lite: Store) -> None:
    with receiving() as receiver:
        receiver.otherwise = (503, b"")
        world = World.made(lite, Authorisers(webhook=receiver.webhook(), manual=True))
        assert is_pending(world.ask(world.device().enrol("dynamic")))
        receiver.otherwise = (200, b'{"allow": false}')
        reply = world.ask(world.device("d2").enrol("dynamic", transaction_id="t2"))
        assert refusal_of(reply)[0] is BAD_REQUEST


def test_a_webhook_is_asked_once_more_after_a_server_error(lite: Store) -> None:
    with receiving() as receiver:
        receiver.answers = [(502, b"")]
        world = World.made(lite, Authorisers(webhook=receiver.webhook()))
        certificate_of(world.ask(world.device().enrol("dynamic")))
        assert len(receiver.asked) == 2


def test_a_repeated_request_does_not_ask_the_webhook_again(lite: Store) -> None:
    with receiving() as receiver:
        world = World.made(lite, Authorisers(webhook=receiver.webhook()))
        message = world.device().enrol("dynamic")
        first = certificate_of(world.ask(message))
        receiver.otherwise = (200, b'{"allow": false}')
        assert certificate_of(world.ask(message)) == first
        assert len(receiver.asked) == 1


def test_a_webhook_that_quotes_the_challenge_does_not_get_it_into_the_audit(
    lite: Store,
) -> None:
    with receiving() as receiver:
        error = {"allow": False, "error": {"message": "challenge s3cr3t-x is wrong"}}
        receiver.otherwise = (200, json.dumps(error).encode())
        world = World.made(lite, Authorisers(webhook=receiver.webhook()))
        refusal_of(world.ask(world.device().enrol("s3cr3t-x")))
    assert "s3cr3t-x" not in str(rows(lite, "SELECT * FROM audit"))


def test_a_webhook_sends_its_token(lite: Store) -> None:
    with receiving() as receiver:
        transport = receiver.transport(headers={"Authorization": "Bearer t0k3n"})
        hook = Webhook(receiver.url, transport)
        world = World.made(lite, Authorisers(webhook=hook))
        certificate_of(world.ask(world.device().enrol("x")))
    assert receiver.headers[0]["Authorization"] == "Bearer t0k3n"
    assert "X-Smallstep-Signature" not in receiver.headers[0]


# ------------------------------------------------------------------ a program


def program(folder: Path, text: str, *, timeout: float = 20) -> Program:
    """A Python program with this text."""
    path = folder / "check"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Program((str(path), "an argument"), timedelta(seconds=timeout))


def test_a_program_reads_the_request_and_allows(lite: Store, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    text = f"open({str(seen)!r}, 'wb').write(sys.stdin.buffer.read())"
    world = World.made(lite, Authorisers(program=program(tmp_path, text)))
    device = world.device()
    certificate_of(world.ask(device.enrol()))
    csr = x509.load_pem_x509_csr(seen.read_bytes())
    assert csr.subject == device.name


def test_a_program_sees_nothing_of_the_request_but_its_input(lite: Store, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    text = f"open({str(seen)!r}, 'w').write(repr((sys.argv[1:], sorted(os.environ))))"
    world = World.made(lite, Authorisers(program=program(tmp_path, text)))
    certificate_of(world.ask(world.device().enrol("a challenge")))
    shown = seen.read_text()
    assert "an argument" in shown
    assert "SCEPKIT_PROFILE" in shown
    assert "challenge" not in shown
    assert "HOME" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("raise ValueError", "exit code 1"),
    ],
)
def test_a_program_that_does_not_end_well_allows_nothing(
    lite: Store, tmp_path: Path, text: str, said: str
) -> None:
    world = World.made(lite, Authorisers(program=program(tmp_path, text)))
    assert refusal_of(world.ask(world.device().enrol())) == (BAD_REQUEST, NOT_AUTHORISED)
    assert said in last_reason(lite)


def test_a_program_that_takes_too_long_is_killed_with_its_children(
    lite: Store, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The child says that it is there, and keeps its end of the pipe open as long as it lives.
    child = f"import time\nfile = open({str(pipe)!r}, 'wb', 0)\nfile.write(b'.')\ntime.sleep(300)"
    text = (
        f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(300)"
    )
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as alive:
        for timeout in (1, 5, 25):  # the first that lets it come so far
            world = World.made(lite, Authorisers(program=program(tmp_path, text, timeout=timeout)))
            device = world.device(f"d{timeout}")
            assert (
                refusal_of(world.ask(device.enrol(transaction_id=f"{timeout}")))[0] is BAD_REQUEST
            )
            assert f"took longer than {timeout} s" in last_reason(lite)
            if alive.read(1):
                break
        ended = select.poll()
        ended.register(alive, select.POLLHUP)
        assert ended.poll(60_000)


def test_a_program_that_is_not_there_allows_nothing(lite: Store) -> None:
    world = World.made(lite, Authorisers(program=Program(("/nonexistent/program",))))
    assert refusal_of(world.ask(world.device().enrol()))[0] is BAD_REQUEST
    assert "cannot be started" in last_reason(lite)


# ------------------------------------------------------------------ together


def test_a_wrong_challenge_is_refused_whatever_else_is_configured(
    lite: Store, tmp_path: Path
) -> None:
    everybody = program(tmp_path, "sys.exit(0)")
    auth = Authorisers(challenge=CHALLENGES, static=STATIC, program=everybody, manual=True)
    world = World.made(lite, auth)
    reply = world.ask(world.device().enrol("a guess"))
    assert refusal_of(reply) == (BAD_REQUEST, WRONG_CHALLENGE)
    certificate_of(world.ask(world.device().enrol("for everybody")))
    certificate_of(world.ask(world.device("d2").enrol(world.mint(), transaction_id="t2")))
    certificate_of(world.ask(world.device("d3").enrol(transaction_id="t3")))


def test_a_program_alone_decides_whatever_the_challenge_is(lite: Store, tmp_path: Path) -> None:
    world = World.made(lite, Authorisers(program=program(tmp_path, "sys.exit(0)")))
    certificate_of(world.ask(world.device().enrol("whatever")))


def test_without_a_challenge_a_person_is_asked_where_there_is_one(lite: Store) -> None:
    world = World.made(lite, Authorisers(challenge=CHALLENGES, manual=True))
    assert is_pending(world.ask(world.device().enrol()))
    certificate_of(world.ask(world.device("d2").enrol(world.mint(), transaction_id="t2")))


# ------------------------------------------------------------------ whose key (G1)


@pytest.mark.parametrize("auth", [Authorisers(manual=True), Authorisers(static=STATIC)])
def test_a_request_signed_by_another_key_is_refused(lite: Store, auth: Authorisers) -> None:
    world = World.made(lite, auth)
    victim, thief = world.device(), world.device("router1", "rsa3072")
    message = thief.enrol(csr=victim.csr("for everybody"))
    assert refusal_of(world.ask(message)) == (FailInfo.BAD_MESSAGE_CHECK, "")
    assert "(G1)" in audited(lite)[-1][1]["reason"]
    assert count(lite, "operation") == 0
