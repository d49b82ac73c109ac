"""The server's addresses over real HTTP: what is answered where, with which headers and limits."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from scepkit.errors import KeyUnavailable, ScepError, StoreUnavailable
from scepkit.server.replies import Document, Reply
from tests.server.serving import PKI_MESSAGE, Running, Script, logged, running, taken_apart

MODIFIED = datetime(2026, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)
CRL = Document(b"the CRL", "application/pkix-crl", '"e1"', MODIFIED)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


# ------------------------------------------------------------------ SCEP


@pytest.mark.parametrize(
    "path",
    [
        "/scep",
        "/scep/",
        "/scep/pkiclient.exe",
        "/scep/default",
        "/scep/default/pkiclient.exe",
        "/cgi-bin/pkiclient.exe",
        "/cgi-bin/pkiclient.exe/",
        "/certsrv/mscep/mscep.dll",
        "/certsrv/mscep/mscep.dll/pkiclient.exe",
        "/certsrv/mscep/",
        "/CertSrv/mscep/mscep.dll",
        "/CertSrv/mscep/mscep.dll/pkiclient.exe",
        "/CGI-BIN/PKICLIENT.EXE",
        "/SCEP",
        "/scep/default/any/thing",
    ],
)
def test_the_default_profile_has_the_paths_that_clients_know(server: Running, path: str) -> None:
    assert server.ask(f"{path}?operation=GetCACaps").text == "caps of default\n"


@pytest.mark.parametrize(
    "path", ["/scep/routers", "/scep/routers/", "/scep/routers/pkiclient.exe", "/scep/routers%2f"]
)
def test_each_profile_has_its_path(server: Running, path: str) -> None:
    assert server.ask(f"{path}?operation=GetCACaps").text == "caps of routers\n"


@pytest.mark.parametrize(
    "path",
    [
        "/scep/nobody",
        "/scep/Routers",
        "/",
        "/scepx",
        "/cgi-bin/",
        "/etc/passwd",
        "/scep/../scep",
        "/scep/%2e%2e/x",
        "/scep/%00",
    ],
)
def test_what_is_not_there_is_404(server: Running, path: str) -> None:
    answer = server.ask(f"{path}?operation=GetCACaps")
    assert answer.status == 404
    assert len(answer.body) < 60


def test_without_a_default_profile_scep_is_404() -> None:
    script = Script(profile_names=("a", "b"))
    with running(script, profile={"a": {}, "b": {}}) as found:
        assert found.ask("/scep?operation=GetCACaps").status == 404
        assert found.ask("/cgi-bin/pkiclient.exe?operation=GetCACaps").status == 404
        assert found.ask("/scep/b?operation=GetCACaps").status == 200


def test_answers_have_exact_types_and_lengths_and_are_not_kept(server: Running) -> None:
    for target, kind in (
        ("/scep?operation=GetCACaps", "text/plain"),
        ("/scep?operation=GetCACert", "application/x-x509-ca-cert"),
        ("/scep?operation=PKIOperation&message=YWJj", PKI_MESSAGE),
    ):
        answer = server.ask(target)
        assert answer.headers["content-type"] == kind
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_next_ca_without_a_successor_is_404_and_no_warning() -> None:
    with running() as found, logged() as records:
        assert found.ask("/scep?operation=GetNextCACert").status == 404
        found.ask("/metrics")  # the line of the request before is there by then
    levels = {one.levelname for one in records if one.name == "scepkit.request"}
    assert levels <= {"INFO", "DEBUG"}
    assert "INFO" in levels


def test_next_ca_with_one_is_its_answer() -> None:
    script = Script(next_ca=Reply(200, b"next", "application/x-x509-next-ca-cert"))
    with running(script) as found:
        answer = found.ask("/scep?operation=GetNextCACert")
        assert (answer.status, answer.body) == (200, b"next")
        assert answer.headers["content-type"] == "application/x-x509-next-ca-cert"


def test_a_message_by_post_and_by_get_is_the_same(server: Running) -> None:
    assert server.ask("/scep?operation=PKIOperation", b"abc").body == b"default:abc"
    assert server.ask("/scep?operation=PKIOperation&message=YWJj").body == b"default:abc"


def test_a_message_without_bytes_is_the_services_business(server: Running) -> None:
    assert server.ask("/scep?operation=PKIOperation", b"").body == b"default:"


@pytest.mark.parametrize(
    "method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"]
)
def test_other_methods_are_405(server: Running, method: str) -> None:
    answer = server.ask("/scep?operation=GetCACaps", method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"


def test_the_service_hears_who_asks_and_when(server: Running) -> None:
    server.ask("/scep?operation=PKIOperation", b"abc")
    context = server.script.contexts[-1]
    assert context.address == "127.0.0.1"
    assert context.method == "POST"
    assert abs(context.now - datetime.now(UTC)) < timedelta(seconds=10)


def test_many_requests_use_one_connection(server: Running) -> None:
    one = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /scep?operation=GetCACert HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    data = server.raw(one * 5 + last)
    assert data.count(b"caps of default\n") == 5
    assert data.endswith(b"certificate of default")


# ------------------------------------------------------------------ trouble


@pytest.mark.parametrize("error", [StoreUnavailable("down"), KeyUnavailable("away")])
def test_what_is_away_is_503_with_a_time_to_come_again(error: Exception) -> None:
    def fail(*_: object) -> Reply:
        raise error

    with running(Script(pki=fail)) as found, logged() as records:
        answer = found.ask("/scep?operation=PKIOperation", b"abc")
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        # These need neither database nor key.
        assert found.ask("/scep?operation=GetCACaps").status == 200
        assert found.ask("/scep?operation=GetCACert").status == 200
    assert any(str(error) in record.getMessage() for record in records)


@pytest.mark.parametrize("error", [RuntimeError("/secret/path"), ScepError("secret reason")])
def test_an_error_of_ours_is_for_the_log_only(error: Exception) -> None:
    def fail(*_: object) -> Reply:
        raise error

    with running(Script(pki=fail)) as found, logged() as records:
        answer = found.ask("/scep?operation=PKIOperation", b"abc")
        assert (answer.status, answer.text) == (500, "internal error\n")
        assert "secret" not in str(answer)
    (said,) = [record for record in records if record.levelname == "ERROR"]
    assert said.exc_info is not None
    assert said.exc_info[1] is error


def test_too_much_at_once_is_503() -> None:
    let_go = threading.Event()

    def slow(*_: object) -> Reply:
        assert let_go.wait(30)
        return Reply(200, b"done", PKI_MESSAGE)

    with running(Script(pki=slow), threads=1, waiting=1) as found:
        request = (
            b"POST /scep HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        )
        connections = [found.connect() for _ in range(4)]
        for connection in connections:
            connection.sendall(request)
        refused: set[socket.socket] = set()
        while len(refused) < 2:
            readable, _, _ = select.select(set(connections) - refused, (), (), 20)
            assert readable
            refused |= set(readable)
        let_go.set()
        answers = []
        for connection in connections:
            with connection, connection.makefile("rb") as file:
                answers.append(taken_apart(file.read()))
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    assert all(int(one.headers["retry-after"]) > 0 for one in answers if one.status == 503)


def test_an_address_that_asks_too_often_is_429() -> None:
    limit = {"per_address": "1/h", "address_burst": 3}
    with running(profile={"default": {"rate_limit": limit}, "routers": {}}) as found:
        answers = [found.ask("/scep?operation=PKIOperation", b"x") for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        assert 3000 < int(answers[-1].headers["retry-after"]) <= 3601
        # The other profile has a bucket of its own, and this costs nothing.
        assert found.ask("/scep/routers?operation=PKIOperation", b"x").status == 200
        assert found.ask("/scep?operation=GetCACert").status == 200


def test_addresses_are_counted_apart_and_together() -> None:
    limit = {"per_address": "1/h", "address_burst": 2, "total": "1/h", "total_burst": 3}
    with running(
        profile={"default": {"rate_limit": limit}, "routers": {}}, trusted_proxies=["127.0.0.1"]
    ) as found:

        def ask(address: str) -> int:
            headers = ["Host: a", f"X-Forwarded-For: {address}"]
            return found.ask("/scep?operation=PKIOperation", b"x", headers=headers).status

        assert [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.1")] == [200, 200, 429]
        assert [ask("192.0.2.2"), ask("192.0.2.2")] == [200, 429]


# ------------------------------------------------------------------ addresses


def seen(found: Running, *headers: str) -> str:
    found.ask("/scep?operation=PKIOperation", b"x", headers=["Host: a", *headers])
    address: str = found.script.contexts[-1].address
    return address


def test_nobody_says_who_he_is_but_a_trusted_proxy(server: Running) -> None:
    assert seen(server, "X-Forwarded-For: 192.0.2.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.1.2.3"], "192.0.2.1"),
        (["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1:4711"], "192.0.2.1"),
        (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: ::ffff:192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: fe80::1%eth0"], "fe80::1"),
        (["X-Forwarded-For: [fe80::1%25eth0]:4711"], "fe80::1"),
        (["X-Forwarded-For: 192.0.2.1, ::ffff:10.1.2.3%eth0"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1, fe80::1%"], "127.0.0.1"),
        (["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        (["X-Forwarded-For: evil"], "127.0.0.1"),
        (["X-Forwarded-For: 192.0.2.1, evil, 10.0.0.1"], "10.0.0.1"),
        (["X-Forwarded-For: "], "127.0.0.1"),
        (["Forwarded: for=192.0.2.1"], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_asks(headers: list[str], address: str) -> None:
    with running(trusted_proxies=["127.0.0.1", "10.0.0.0/8"]) as found:
        assert seen(found, *headers) == address


# ------------------------------------------------------------------ CRLs and certificates


@pytest.fixture
def published() -> Iterator[Running]:
    documents = {"main.crl": CRL, "main~2.crl": CRL, "main.cer": CRL}
    with running(Script(documents=documents)) as found:
        yield found


def test_a_crl_has_what_caches_need(published: Running) -> None:
    answer = published.ask("/crl/main.crl")
    assert (answer.status, answer.body) == (200, b"the CRL")
    assert answer.headers["content-type"] == "application/pkix-crl"
    assert answer.headers["etag"] == '"e1"'
    assert answer.headers["last-modified"] == "Mon, 01 Jun 2026 12:00:00 GMT"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert published.ask("/crl/main~2.crl").status == 200
    assert published.ask("/ca/main.cer").status == 200


def test_a_crl_may_be_asked_for_without_its_body(published: Running) -> None:
    answer = published.ask("/crl/main.crl", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == "7"
    assert published.ask("/crl/main.crl", b"x").status == 405


def test_an_answer_without_a_body_comes_at_once_where_the_connection_stays(
    published: Running,
) -> None:
    with published.connect() as connection:
        for _ in range(2):  # only an open connection has a second answer
            connection.sendall(b"HEAD /crl/main.crl HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = taken_apart(connection.recv(65536))
            assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('If-None-Match: "e1"', 304),
        ('If-None-Match: W/"e1"', 304),
        ('If-None-Match: "x", "e1"', 304),
        ("If-None-Match: *", 304),
        ('If-None-Match: "x"', 200),
        ("If-None-Match: e1", 200),
        ("If-Modified-Since: Mon, 01 Jun 2026 12:00:00 GMT", 304),
        ("If-Modified-Since: Mon, 01 Jun 2026 13:00:00 GMT", 304),
        ("If-Modified-Since: Mon, 01 Jun 2026 11:59:59 GMT", 200),
        ("If-Modified-Since: yesterday", 200),
        ("If-Modified-Since: Mon, 01 Jun 2026 12:00:00 -0000", 200),
        ("If-Modified-Since: " + "x" * 1000, 200),
    ],
)
def test_who_has_it_already_is_told_so(published: Running, header: str, status: int) -> None:
    answer = published.ask("/crl/main.crl", headers=["Host: a", header])
    assert answer.status == status
    assert answer.headers["etag"] == '"e1"'
    assert answer.body == (b"" if status == 304 else b"the CRL")


def test_a_tag_counts_before_a_date(published: Running) -> None:
    headers = ["Host: a", 'If-None-Match: "x"', "If-Modified-Since: Mon, 01 Jun 2026 13:00:00 GMT"]
    assert published.ask("/crl/main.crl", headers=headers).status == 200


@pytest.mark.parametrize(
    "path",
    ["/crl/nobody.crl", "/crl/main", "/crl/", "/crl/main.cer", "/crl/a/main.crl", "/ca/x.cer"],
)
def test_other_documents_are_404(published: Running, path: str) -> None:
    assert published.ask(path).status == 404


def test_a_crl_that_ends_soon_is_kept_until_then() -> None:
    ends = datetime.now(UTC) + timedelta(seconds=60)
    crl = Document(b"x", "application/pkix-crl", '"e"', MODIFIED, ends)
    with running(Script(documents={"main.crl": crl})) as found:
        answer = found.ask("/crl/main.crl")
        assert answer.headers["expires"] == format_datetime(ends, usegmt=True)
        kept = int(answer.headers["cache-control"].rpartition("=")[2])
        assert 50 <= kept <= 60


def test_a_large_crl_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    crl = Document(body, "application/pkix-crl", '"e"', MODIFIED)
    with running(Script(documents={"main.crl": crl})) as found:
        assert found.ask("/crl/main.crl").body == body


def test_the_last_crl_is_named_when_a_newer_one_is_asked_for() -> None:
    script = Script(documents={"main.crl": CRL})
    with running(script) as found:
        assert found.ask("/crl/main.crl").status == 200
        time.sleep(1.1)
        assert found.ask("/crl/main.crl").body == b"the CRL"
    assert script.known_crls == [None, CRL]


def test_a_crl_is_read_once_for_all_who_ask_for_it_meanwhile() -> None:
    asked, here = list[str](), threading.Event()

    class Slow(Script):
        def crl(self, ca: str, now: datetime, known: Document | None) -> Document | None:
            asked.append(ca)
            assert here.wait(60)
            return super().crl(ca, now, known)

    with running(Slow(documents={"main.crl": CRL})) as found, ThreadPoolExecutor(11) as threads:
        answers = [threads.submit(found.ask, "/crl/main.crl") for _ in range(10)]
        other = threads.submit(found.ask, "/crl/other.crl")
        until = time.monotonic() + 30
        while len(asked) < 2 or len(found.listener.server_state.tasks) < 11:
            assert time.monotonic() < until
            time.sleep(0.01)
        # Whoever comes later and is answered comes after what they began with.
        assert found.ask("/ca/nobody.cer").status == 404
        assert sorted(asked) == ["main", "other"]
        here.set()
        assert {one.result(30).body for one in answers} == {b"the CRL"}
        assert other.result(30).status == 404


def test_without_the_database_the_last_crl_is_served_until_it_ends() -> None:
    script = Script(documents={"main.crl": CRL})
    with running(script) as found:
        assert found.ask("/crl/main.crl").status == 200
        script.failure = StoreUnavailable("down")
        time.sleep(1.1)
        assert found.ask("/crl/main.crl").body == b"the CRL"
        assert found.ask("/crl/other.crl").status == 503
    script = Script(
        documents={"main.crl": Document(b"x", "application/pkix-crl", '"e"', MODIFIED, MODIFIED)}
    )
    with running(script) as found:
        assert found.ask("/crl/main.crl").status == 200
        script.failure = StoreUnavailable("down")
        time.sleep(1.1)
        assert found.ask("/crl/main.crl").status == 503


# ------------------------------------------------------------------ monitoring


def test_the_server_says_that_it_is_alive_and_ready(server: Running) -> None:
    assert server.ask("/healthz").text == "ok\n"
    assert server.ask("/readyz").text == "ready\n"
    assert server.ask("/healthz", method="HEAD").status == 200
    assert server.ask("/healthz", b"x").status == 405


def test_who_is_near_hears_why_it_is_not_ready() -> None:
    with running(Script(failure=StoreUnavailable("the disk is full"))) as found:
        answer = found.ask("/readyz")
        assert answer.status == 503
        assert answer.text == "not ready\nthe database cannot be used now; the log says why\n"
        assert found.ask("/healthz").status == 200
        answer = found.ask("/readyz", headers=["Host: a", "X-Forwarded-For: 192.0.2.1"])
        assert (answer.status, answer.text) == (503, "not ready\n")


def test_the_log_and_not_the_page_says_what_is_wrong_with_the_database() -> None:
    script = Script(failure=StoreUnavailable("no route to db.example:5432"))
    with running(script) as found, logged() as records:
        pages = [found.ask("/readyz").text, found.ask("/metrics").text, found.ask("/readyz").text]
    assert not any("db.example" in page for page in pages)
    said = [text for one in records if "db.example" in (text := one.getMessage())]
    assert said == ["not ready: no route to db.example:5432"]


def test_the_numbers_are_for_those_who_may_see_them(server: Running) -> None:
    answer = server.ask("/metrics")
    assert answer.status == 200
    assert 'scep_pending{profile="routers"} 3.0' in answer.text
    assert "scep_ready 1.0" in answer.text
    # A proxy that nobody configured makes everybody look local.
    for header in ("X-Forwarded-For: 127.0.0.1", "Via: 1.1 proxy", "Forwarded: for=127.0.0.1"):
        assert server.ask("/metrics", headers=["Host: a", header]).status == 404
    with running(metrics_from=["192.0.2.0/24"], trusted_proxies=["127.0.0.1"]) as found:
        assert found.ask("/metrics").status == 404
        ok = found.ask("/metrics", headers=["Host: a", "X-Forwarded-For: 192.0.2.7"])
        assert ok.status == 200


def test_the_numbers_are_there_without_the_database() -> None:
    with running(Script(failure=StoreUnavailable("down"))) as found:
        assert "scep_ready 0.0" in found.ask("/metrics").text


def test_requests_are_counted_by_words_of_ours() -> None:
    with running() as found:
        found.ask("/scep/routers?operation=PKIOperation", b"x")
        found.ask("/scep?operation=<script>")
        found.ask("/scep/<b>?operation=GetCACaps")
        text = found.ask("/metrics").text
    assert 'op="PKIOperation",profile="routers",result="HTTP 200"' in text
    assert 'op="unknown",profile="default",result="HTTP 400"' in text
    assert 'op="unknown",profile="",result="HTTP 404"' in text
    assert "<" not in text


# ------------------------------------------------------------------ the log


class Told:
    """A record as the use cases give it."""

    message_type, status, fail_info, stage = "PKCSReq", "SUCCESS", "", "seal"
    reason, replay, timings = "", "poll", {"sign": 1.5}

    def fields(self) -> dict[str, object]:
        return {"transactionID": "abc", "pkiStatus": "SUCCESS", "ms": self.timings}


def test_each_request_is_one_line() -> None:
    reply = Reply(200, b"ok", PKI_MESSAGE, record=Told())
    with running(Script(pki=lambda *_: reply)) as found:
        with logged() as records:
            found.ask("/scep?operation=PKIOperation", b"x")
            found.ask("/scep?operation=GetCACaps")
            found.ask("/nothing%0d%0aHTTP/<here>%1b[31m")
            found.ask("/healthz")
        text = found.ask("/metrics").text
    lines = [record for record in records if record.name == "scepkit.request"]
    fields = [getattr(line, "fields", {}) for line in lines]
    assert [(one["http"], one["asked"]) for one in fields] == [
        (200, "PKIOperation"),
        (200, "GetCACaps"),
        (404, ""),
        (200, "healthz"),
    ]
    assert fields[0]["transactionID"] == "abc"
    assert fields[0]["total_ms"] > 0
    assert fields[2]["path"].isprintable()
    assert lines[-1].levelname == "DEBUG"
    assert 'scep_replays_total{profile="default",shape="poll"} 1.0' in text
    assert 'message_type="PKCSReq"' in text
    assert 'scep_request_seconds_count{stage="sign"} 1.0' in text
