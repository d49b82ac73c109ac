"""transport: https, whom it believes, and what it says when it does not."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from scepkit.errors import KeyLoadError, TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests import pki
from tests.servers import (
    ForwardProxy,
    Handler,
    Peer,
    Server,
    always,
    answer,
    once,
    serve,
    silent,
    tls_server,
)
from tests.transport.asking import failure, get, post, query

# TLS looks at the real clock.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AWAY = datetime(2099, 1, 1, tzinfo=UTC)


class Files:
    """A private CA and what it issued, as PEM files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = pki.root("ec256-a", "TLS Root", not_before=LONG_AGO, not_after=FAR_AWAY)
        self.ca = self.certificates("ca", self.root)
        self.server_key = self.key("server", "ec256-b")
        self.server = self.certificates("server", self.issue("ec256-b"))

    def issue(
        self,
        key_name: str,
        *,
        names: tuple[str, ...] = ("localhost", "pinned.test"),
        usage: x509.ObjectIdentifier = pki.SERVER_AUTH,
        not_before: datetime = LONG_AGO,
        not_after: datetime = FAR_AWAY,
        self_signed: bool = False,
    ) -> pki.Identity:
        san: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        return pki.certificate(
            pki.name("tls.test"),
            pki.key(key_name),
            issuer=None if self_signed else self.root,
            key_usage=pki.usage("digital_signature"),
            eku=(usage,),
            ca=False,
            san=[*san, x509.IPAddress(IPv4Address("127.0.0.1"))] if "localhost" in names else san,
            not_before=not_before,
            not_after=not_after,
        )

    def certificates(self, name: str, *identities: pki.Identity) -> Path:
        path = self.directory / f"{name}.pem"
        path.write_bytes(b"".join(i.certificate.public_bytes(Encoding.PEM) for i in identities))
        return path

    def key(self, name: str, key_name: str) -> Path:
        path = self.directory / f"{name}.key"
        path.write_bytes(pki.key_pem(key_name))
        return path

    def context(self, identity: pki.Identity | None = None) -> ssl.SSLContext:
        file = self.certificates("other", identity) if identity else self.server
        return tls_server(file, self.server_key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def refusal(files: Files, identity: pki.Identity, **options: object) -> TransportError:
    """The error when a server shows this certificate."""
    chosen = HttpOptions(ca_bundle=files.ca, **options)  # type: ignore[arg-type]
    with serve(always(answer()), tls=files.context(identity)) as server:
        error = failure(get(server.url(host="localhost")), chosen)
    assert error.kind == "tls"
    assert f"localhost:{server.port}" in str(error)
    return error


# ------------------------------------------------------------------------------ whom it believes


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_private_ca_is_believed_when_it_is_named(files: Files, host: str) -> None:
    options = HttpOptions(ca_bundle=files.ca)
    with (
        serve(always(answer(b"safe")), tls=files.context()) as server,
        HttpTransport(options) as http,
    ):
        for _ in range(3):
            assert http.exchange(post(server.url(host=host))).body == b"safe"
    assert server.connections == 1
    assert server.requests[0].headers["host"] == f"{host}:{server.port}"


def test_ca_bundle_may_be_text(files: Files) -> None:
    options = HttpOptions(ca_bundle=str(files.ca))
    with (
        serve(always(answer(b"safe")), tls=files.context()) as server,
        HttpTransport(options) as http,
    ):
        assert http.exchange(get(server.url())).body == b"safe"


def test_a_ca_that_is_not_known_is_refused_with_a_hint(files: Files) -> None:
    with serve(always(answer()), tls=files.context()) as server:
        error = failure(get(server.url()))
    assert error.kind == "tls"
    assert "was issued by a CA that is not a known one" in str(error)
    assert "--tls-ca" in error.hint
    assert server.requests == []


def test_a_self_signed_certificate_is_refused_with_a_hint(files: Files) -> None:
    error = refusal(files, files.issue("ec256-b", self_signed=True))
    assert "is self-signed" in str(error)
    assert "--tls-ca" in error.hint


def test_a_wrong_host_name_is_refused_and_named(files: Files) -> None:
    error = refusal(files, files.issue("ec256-b", names=("other.test",)))
    assert "is not for the name localhost" in str(error)
    assert "--tls-host-name" in error.hint


def test_a_wrong_address_is_refused(files: Files) -> None:
    identity = files.issue("ec256-b", names=("other.test",))
    with serve(always(answer()), tls=files.context(identity)) as server:
        error = failure(get(server.url()), HttpOptions(ca_bundle=files.ca))
    assert "is not for the name 127.0.0.1" in str(error)


def test_a_pinned_host_name_is_what_counts(files: Files) -> None:
    identity = files.issue("ec256-b", names=("pinned.test",))
    options = HttpOptions(ca_bundle=files.ca, tls_host_name="pinned.test")
    with (
        serve(always(answer(b"pinned")), tls=files.context(identity)) as server,
        HttpTransport(options) as http,
    ):
        assert http.exchange(get(server.url())).body == b"pinned"
    assert server.requests[0].headers["host"] == server.authority
    error = refusal(files, files.issue("ec256-b"), tls_host_name="else.test")
    assert "is not for the name else.test" in str(error)


def test_an_expired_certificate_is_refused(files: Files) -> None:
    past = datetime(2021, 1, 1, tzinfo=UTC)
    error = refusal(files, files.issue("ec256-b", not_after=past))
    assert "has expired" in str(error)
    assert "clock" in error.hint


def test_a_certificate_of_the_future_is_refused(files: Files) -> None:
    future = datetime(2090, 1, 1, tzinfo=UTC)
    error = refusal(files, files.issue("ec256-b", not_before=future))
    assert "is not valid yet" in str(error)
    assert "clock" in error.hint


def test_a_certificate_for_something_else_is_refused(files: Files) -> None:
    error = refusal(files, files.issue("ec256-b", usage=pki.CLIENT_AUTH))
    assert "is refused: " in str(error)


# ------------------------------------------------------------------------------------ mutual TLS


@pytest.fixture
def strict(files: Files) -> ssl.SSLContext:
    return tls_server(files.server, files.server_key, client_ca=files.ca)


def test_a_client_certificate_is_shown(files: Files, strict: ssl.SSLContext) -> None:
    def whoami(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        while peer.read():
            peer.send(answer(peer.socket.getpeercert(binary_form=True) or b""))

    client = files.issue("ec384", usage=pki.CLIENT_AUTH)
    certificate = files.certificates("client", client)
    key = files.key("client", "ec384")
    both = files.directory / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    locked = files.directory / "locked.key"
    locked.write_bytes(
        client.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
        )
    )
    for choice in ((certificate, key, None), (both, None, None), (certificate, locked, "pass")):
        options = HttpOptions(ca_bundle=files.ca, client_certificate=choice)
        with serve(whoami, tls=strict) as server, HttpTransport(options) as http:
            assert http.exchange(get(server.url())).body == client.der


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_missing_client_certificate_is_told(
    files: Files, strict: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    strict.maximum_version = version
    with serve(always(answer()), tls=strict) as server:
        error = failure(get(server.url()), HttpOptions(ca_bundle=files.ca))
    # With TLS 1.3 it depends on who is quicker whether the alert can still be read.
    assert error.kind in {"tls", "closed"}
    assert "--tls-cert" in error.hint


@pytest.mark.parametrize(
    ("password", "reason", "words"),
    [
        (None, "password-needed", "encrypted and there is no password"),
        ("hunter2", "password-wrong", "the password is wrong"),
    ],
)
def test_a_locked_key_is_told(files: Files, password: str | None, reason: str, words: str) -> None:
    locked = files.directory / "locked2.key"
    locked.write_bytes(
        pki.key("ec256-b").private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
        )
    )
    options = HttpOptions(client_certificate=(files.server, locked, password))
    with HttpTransport(options) as http, pytest.raises(KeyLoadError, match=words) as caught:
        http.exchange(get("https://127.0.0.1:1/"))
    assert (caught.value.path, caught.value.reason) == (str(locked), reason)
    assert "hunter2" not in str(caught.value)


def test_a_key_of_another_certificate_is_told(files: Files) -> None:
    options = HttpOptions(client_certificate=(files.server, files.key("odd", "ec256-a"), None))
    with HttpTransport(options) as http, pytest.raises(KeyLoadError, match="not the certificate's"):
        http.exchange(get("https://127.0.0.1:1/"))


@pytest.mark.parametrize("content", [b"", b"not PEM"])
def test_files_of_another_kind_are_told(files: Files, content: bytes) -> None:
    odd = files.directory / "odd.pem"
    odd.write_bytes(content)
    for options in (
        HttpOptions(ca_bundle=odd),
        HttpOptions(client_certificate=(odd, None, None)),
        HttpOptions(client_certificate=(files.server, odd, None)),
    ):
        with HttpTransport(options) as http, pytest.raises(KeyLoadError, match="PEM") as caught:
            http.exchange(get("https://127.0.0.1:1/"))
        assert caught.value.path == str(odd)


def test_files_that_are_not_there_are_told(files: Files) -> None:
    missing = files.directory / "missing.pem"
    for options, name in (
        (HttpOptions(ca_bundle=missing), "ca_bundle"),
        (HttpOptions(client_certificate=(missing, None, None)), "client_certificate"),
        (HttpOptions(client_certificate=(files.server, missing, None)), "client_certificate"),
    ):
        with HttpTransport(options) as http, pytest.raises(KeyLoadError) as caught:
            http.exchange(get("https://127.0.0.1:1/"))
        assert f"({name}) cannot be read: no such file" in str(caught.value)


# ------------------------------------------------------------------------------------ mistakes


def test_https_to_a_port_with_plain_http_is_told() -> None:
    def plain(peer: Peer) -> None:
        peer.socket.recv(10)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.wait_for_close()

    with serve(plain) as server:
        error = failure(get(server.url().replace("http:", "https:")))
    assert error.kind == "tls"
    assert "does not speak TLS" in str(error)
    assert "http://" in error.hint


def test_http_to_a_port_with_tls_is_told() -> None:
    # What OpenSSL sends back: a TLS alert.
    with serve(once(b"\x15\x03\x01\x00\x02\x02\x16")) as server:
        error = failure(get(server.url()))
    assert error.kind == "protocol"
    assert "https://" in error.hint


def test_a_server_that_hangs_up_in_the_handshake_is_a_tls_error() -> None:
    def hang_up(peer: Peer) -> None:
        peer.socket.recv(10)

    with serve(hang_up) as server:
        assert failure(get(server.url().replace("http:", "https:"))).kind == "tls"


def test_a_handshake_without_common_ciphers_is_a_tls_error(files: Files) -> None:
    context = files.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # the key is EC
    with serve(always(answer()), tls=context) as server:
        error = failure(get(server.url()), HttpOptions(ca_bundle=files.ca))
    assert error.kind == "tls"


def test_a_server_of_an_old_tls_version_is_a_tls_error() -> None:
    def old(peer: Peer) -> None:
        peer.socket.recv(10)
        peer.send(b"\x15\x03\x01\x00\x02\x02\x46")  # alert: protocol_version
        peer.wait_for_close()

    with serve(old) as server:
        error = failure(get(server.url().replace("http:", "https:")))
    assert error.kind == "tls"
    assert "protocol version" in str(error)


def test_a_silent_handshake_hits_the_connect_timeout() -> None:
    with serve(silent) as server:
        error = failure(
            get(server.url().replace("http:", "https:")), HttpOptions(connect_timeout=1)
        )
    assert error.kind == "timeout"
    assert "agreeing on TLS" in str(error)


def test_a_silent_server_behind_tls_hits_the_timeout(files: Files) -> None:
    options = HttpOptions(ca_bundle=files.ca, timeout=2)
    with serve(silent, tls=files.context()) as server:
        error = failure(get(server.url()), options)
    assert error.kind == "timeout"
    assert "first byte" in str(error)


def test_a_final_dot_is_not_part_of_the_name(files: Files) -> None:
    with (
        serve(always(answer(b"x")), tls=files.context()) as server,
        serve(ForwardProxy()) as proxy,
        HttpTransport(HttpOptions(ca_bundle=files.ca, proxy=proxy.url(""))) as http,
    ):
        assert http.exchange(get(server.url(host="pinned.test."))).body == b"x"


def test_a_connection_lost_while_idle_is_replaced_over_tls_too(files: Files) -> None:
    with (
        serve(once(answer(b"x")), tls=files.context()) as server,
        HttpTransport(HttpOptions(ca_bundle=files.ca)) as http,
    ):
        for _ in range(3):
            assert http.exchange(post(server.url())).body == b"x"
    assert len(server.requests) == 3


# -------------------------------------------------------------------------- redirects and proxies


def moved(server: Server, host: str) -> Handler:
    return always(answer(b"", "301 Moved", f"Location: {server.url('/new', host=host)}"))


def test_a_redirect_to_https_is_followed(files: Files) -> None:
    with (
        serve(always(answer(b"safe")), tls=files.context()) as safe,
        serve(moved(safe, "127.0.0.1")) as server,
        HttpTransport(HttpOptions(ca_bundle=files.ca)) as http,
    ):
        assert http.exchange(query(server.url())).body == b"safe"


def test_a_redirect_away_from_https_is_refused(files: Files) -> None:
    with (
        serve(always(answer(b"unsafe"))) as unsafe,
        serve(moved(unsafe, "127.0.0.1"), tls=files.context()) as server,
    ):
        error = failure(query(server.url()), HttpOptions(ca_bundle=files.ca))
    assert error.kind == "redirect"
    assert "leave TLS" in str(error)
    assert unsafe.requests == []


def test_https_goes_through_a_tunnel_of_the_proxy(files: Files) -> None:
    with (
        serve(always(answer(b"safe")), tls=files.context()) as server,
        serve(ForwardProxy("Basic am86cHc=")) as proxy,
        HttpTransport(
            HttpOptions(
                ca_bundle=files.ca,
                proxy=f"http://jo:pw@{proxy.authority}",
                tls_host_name="pinned.test",
            )
        ) as http,
    ):
        for _ in range(2):
            assert http.exchange(post(f"https://ca.invalid:{server.port}/scep")).body == b"safe"
    assert proxy.requests[0].target == f"ca.invalid:{server.port}"
    assert (proxy.connections, server.connections) == (1, 1)
    # The server behind the tunnel gets neither the proxy's form of the URL nor its password.
    request = server.requests[0]
    assert request.target == "/scep?operation=PKIOperation"
    assert "proxy-authorization" not in request.headers


def test_a_transport_closed_while_it_connects_stays_closed(files: Files) -> None:
    def closing(peer: Peer) -> None:
        http.close()
        ForwardProxy()(peer)

    with (
        serve(always(answer()), tls=files.context()) as server,
        serve(closing) as proxy,
        HttpTransport(HttpOptions(ca_bundle=files.ca, proxy=proxy.url(""))) as http,
        pytest.raises(TransportError, match="transport is closed"),
    ):
        http.exchange(get(server.url()))
    assert server.requests == []
