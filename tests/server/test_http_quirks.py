"""What real clients send, and what hostile ones do, over real HTTP.

T96 to T104 are this project's list of robustness tests; Q.. are the quirks of real clients.
"""

from __future__ import annotations

import base64
import contextlib
import random
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scepkit.core.http import CA_CERT_TYPE
from scepkit.server import accepting, listening
from scepkit.server.accepting import OpenConnections
from scepkit.server.replies import Context, Reply
from tests.server.serving import Answer, Running, Script, everything, logged, running, taken_apart

BINARY = bytes(range(256)) * 3


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    free = {"rate_limit": {"per_address": "100000/s", "address_burst": 100_000}}
    with running(profile={"default": free, "routers": free}, request_timeout="2s") as found:
        yield found


def by_get(server: Running, text: str) -> Answer:
    return server.ask(f"/scep?operation=PKIOperation&message={text}")


# ------------------------------------------------------------------ GET


def test_base64_may_be_escaped_or_not(server: Running) -> None:
    text = base64.b64encode(BINARY).decode()
    assert "+" in text
    assert "/" in text
    for sent in (
        quote(text, safe=""),  # as the RFC has it
        text,  # Q08: nothing escaped
        text.replace("=", "%3D"),  # Q09: Apple
        text.replace("+", "%2B"),  # Q13: strongSwan
        text.replace("+", "%20"),  # a proxy that decodes
        text.rstrip("="),
        base64.urlsafe_b64encode(BINARY).decode(),  # Q10: micromdm
        base64.urlsafe_b64encode(BINARY).decode().rstrip("="),
    ):
        assert by_get(server, sent).body == b"default:" + BINARY


def test_base64_may_have_line_breaks(server: Running) -> None:
    text = base64.encodebytes(BINARY).decode()
    for line_break in ("%0A", "%0D%0A", "%0d%0a"):  # Q02: Cisco IOS; Q11: sscep
        sent = quote(text, safe="").replace("%0A", line_break)
        assert by_get(server, sent).body == b"default:" + BINARY


@pytest.mark.parametrize(
    "message", ["", "%", "%%%", "a", "abcde", "<script>", "%00", "%ff%fe", "a" * 61, "*" * 100]
)
def test_what_is_no_base64_is_400(server: Running, message: str) -> None:
    answer = by_get(server, message)
    assert answer.status == 400
    assert answer.headers["content-type"] == "text/plain"
    assert "<" not in answer.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("operation=GetCACaps", 200),
        ("operation=getcacaps", 200),  # Q44
        ("operation=GETCACERT", 200),
        ("operation=pkioperation&message=YWJj", 200),
        ("operation=GetCACaps&message=", 200),  # Q02, Q15
        ("operation=GetCACaps&message=anything%20+at%00all", 200),
        ("operation=GetCACert&message=%ff%fe", 200),
        ("&&operation=GetCACaps&", 200),
        ("%6fperation=GetCACaps", 200),
        ("operation=GetCACaps&decode", 200),  # Q41
        ("", 400),
        ("operation", 400),
        ("operation=", 400),
        ("operation=Nonsense", 400),
        ("operation=GetCACaps%00", 400),
        ("operation=GetCACertChain", 400),
        ("OPERATION=GetCACaps", 400),
        ("operation=PKIOperation", 400),
        ("operation=GetCACaps&operation=PKIOperation", 400),
        ("message=YWJj&operation=PKIOperation&message=YWJj", 400),
    ],
)
def test_a_query_is_read_leniently_and_not_twice(server: Running, query: str, status: int) -> None:
    assert server.ask(f"/scep?{query}").status == status


def test_a_message_that_is_too_long_for_get_is_414(server: Running) -> None:
    assert by_get(server, "YWJj" * 10_000).status == 200
    assert by_get(server, "YWJj" * 25_000).status == 414
    assert by_get(server, "YWJj" * 40_000).status == 414
    with running(max_body="16KiB") as found:
        assert by_get(found, "YWJj" * 5_000).status == 200
        assert by_get(found, "YWJj" * 6_000).status == 414
        assert by_get(found, "YWJj" * 12_000).status == 414


