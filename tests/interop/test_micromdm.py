"""Our client against Debian's `scepserver`: a real, foreign SCEP server."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scepkit import (
    AlgorithmError,
    Cipher,
    Client,
    Digest,
    FailInfo,
    Fingerprint,
    HttpStatusError,
    Issued,
    NotSupportedError,
    PinnedCertificate,
    Preferences,
    Rejected,
    Requester,
    TrustError,
    build_csr,
)
from scepkit.core.trust import CaVerifier
from tests import pki
from tests.interop.micromdm import CHALLENGE, PORT, ScepServer, scepserver

pytestmark = pytest.mark.interop

T = TypeVar("T")
KEY = pki.rsa_key("rsa2048-c")
NEW_KEY = pki.rsa_key("rsa2048-b")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServer]:
    with scepserver(tmp_path_factory.mktemp("scepserver")) as running:
        yield running


def ask(
    server: ScepServer,
    operation: Callable[[Client], T],
    *,
    trust: CaVerifier | None = None,
    preferences: Preferences | None = None,
) -> T:
    """Run an operation of a fresh client inside the server's namespace.

    The replies are single DES, so the legacy switch is on unless there are other preferences.
    """

    def inside() -> T:
        with Client(
            server.url,
            trust=trust or PinnedCertificate(server.ca_certificate),
            preferences=preferences or Preferences(accept_legacy_replies=True),
        ) as client:
            return operation(client)

    return server.namespace.run(inside)


def enrolment(
    subject: str, *, challenge: str | None = CHALLENGE, san: tuple[str, ...] = ()
) -> Callable[[Client], Issued | Rejected]:
    """An operation: enrol for `KEY`."""

    def operation(client: Client) -> Issued | Rejected:
        result = client.enrol(build_csr(KEY, subject, challenge=challenge, san=san), KEY)
        assert isinstance(result, Issued | Rejected)
        return result

    return operation


def issued(result: object) -> Issued:
    assert isinstance(result, Issued)
    return result


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


def test_capabilities_are_read(server: ScepServer) -> None:
    found = ask(server, Client.get_capabilities)
    assert found.source == "announced"
    assert found.post
    assert found.renewal
    assert found.scep_standard
    assert found.strongest_cipher is Cipher.AES128_CBC
    assert found.preferred_digest is Digest.SHA256


def test_ca_certificates_are_authenticated(server: ScepServer) -> None:
    found = ask(server, Client.get_ca_certificates)
    assert found.certificates == (server.ca_certificate,)
    assert found.recipient == server.ca_certificate


# ------------------------------------------------------------------ enrolling


def test_enrolment_with_the_right_challenge_is_issued(server: ScepServer) -> None:
    result = issued(ask(server, enrolment("CN=router1,O=Acme", san=("dns:router1.acme.test",))))
    certificate = result.certificate
    assert certificate.public_key() == KEY.public_key()
    assert certificate.subject == pki.name("router1")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["router1.acme.test"]
    certificate.verify_directly_issued_by(server.ca_certificate)
    assert result.chain == (server.ca_certificate,)
    # Go writes the subject with other string types; it is the same name.
    assert result.warnings == ()


@pytest.mark.parametrize("challenge", ["wrong", "", None])
def test_enrolment_with_the_wrong_challenge_is_rejected(
    server: ScepServer, challenge: str | None
) -> None:
    result = ask(server, enrolment("CN=intruder", challenge=challenge))
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_REQUEST
    assert "invalid challenge" in server.log.read_text()


def test_reply_in_single_des_is_refused_by_default(server: ScepServer) -> None:
    with pytest.raises(AlgorithmError) as caught:
        ask(server, enrolment("CN=modern"), preferences=Preferences())
    assert caught.value.algorithm == "des-cbc"
    # It names the setting of the server, and then our switch.
    assert "micromdm" in caught.value.hint
    assert "accept_legacy_replies" in caught.value.hint


def test_nothing_is_sent_to_a_ca_with_another_fingerprint(server: ScepServer) -> None:
    before = server.log.read_text().count("parsed scep pkiMessage")
    with pytest.raises(TrustError) as caught:
        ask(server, enrolment("CN=careful"), trust=Fingerprint("sha256:" + "00" * 32))
    mine = server.ca_certificate.fingerprint(hashes.SHA256()).hex()
    assert caught.value.fingerprints == (mine,)
    assert server.log.read_text().count("parsed scep pkiMessage") == before


@pytest.mark.parametrize("cipher", [Cipher.AES128_CBC, Cipher.AES256_CBC, Cipher.DES_EDE3_CBC])
@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA256, Digest.SHA512])
def test_every_algorithm_of_the_server_is_written(
    server: ScepServer, cipher: Cipher, digest: Digest
) -> None:
    preferences = Preferences(cipher=cipher, digest=digest, accept_legacy_replies=True)
    issued(ask(server, enrolment("CN=algorithms"), preferences=preferences))


def test_enrolment_by_get_is_issued(server: ScepServer) -> None:
    preferences = Preferences(post=False, accept_legacy_replies=True)
    issued(ask(server, enrolment("CN=get"), preferences=preferences))


def test_one_client_enrols_again_and_again_on_one_connection(server: ScepServer) -> None:
    def three(client: Client) -> list[Issued]:
        return [issued(enrolment(f"CN=again{number}")(client)) for number in range(3)]

    serials = {one.certificate.serial_number for one in ask(server, three)}
    assert len(serials) == 3


def test_threads_share_a_client(server: ScepServer) -> None:
    # scepserver itself gives serial numbers twice when it is asked for certificates at the same
    # time, so what the threads ask for at once is refused here.
    def together(client: Client) -> list[object]:
        with ThreadPoolExecutor(8) as pool:
            tasks = [
                pool.submit(enrolment(f"CN=thread{number}", challenge="wrong"), client)
                for number in range(16)
            ]
            return [task.result() for task in tasks]

    results = ask(server, together)
    assert all(isinstance(result, Rejected) for result in results)
    assert len({result.transaction_id for result in results if isinstance(result, Rejected)}) == 16


# ------------------------------------------------------------------ renewing, and the rest


def test_renewal_signed_by_the_old_certificate_is_issued(server: ScepServer) -> None:
    def renewal(client: Client) -> tuple[Issued, Issued]:
        first = issued(enrolment("CN=renewed,O=Acme")(client))
        requester = Requester(first.certificate, KEY)
        return first, issued(client.renew(requester, NEW_KEY, challenge=CHALLENGE))

    first, second = ask(server, renewal)
    assert second.certificate.public_key() == NEW_KEY.public_key()
    assert second.certificate.subject == first.certificate.subject
    assert second.certificate.serial_number != first.certificate.serial_number
    assert second.certificate.not_valid_after_utc - first.certificate.not_valid_after_utc < (
        timedelta(minutes=5)
    )
    assert 'scep_message_type="RenewalReq (17)"' in server.log.read_text()


def test_queries_that_the_server_does_not_have_end_in_its_own_words(server: ScepServer) -> None:
    def queries(client: Client) -> None:
        mine = issued(enrolment("CN=query")(client)).certificate
        requester = Requester(mine, KEY)
        with pytest.raises(HttpStatusError) as caught:
            client.get_certificate(mine.serial_number, requester)
        assert (caught.value.status, caught.value.excerpt) == (500, "not implemented")
        with pytest.raises(HttpStatusError):
            client.get_crl(mine.serial_number, requester)
        with pytest.raises(NotSupportedError):
            client.get_next_ca_certificates()

    ask(server, queries)
