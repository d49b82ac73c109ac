"""transport: what is refused at once, and what no log, error or repr shows."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from scepkit.core.http import (
    parse_endpoint,
    pki_operation_request,
)
from scepkit.errors import InputError, TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import always, answer, once, serve
from tests.transport.asking import failure, get, post


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"connect_timeout": float("inf")}, "connect_timeout is inf"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"headers": {"X": "a\r\nEvil: 1"}}, "header X contains a line break"),
        ({"headers": {"X": "a\n b"}}, "header X contains a line break"),
        ({"headers": {"X": "\x00"}}, "header X contains"),
        ({"headers": {"X": "日"}}, "header X contains"),
        ({"headers": {"X\r\nEvil": "1"}}, "not the name of an HTTP header"),
        ({"headers": {"X:": "1"}}, "not the name of an HTTP header"),
        ({"headers": {"": "1"}}, "not the name of an HTTP header"),
        ({"headers": {"Host": "other"}}, "Host cannot be set"),
        ({"headers": {"content-LENGTH": "1"}}, "cannot be set"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "cannot be set"),
        ({"headers": {"Authorization": "x"}, "basic_auth": ("a", "b")}, "not both"),
        ({"user_agent": "a\r\nEvil: 1"}, "user_agent contains a line break"),
        ({"basic_auth": ("a:b", "c")}, "colon"),
        ({"basic_auth": ("a\r\n", "c")}, "user name for basic .* line break"),
        ({"basic_auth": ("a", "hunter2\n")}, "password for basic .* line break"),
        ({"tls_host_name": "a\r\nb"}, "tls_host_name"),
        ({"tls_host_name": ""}, "tls_host_name"),
        ({"tls_host_name": "a..b"}, "tls_host_name"),
        ({"tls_host_name": "bücher.test"}, "tls_host_name"),
        ({"proxy": "socks5://jo:hunter2@p.test"}, "'socks5'"),
        ({"proxy": "https://p.test"}, "'https'"),
        ({"proxy": ""}, "not the address of a proxy"),
        ({"proxy": "http://jo:hunter2"}, "not the address of a proxy"),
        ({"proxy": "http://p.test/path"}, "not the address of a proxy"),
        ({"proxy": "http://p.test\r\nX: y"}, "not the address of a proxy"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        HttpOptions(**options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert "Evil: 1" not in str(caught.value)


def test_a_url_with_a_line_break_is_never_sent(transport: HttpTransport) -> None:
    with pytest.raises(InputError, match="line break"):
        transport.exchange(get("http://127.0.0.1/\r\nX: y"))


def test_options_cannot_be_changed_after_they_were_checked() -> None:
    headers = {"X": "1"}
    options = HttpOptions(headers=headers)
    headers["X"] = "1\r\nEvil: 1"
    assert options.headers == {"X": "1"}


def test_no_repr_shows_a_secret() -> None:
    options = HttpOptions(
        proxy="http://jo:hunter2@proxy.test:3128",
        basic_auth=("jo", "hunter2"),
        headers={"Authorization-2": "hunter2"},
        client_certificate=("c.pem", "k.pem", "hunter2"),
        tls_host_name="ca.test",
    )
    shown = repr(options) + repr(HttpTransport(options))
    assert "hunter2" not in shown
    assert "tls_host_name='ca.test'" in shown
    assert "basic_auth=..." in shown


def test_one_line_is_logged_for_each_exchange(
    transport: HttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "scepkit.transport")
    with serve(always(answer(b"12345"))) as server:
        request = pki_operation_request(parse_endpoint(server.url()), b"secret", post=False)
        transport.exchange(request)
    [record] = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.name == "scepkit.transport"
    shown = server.url("/scep?operation=PKIOperation&message=...")
    assert record.getMessage().startswith(f"GET {shown}: 200, 5 bytes, ")
    assert record.getMessage().endswith(" ms")


def test_a_failed_exchange_is_logged_with_its_kind(
    transport: HttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "scepkit.transport")
    with serve(once(b"")) as server, pytest.raises(TransportError):
        transport.exchange(post(server.url()))
    [record] = caplog.records
    assert "failed (closed)" in record.getMessage()


def test_the_url_of_an_error_has_no_message() -> None:
    with serve(once(b"")) as server:
        request = pki_operation_request(parse_endpoint(server.url()), b"secret", post=False)
        error = failure(request)
    assert error.url == server.url("/scep?operation=PKIOperation&message=...")
    assert "c2VjcmV0" not in str(error) + error.hint + error.url


def test_little_is_loaded_until_it_is_needed() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import scepkit.transport as t\n"
        "transport = t.HttpTransport()\n"
        "names = {'asyncio', 'logging', 'concurrent.futures', 'urllib.request', 'zlib'}\n"
        "sys.exit(' '.join(names & set(sys.modules) - before) or 0)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_an_exchange_needs_no_logging() -> None:
    program = (
        "import sys, scepkit.transport as t\n"
        "from scepkit.core.http import HttpRequest\n"
        "body = t.HttpTransport().exchange(HttpRequest('GET', sys.argv[1])).body\n"
        "sys.exit(body != b'ok' or 'logging' in sys.modules)\n"
    )
    with serve(always(answer(b"ok"))) as server:
        result = subprocess.run([sys.executable, "-c", program, server.url()], check=False)
    assert result.returncode == 0
