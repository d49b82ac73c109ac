"""The test CA behind real HTTP."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import scepkit
from scepkit.testing import TestCa
from tests import pki
from tests.testing.driving import csr_for, enrol, issued, make_ca, make_client


def test_a_client_enrols_over_http() -> None:
    ca = make_ca()
    with ca.serve() as url, make_client(ca, url) as client:
        issued(enrol(ca, client))
        issued(enrol(ca, client, "rsa3072"))
    assert ca.requests == {"GetCACert": 1, "GetCACaps": 1, "PKIOperation": 2}


def test_connections_are_kept_alive() -> None:
    with make_ca().serve() as url:
        connection = connect(url)
        for _ in range(3):
            connection.request("GET", "/scep?operation=GetCACaps")
            response = connection.getresponse()
            assert response.status == 200
            assert response.headers["Content-Length"] == str(len(response.read()))
            assert not response.will_close
        connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)


def test_the_end_of_the_context_ends_connections_and_threads() -> None:
    before = threading.active_count()
    with make_ca().serve() as url:
        connection = connect(url)
        connection.request("GET", "/scep?operation=GetCACaps")
        connection.getresponse().read()
    assert threading.active_count() == before
    with pytest.raises(OSError):
        connect(url).request("GET", "/scep?operation=GetCACaps")
    connection.close()


def test_http_1_0_without_host_is_answered() -> None:
    with make_ca().serve() as url:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
            raw.sendall(b"GET /cgi-bin/pkiclient.exe?operation=GetCACaps HTTP/1.0\r\n\r\n")
            received = b""
            while piece := raw.recv(4096):
                received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"SCEPStandard\n")


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("POST", {"Content-Length": "99999999"}, b"", 413),
        ("POST", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n", 411),
        ("POST", {}, b"rubbish", 400),
        ("PUT", {}, b"rubbish", 405),
        ("HEAD", {}, None, 405),
    ],
)
def test_what_is_no_scep_gets_a_4xx(
    method: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    with make_ca().serve() as url:
        connection = connect(url)
        connection.request(method, "/scep?operation=PKIOperation", body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        connection.close()


def test_many_clients_enrol_at_once() -> None:
    ca = make_ca()
    keys = ["rsa2048-a", "rsa2048-b", "rsa2048-c", "rsa3072"]
    results: list[object] = []
    with ca.serve() as url:

        def run(name: str) -> None:
            with make_client(ca, url) as client:
                results.append(enrol(ca, client, name))

        threads = [threading.Thread(target=run, args=(name,)) for name in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len([issued(result) for result in results]) == len(keys)
    assert len(ca.issued) == len(keys)


def test_a_closed_connection_leaves_the_other_clients_alone() -> None:
    ca = make_ca(faults=["reset"])
    with ca.serve() as url, make_client(ca, url) as client:
        csr, key = csr_for(ca)
        with pytest.raises(scepkit.TransportError) as caught:
            client.enrol(csr, key)
        assert caught.value.kind == "closed"
        ca.heal()
        issued(client.enrol(csr, key))


def test_it_serves_on_ipv6() -> None:
    ca = make_ca()
    try:
        with ca.serve("::1") as url, make_client(ca, url) as client:
            assert url.startswith("http://[::1]:")
            issued(enrol(ca, client))
    except OSError as error:
        pytest.skip(f"there is no IPv6 here: {error}")


def test_it_serves_https(tmp_path: Path) -> None:
    ca = make_ca()
    with ca.serve(ssl_context=context(tmp_path)) as url:
        assert url.startswith("https://127.0.0.1:")
        options = scepkit.HttpOptions(
            ca_bundle=str(tmp_path / "server.pem"), tls_host_name="scep.test"
        )
        with make_client(ca, url, http=options) as client:
            issued(enrol(ca, client))
            ca.inject("redirect-to-http")
            with pytest.raises(scepkit.TransportError) as caught:
                client.refresh()
            assert caught.value.kind == "redirect"


def context(directory: Path) -> ssl.SSLContext:
    """A TLS server by the name scep.test."""
    own = pki.certificate(
        pki.name("scep.test"),
        pki.key("ec256-b"),
        ca=True,
        san=[x509.DNSName("scep.test")],
        eku=[pki.SERVER_AUTH],
    )
    path = directory / "server.pem"
    path.write_bytes(
        own.certificate.public_bytes(Encoding.PEM)
        + own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


def test_pickups_by_another_process_see_the_same_ca() -> None:
    ca = make_ca(manual=True)
    csr, key = csr_for(ca)
    with ca.serve() as url:
        with make_client(ca, url) as client:
            stored = client.enrol(csr, key)
            assert isinstance(stored, scepkit.Pending)
        ca.approve()
        with make_client(ca, url) as client:
            issued(client.poll(scepkit.Pending.from_json(stored.to_json()), key))


def test_the_default_ca_serves(tmp_path: Path) -> None:
    # The only test that lets the CA make its own keys.
    ca = TestCa(key="ec:p256", ra="ec")
    with ca.serve() as url, make_client(ca, url) as client:
        issued(enrol(ca, client, "ec256-a"))