def test_a_head_without_an_end_is_431(server: Running) -> None:
    assert server.raw(b"GET /scep?" + b"a" * 600_000)[:13] == b"HTTP/1.1 431 "
    assert server.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000)[:13] == b"HTTP/1.1 431 "


# ------------------------------------------------------------------ POST


@pytest.mark.parametrize(
    "kind",
    [
        "Content-Type: application/x-pki-message",
        "Content-Type: application/octet-stream",  # Q14: jscep
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: text/plain; charset=utf-16",
        "Content-Type: multipart/form-data",
        "Content-Type: ",
        "Content-Type: \xff\xfe",
        "X-Nothing: x",  # Q11: sscep
    ],
)
def test_the_content_type_does_not_matter(server: Running, kind: str) -> None:
    answer = server.ask("/scep?operation=PKIOperation", BINARY, headers=["Host: a", kind])
    assert answer.body == b"default:" + BINARY


@pytest.mark.parametrize("query", ["", "?", "?operation=PKIOperation", "?message=x", "?x=y"])
def test_post_without_an_operation_is_a_pki_operation(server: Running, query: str) -> None:
    assert server.ask(f"/scep{query}", b"abc").body == b"default:abc"  # R95


@pytest.mark.parametrize(
    "operation", ["GetCACaps", "GetCACert", "GetNextCACert", "Nonsense", "PKIOperation%20"]
)
def test_post_with_another_operation_is_400(server: Running, operation: str) -> None:
    assert server.ask(f"/scep?operation={operation}", b"abc").status == 400


def test_a_chunked_body_is_read(server: Running) -> None:
    head = b"POST /scep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    body = b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: x\r\n\r\n"
    answer = taken_apart(server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + body))
    assert answer.body == b"default:abc"
    assert answer.headers["content-length"] == "11"


def test_a_client_that_waits_for_100_continue_gets_it(server: Running) -> None:
    head = b"POST /scep HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert taken_apart(everything(connection)).body == b"default:abc"


# ------------------------------------------------------------------ HTTP


def test_http_1_0_without_a_host_is_answered(server: Running) -> None:
    # Q02: Cisco IOS says what it is, and nothing else.
    agent = "User-Agent: Mozilla/4.0 (compatible; MSIE 5.0; Cisco PKI)"
    for headers in ([], [agent]):
        answer = server.ask(
            "/cgi-bin/pkiclient.exe?operation=GetCACert&message=CA", version="1.0", headers=headers
        )
        assert answer.status == 200
        assert answer.headers["content-type"] == CA_CERT_TYPE
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert "transfer-encoding" not in answer.headers


def test_an_absolute_target_is_understood(server: Running) -> None:
    assert server.ask("http://ca.test/scep?operation=GetCACaps").status == 200


def test_an_upgrade_is_not_taken(server: Running) -> None:
    headers = ["Host: a", "Upgrade: websocket", "Connection: Upgrade"]
    assert server.ask("/scep?operation=GetCACaps", headers=headers).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET\r\n\r\n",
        b"GET /scep HTTP/9.9\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET scep HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /scep HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /scep HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /scep HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /scep HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /scep HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /scep HTTP/1.1\r\nBad Header\x00: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_at_most(server: Running, data: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = everything(connection)
    if found:
        answer = taken_apart(found)
        assert 400 <= answer.status < 500
        assert len(answer.body) < 80
    assert server.ask("/healthz").status == 200


# ------------------------------------------------------------------ T98, T99: too much, too slow

#: How often to try to be answered while others are slow, on a machine that stands still at times.
_TRIES = 10


def alive(server: Running) -> None:
    assert server.ask("/scep?operation=PKIOperation", b"abc").body == b"default:abc"


