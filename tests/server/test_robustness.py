"""T96 to T103 against the real use cases, over real HTTP."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption as Encryption
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from scepkit.core.asn1 import element
from scepkit.core.http import CA_CERT_TYPE, PKI_MESSAGE_TYPE
from scepkit.core.messages import Success
from scepkit.server.health import ServiceHealth
from scepkit.store import open_store
from tests import cms_writer, pki
from tests.server.quickly import quickly
from tests.server.service.odd_requests import sent
from tests.server.service.world import World, certificate_of, count
from tests.server.serving import Running, everything, logged, running

ONE_PROFILE: dict[str, object] = {"default": {}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("robust")
    with open_store(f"sqlite:///{directory}/scepkit.db", node="node1") as store:
        store.migrate()
        yield World.made(store)


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Running]:
    health = ServiceHealth(world.service)
    with running(
        world.service, clock=lambda: world.now, health=health, profile=ONE_PROFILE
    ) as found:
        yield found


def alive(server: Running, world: World, number: int = 0) -> None:
    """An honest request is served, and quickly."""
    number = number or random.getrandbits(60)
    device = replace(world.device(f"alive{number}"), transaction_id=f"alive-{number}")
    message = device.enrol(world.mint())
    with quickly(3):
        answer = server.ask("/scep?operation=PKIOperation", message.body)
    assert answer.status == 200
    assert isinstance(message.open(answer.body, world.signers), Success)


def request(world: World) -> bytes:
    return world.device().enrol("a wrong challenge").body


# ------------------------------------------------------------------ T96


def other_der() -> dict[str, bytes]:
    root = pki.root()
    return {
        "nothing": b"",
        "one byte": b"0",
        "zeros": bytes(1024),
        "random": random.Random(96).randbytes(1024),
        "certificate": root.der,
        "PEM": root.certificate.public_bytes(Encoding.PEM),
        "PKCS#12": pkcs12.serialize_key_and_certificates(
            b"x", root.key, root.certificate, None, Encryption(b"x")
        ),
        "null": bytes.fromhex("0500"),
        "text": b"operation=PKIOperation&message=YWJj",
        "html": b"<script>alert(1)</script>",
    }


@pytest.mark.parametrize("kind", sorted(other_der()))
def test_t96_what_is_no_pki_message_is_400(server: Running, kind: str) -> None:
    answer = server.ask("/scep?operation=PKIOperation", other_der()[kind])
    assert answer.status == 400
    assert answer.headers["content-type"] == "text/plain"
    assert len(answer.body) < 400
    assert b"<" not in answer.body


def test_t96_a_csr_alone_is_400(server: Running, world: World) -> None:
    assert server.ask("/scep", world.device().csr("x")).status == 400


# ------------------------------------------------------------------ T97


def test_t97_a_message_that_is_cut_off_is_no_5xx(server: Running, world: World) -> None:
    body, drawn = request(world), random.Random(97)
    for _ in range(50):
        cut = drawn.randrange(1, len(body))
        assert server.ask("/scep", body[:cut]).status == 400
        assert server.ask("/scep", body + body[:cut]).status in (200, 400)
    alive(server, world)


def test_t97_500_damaged_messages_are_no_5xx(server: Running, world: World) -> None:
    body, drawn = request(world), random.Random(97)

    def damaged() -> bytes:
        at = drawn.randrange(len(body))
        changed = drawn.choice([drawn.randrange(256), body[at] ^ (1 << drawn.randrange(8))])
        return body[:at] + bytes([changed]) + body[at + 1 :]

    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda one: server.ask("/scep", one), [damaged() for _ in range(500)])
        )
    assert {answer.status for answer in answers} <= {200, 400}
    alive(server, world)


def test_t97_a_connection_that_breaks_off_is_no_error(server: Running, world: World) -> None:
    body = request(world)
    head = b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with logged() as records:
        for cut in (0, 1, len(body) // 2, len(body) - 1):
            with server.connect() as connection:
                connection.sendall(head + body[:cut])
                connection.shutdown(socket.SHUT_WR)
                assert everything(connection) == b""
    assert not [record for record in records if record.levelname in ("ERROR", "CRITICAL")]
    alive(server, world)


# ------------------------------------------------------------------ T98


def nested(depth: int) -> bytes:
    return b"\x30\x80" * depth + b"\x00\x00" * depth


def lengths() -> dict[str, bytes]:
    return {
        "depth 10,000, indefinite": nested(10_000),
        "depth 10,000, without ends": b"\x30\x80" * 10_000,
        "constructed strings": b"\x24\x80" * 10_000,
        "length 2^63": b"\x30\x88\x7f" + b"\xff" * 7,
        "length of 126 bytes": b"\x30\xfe" + b"\xff" * 126,
        "a long tag": b"\x3f" + b"\xff" * 5000,
    }


@pytest.mark.parametrize("kind", sorted(lengths()))
def test_t98_what_cannot_be_read_is_refused_quickly(
    server: Running, world: World, kind: str
) -> None:
    with quickly():
        assert server.ask("/scep", lengths()[kind]).status == 400
    alive(server, world)


@pytest.mark.parametrize("what", ["attributes", "certificates"])
def test_t98_thousands_of_parts_are_refused_quickly(
    server: Running, world: World, what: str
) -> None:
    device = world.device()
    if what == "attributes":

        def many(attributes: dict[str, bytes]) -> None:
            for number in range(1500):
                attributes[str(number)] = element(0x30, bytes.fromhex("06032a0304"), element(0x31))

        message = sent(device, b"x", change=many)
    else:
        message = sent(device, b"x", certificates=[pki.root().der] * 50)
    assert len(message.body) < 64 * 1024
    with quickly():
        answer = server.ask("/scep", message.body)
    assert answer.status in (200, 400)
    alive(server, world)


# ------------------------------------------------------------------ T100, T102


@pytest.mark.parametrize(
    "transaction_id",
    [
        "../../../tmp/x",
        "a\r\nSet-Cookie: x=1",
        "a\x00b",
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "%n%s%x",
        "\u202e\x1b[31m",
        "x" * 255,
        "x" * 50_000,
    ],
)
def test_t100_a_transaction_id_is_opaque(
    server: Running, world: World, transaction_id: str, tmp_path: Path
) -> None:
    before = count(world.store, "certificate")
    device = world.device("opaque")
    value = element(0x0C, transaction_id.encode())

    def change(attributes: dict[str, bytes]) -> None:
        attributes["transaction_id"] = cms_writer.attribute("2.16.840.1.113733.1.9.7", value)

    message = sent(device, b"x", change=change)
    with logged() as records:
        answer = server.ask("/scep", message.body)
    assert answer.status in (200, 400)
    assert b"Set-Cookie" not in b"\r\n".join(name.encode() for name in answer.headers)
    for record in records:
        for value_of in getattr(record, "fields", {}).values():
            assert str(value_of).isprintable()
            assert len(str(value_of)) < 600
    assert count(world.store, "certificate") == before
    alive(server, world)


def test_t102_no_answer_says_why_in_detail(server: Running, world: World) -> None:
    for body in (request(world)[:-1], b"x" * 100, nested(50)):
        said = server.ask("/scep", body).body.lower()
        for word in (b"traceback", b"scepkit", b"python", b"cryptography", b"openssl", b"/usr"):
            assert word not in said


# ------------------------------------------------------------------ T103


def test_t103_a_hundred_in_turn_and_twenty_at_once(server: Running, world: World) -> None:
    def enrolled(number: int) -> int:
        device = replace(world.device(f"device{number}"), transaction_id=f"t103-{number}")
        message = device.enrol(world.mint())
        target = "/scep?operation=PKIOperation"
        answer = server.ask(target, message.body)
        assert answer.status == 200
        assert answer.headers["content-type"] == PKI_MESSAGE_TYPE
        return certificate_of(message.open(answer.body, world.signers)).serial_number

    serials = [enrolled(number) for number in range(100)]
    with ThreadPoolExecutor(20) as pool:
        serials += pool.map(enrolled, range(100, 120))
    assert len(set(serials)) == 120
    # At least 64 bits of chance: no two are near each other, none is short.
    assert min(serials).bit_length() > 140
    assert min(b - a for a, b in zip(sorted(serials), sorted(serials)[1:], strict=False)) > 2**100


def test_by_get_and_by_post_the_answer_is_the_same(server: Running, world: World) -> None:
    from base64 import b64encode
    from urllib.parse import quote

    device = replace(world.device("by-get"), transaction_id="by-get")
    message = device.enrol(world.mint())
    posted = message.open(server.ask("/scep", message.body).body, world.signers)
    text = quote(b64encode(message.body).decode(), safe="")
    got = server.ask(f"/scep?operation=PKIOperation&message={text}", version="1.0", headers=[])
    assert certificate_of(message.open(got.body, world.signers)) == certificate_of(posted)


def test_the_operations_that_need_no_message(server: Running, world: World) -> None:
    caps = server.ask("/scep?operation=GetCACaps").text.splitlines()
    assert {"AES", "POSTPKIOperation", "SCEPStandard", "SHA-256"} <= set(caps)
    ca = server.ask("/scep?operation=GetCACert")
    assert ca.headers["content-type"] == CA_CERT_TYPE
    assert ca.body == world.authority.active.seen.der
    assert server.ask("/scep?operation=GetNextCACert").status == 404


def test_the_crl_and_the_certificate_are_published(server: Running, world: World) -> None:
    assert server.ask("/crl/main.crl").status == 404
    assert server.ask("/readyz").text == "not ready\nthere is no CRL of main yet\n"
    der = world.crl()
    time.sleep(1.1)
    answer = server.ask("/crl/main.crl")
    assert answer.body == der
    assert answer.headers["content-type"] == "application/pkix-crl"
    again = server.ask(
        "/crl/main.crl", headers=["Host: a", f"If-None-Match: {answer.headers['etag']}"]
    )
    assert again.status == 304
    assert server.ask("/ca/main.cer").body == world.authority.active.seen.der
    assert server.ask("/readyz").text == "ready\n"
    text = server.ask("/metrics").text
    assert 'scep_crl_next_update_seconds{ca="main"}' in text
    assert 'scep_ca_certificate_not_after_seconds{ca="main",status="active"}' in text
    assert "scep_pending 0.0" in text
