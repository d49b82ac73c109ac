"""T72 and T73, A1 to A3: what cannot be read is answered alike, in content and in time.

The times here are a quick look, with a generous limit, so that a difference like the one between a
database transaction and none (or a signature and none) is found; `scripts/oracle-times` measures at
length.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from scepkit.core import messages
from scepkit.core.algorithms import KeyTransport
from scepkit.core.certificates import view_of
from scepkit.core.csr import read_csr
from scepkit.core.messages import Protection
from scepkit.errors import AlgorithmError, FailInfo
from scepkit.server import opening
from scepkit.store import Store
from tests import pki
from tests.server.service.odd_requests import sent
from tests.server.service.oracles import Sample, causes, sample
from tests.server.service.world import World, audited, count, refusal_of

ROOT = Path(__file__).parents[3]
UNREADABLE = (FailInfo.BAD_MESSAGE_CHECK, "")
CAUSES = [
    "padding of the content", "last block", "block in the middle", "first block",
    "one block of chance", "all of it by chance", "IV", "another key", "a key too short",
    "a key too long", "no PKCS#1 type", "no zero in PKCS#1", "all zero",
    "a ciphertext by chance", "content that is no request", "a request with a broken signature",
    "a request for another key",
]  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_t72_t73_every_cause_has_the_same_answer(lite: Store, cause: str) -> None:
    world = World.made(lite)
    make = causes(world.device())[cause]
    message = make()
    reply = world.post(message.body)
    assert (reply.status, reply.content_type) == (200, "application/x-pki-message")
    assert refusal_of(message.open(reply.body, world.signers)) == UNREADABLE
    assert count(lite, "operation") == 0
    assert [action for action, _ in audited(lite)][1:] == ["request.unreadable"]


def test_the_list_of_causes_is_whole(lite: Store) -> None:
    assert list(causes(World.made(lite).device())) == CAUSES


def test_t72_a_thousand_changed_ciphertexts_have_answers_of_one_length(lite: Store) -> None:
    world = World.made(lite)
    make = causes(world.device())["last block"]
    lengths = {len(world.post(make().body).body) for _ in range(1000)}
    assert len(lengths) == 1


@pytest.mark.parametrize("kind", ["openssl", "token"])
def test_t72_t73_every_cause_takes_the_same_work(kind: str) -> None:
    """The processor's time of the thread that answers, without the wait that hides the rest.

    In a process of its own, as measuring coverage makes each line of Python dear.  Statistic: that
    of Mann and Whitney over 25 answers for each of the causes, in mixed order, so that load hits
    all of them.  What counts is a difference by half a private operation, where chance explains one
    in 1000, and which is there when all is measured once more.
    """
    command = [sys.executable, "-m", "tests.server.service.oracles", "25", "--work", "--judge"]
    command += ["--key", kind, "--type", "PKCSReq", "--type", "GetCert"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_t72_work_that_a_cause_costs_more_is_found() -> None:
    quick, slow = [3.0 + one / 100 for one in range(40)], [3.3 + one / 100 for one in range(40)]
    assert Sample({"a": quick, "b": slow}).differences(0.1) == {("b", "a")}
    assert not Sample({"a": quick, "b": slow}).differences(0.5)
    assert not Sample({"a": quick, "b": quick}).differences(0.0)


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\x30\x80" + b"\x05\0" * 300 + b"\0\0"])
def test_t73_content_that_is_no_request_makes_a_decoy_fail_too(content: bytes) -> None:
    with pytest.raises(AlgorithmError):
        read_csr(opening._decoy_without_key())
    csr, fault = opening._parsed(content, view_of(pki.root().certificate), renews=False)
    assert csr is None
    assert fault.startswith("the request is bad: ")


def test_t72_t73_the_time_an_attacker_sees_is_a_multiple_of_a_grid(lite: Store) -> None:
    """Whatever is left of differences is rounded up to the next 20 ms (by default 5 ms).

    Statistic: the quickest of 12 answers for each cause, none of which comes before the first grid
    line, and all of which come soon after the same one.
    """
    world = World.made(lite, grid=timedelta(milliseconds=20))
    for _ in range(4):
        found = sample(world, 12)
        quickest = {cause: min(times) for cause, times in found.times.items()}
        assert min(quickest.values()) >= 20
        if max(quickest.values()) - min(quickest.values()) < 10:
            return
    pytest.fail(f"{quickest}")


def test_a2_a_bad_request_in_a_good_envelope_is_one_of_them(lite: Store) -> None:
    world = World.made(lite)
    device = world.device()
    for csr in (b"", b"\x30\x00", b"x" * 500, device.csr("x") + b"\0", device.csr("x")[:-1]):
        assert refusal_of(world.ask(device.enrol(csr=csr))) == UNREADABLE


def test_a3_oaep_failures_are_too(lite: Store) -> None:
    world = World.made(lite)
    device = world.device()
    protection = Protection(key_transport=KeyTransport.RSA_OAEP_SHA256)
    good = messages.read_request(device.enrol("x", protection=protection).body).content
    assert good is not None
    at = good.index(b"\x04\x82\x01\x00") + 50
    content = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
    assert refusal_of(world.ask(sent(device, content))) == UNREADABLE