def given_up(connection: socket.socket) -> bool:
    """Whether the server has no more patience with who has sent a part of a request."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    return connection.recv(12, socket.MSG_PEEK) != b"HTTP/1.1 200"


def alive_beside(server: Running, slow: Sequence[socket.socket]) -> bool:
    """Whether an answer came sooner than these were given up.

    False says nothing: this machine may have been busy elsewhere for two seconds.
    """
    alive(server)
    return not any(map(given_up, slow))


def test_t99_a_body_of_10_mib_is_413_before_it_is_read(server: Running) -> None:
    body = bytes(10 << 20)
    answer = server.ask("/scep?operation=PKIOperation", body)
    assert answer.status == 413
    alive(server)


def test_t99_a_body_is_413_when_it_turns_out_too_long(server: Running) -> None:
    head = b"POST /scep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    answer = taken_apart(server.raw(head, *[chunk] * 40, b"0\r\n\r\n"))
    assert answer.status == 413
    alive(server)


def test_the_limit_itself_is_not_too_long(server: Running) -> None:
    assert server.ask("/scep", bytes(64 * 1024)).status == 200
    assert server.ask("/scep", bytes(64 * 1024 + 1)).status == 413


def test_t99_a_body_without_an_end_is_given_up(server: Running) -> None:
    head = b"POST /scep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    sent = 0
    with server.connect() as connection:
        connection.sendall(head)
        started = time.monotonic()
        try:
            while time.monotonic() - started < 40:
                connection.sendall(chunk)
                sent += len(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() - started < 30
    alive(server)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"POST /scep HT",
        b"POST /scep HTTP/1.1\r\nHost: a\r\nX: ",
        b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
    ],
)
def test_t99_a_slow_client_is_given_up_and_nobody_else_waits(server: Running, begin: bytes) -> None:
    for _ in range(_TRIES):
        with server.connect() as connection:
            connection.sendall(begin)
            if alive_beside(server, [connection]):
                break
    else:
        pytest.fail("nobody was answered before the slow client was given up")
    with server.connect() as connection:
        connection.sendall(begin)
        started = time.monotonic()
        data = b""
        connection.settimeout(0.3)
        while time.monotonic() - started < 40:
            try:
                connection.sendall(b"x" if begin else b"")  # 3 bytes a second
                if not (part := connection.recv(1000)):
                    break
                data += part
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        assert time.monotonic() - started < 30
    if data:
        assert data.split(b" ")[1] in (b"408", b"200", b"400")
    alive(server)


def test_a_client_that_goes_away_is_no_error(server: Running) -> None:
    with logged() as records:
        for begin in (
            b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
            b"POST /scep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        ):
            with server.connect() as connection:
                connection.sendall(begin)
                time.sleep(0.1)
        deadline = time.monotonic() + 20
        while len(records) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert [record.getMessage() for record in records] == ["client gone", "client gone"]
    alive(server)


def test_a_client_that_does_not_read_is_given_up() -> None:
    from scepkit.server.replies import Document
    from tests.server.test_app import MODIFIED

    crl = Document(bytes(20_000_000), "application/pkix-crl", '"e"', MODIFIED)
    with running(Script(documents={"x.crl": crl}), request_timeout="1s") as found:
        with found.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /crl/x.crl HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"  # and no more
            deadline = time.monotonic() + 30
            while found.listener.server_state.connections and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not found.listener.server_state.connections
        alive(found)


def test_hundreds_of_silent_connections_stop_nobody(server: Running) -> None:
    for _ in range(_TRIES):
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(server.connect()) for _ in range(300)]
            if alive_beside(server, silent):
                return
    pytest.fail("nobody was answered before the silent connections were given up")


def test_a_request_that_arrives_with_the_stop_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_LAST_CALL", 30)
    with running() as found, found.connect() as late:
        deadline = time.monotonic() + 30
        while not found.listener.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        found.listener.should_exit = True
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                with contextlib.suppress(ConnectionResetError):  # it is just being closed
                    found.connect().close()
                time.sleep(0.02)
        late.sendall(b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert b"200 OK" in late.recv(1000)


def test_who_keeps_a_connection_alive_loses_no_request_when_the_server_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_LAST_CALL", 0.05)
    monkeypatch.setattr(listening, "_FAREWELL", 30)
    answered = [0] * 4
    with running() as found:

        def ask_until_told_to_go(number: int) -> None:
            with contextlib.closing(
                HTTPConnection("127.0.0.1", found.port, timeout=30)
            ) as connection:
                told = False
                while not told:
                    connection.request("GET", "/scep?operation=GetCACaps")
                    with connection.getresponse() as response:
                        response.read()
                        told = response.getheader("connection") == "close"
                    answered[number] += 1

        with ThreadPoolExecutor(len(answered)) as threads:
            asking = [threads.submit(ask_until_told_to_go, one) for one in range(len(answered))]
            while not all(count > 5 for count in answered):
                assert not any(one.done() for one in asking)
                time.sleep(0.005)
            found.listener.should_exit = True
            for one in asking:
                one.result()


def test_a_request_that_takes_longer_than_the_stop_hears_that_its_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_FAREWELL", 30)
    came, go_on = threading.Event(), threading.Event()

    def wait(profile: str, body: bytes, context: Context) -> Reply:
        came.set()
        go_on.wait(30)
        return Reply(200, body, "text/plain")

    with running(Script(pki=wait)) as found, found.connect() as connection:
        connection.sendall(b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert came.wait(30)
        before = found.listener.server_state.default_headers
        while found.listener.server_state.default_headers is before:  # those of the next second
            time.sleep(0.005)
        found.listener.should_exit = True
        while (b"connection", b"close") not in found.listener.server_state.default_headers:
            time.sleep(0.005)
        go_on.set()
        assert taken_apart(connection.recv(1000)).headers["connection"] == "close"


def test_a_connection_that_is_taken_with_the_stop_does_not_delay_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_PATIENCE", 3600)
    monkeypatch.setattr(accepting, "_MOMENT", 3600)
    connections = OpenConnections(2)
    connections.tell(1, -1000)  # it has fewer than anybody, and takes none
    with logged("uvicorn.error") as records, contextlib.ExitStack() as longer:
        with running(connections=connections) as found:
            longer.enter_context(found.connect())
            time.sleep(0.05)  # it is left to the other one; where not, the test says less
        assert [record.getMessage() for record in records] == []


# ------------------------------------------------------------------ T96, T97: any bytes


def test_500_damaged_requests_are_no_5xx(server: Running) -> None:
    drawn = random.Random(97)
    good = (
        b"POST /scep/routers?operation=PKIOperation HTTP/1.1\r\nHost: ca.test\r\n"
        b"Content-Type: application/x-pki-message\r\nContent-Length: 20\r\n"
        b"Connection: close\r\n\r\n01234567890123456789"
    )
    for _ in range(500):
        data = bytearray(good)
        for _ in range(drawn.randint(1, 3)):
            at = drawn.randrange(len(data))
            match drawn.randrange(3):
                case 0:
                    data[at] = drawn.randrange(256)
                case 1:
                    del data[at]
                case _:
                    data.insert(at, drawn.randrange(256))
        with server.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = everything(connection)
        assert not found.startswith(b"HTTP/1.1 5"), bytes(data)
    alive(server)


@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_query_is_200_or_4xx(server: Running, query: str) -> None:
    answer = server.ask(f"/scep?{query}")
    assert answer.status < 500
    assert "<" not in answer.text.replace("'<", "")


@given(raw=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_by_get_are_read_or_400(server: Running, raw: bytes) -> None:
    text = quote(raw, safe="+/=") if raw else "%20"
    answer = by_get(server, text)
    assert answer.status in (200, 400)
    encoded = base64.b64encode(raw).decode()
    if raw:
        assert by_get(server, encoded).body == b"default:" + raw


# ------------------------------------------------------------------ T102, T104


def test_t102_no_answer_tells_what_runs_here(server: Running) -> None:
    answers = [
        server.raw(b"nonsense\r\n\r\n"),
        server.raw(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        server.raw(b"PUT /scep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        server.raw(b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"),
    ]
    for found in answers:
        for word in (
            b"uvicorn",
            b"starlette",
            b"python",
            b"scepkit",
            b"Traceback",
            b"site-packages",
            b".py",
        ):
            assert word not in found.lower()


def test_t104_overload_is_503_with_retry_after_and_ends() -> None:
    def slow(*_: object) -> object:
        time.sleep(0.02)
        from scepkit.server.replies import Reply

        return Reply(200, b"ok", "application/x-pki-message")

    answers: list[Answer] = []
    with running(Script(pki=slow), threads=2, waiting=4) as found:  # type: ignore[arg-type]

        def ask() -> None:
            for _ in range(5):
                answers.append(found.ask("/scep", b"x"))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found.ask("/scep", b"x").status == 200
    assert {answer.status for answer in answers} == {200, 503}
    for answer in answers:
        assert (answer.headers.get("retry-after") == "5") is (answer.status == 503)
