"""Our client and command against Debian's `scepserver`."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from cryptography import x509

from tests.interop.micromdm import PORT, ScepServer, scepserver

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServer]:
    with scepserver(tmp_path_factory.mktemp("scepserver")) as running:
        yield running


def test_the_server_is_reached_inside_its_namespace_only(server: ScepServer) -> None:
    def get_ca_cert() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        connection.request("GET", "/scep?operation=GetCACert")
        body = connection.getresponse().read()
        connection.close()
        return body

    assert x509.load_der_x509_certificate(server.namespace.run(get_ca_cert)) == (
        server.ca_certificate
    )
    with pytest.raises(OSError, match="refused"):
        get_ca_cert()
