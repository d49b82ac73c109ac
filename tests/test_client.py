"""The two clients against a whole CA: what they fetch, share, hand out and log.

Each test that concerns both runs on both: the synchronous client directly, the asynchronous one
behind `_Awaited`, which runs each call to its end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import scepkit
from scepkit import Issued, Pending, PollPolicy, Rejected, Requester
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import MessageType
from scepkit.testing import TestCa
from scepkit.transport import ThreadedTransport
from tests import pki
from tests.tokens import RsaToken

KEY = pki.rsa_key("rsa2048-a")
OTHER_KEY = pki.rsa_key("rsa2048-b")
EC_KEY = pki.ec_key("ec256-a")
AT_ONCE = PollPolicy(interval=0, max_polls=5)


class _Awaited:
    """An AsyncClient whose methods are run to their end, one event loop for its whole life."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._make(arguments, options))

    @staticmethod
    async def _make(arguments: Any, options: Any) -> scepkit.AsyncClient:
        return scepkit.AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return self._runner.run(getattr(self._client, name)(*arguments, **options))

        return call

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture(params=["sync", "async"])
def client_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Opens a client of one kind or the other for a test CA, in memory."""

    @contextmanager
    def opened(ca: TestCa, **options: Any) -> Iterator[Any]:
        options.setdefault("trust", scepkit.Fingerprint(ca.fingerprint))
        url = "http://ca.example.test/scep"
        client: Any
        if request.param == "sync":
            client = scepkit.Client(url, transport=ca.transport(), **options)
        else:
            client = _Awaited(url, transport=ca.async_transport(), **options)
        try:
            yield client
        finally:
            client.close()

    return opened


def csr(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY,
    challenge: str | None = "secret",
    subject: str = "CN=router1,O=Acme",
) -> x509.CertificateSigningRequest:
    return scepkit.build_csr(key, subject, challenge=challenge)


# ------------------------------------------------------------------ what is fetched


def test_a_first_enrolment_takes_three_requests_and_each_further_one_takes_one(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        client.enrol(csr(), KEY)
        assert sum(ca.requests.values()) == 3
        client.enrol(csr(OTHER_KEY), OTHER_KEY)
        assert sum(ca.requests.values()) == 4


def test_each_profile_is_learnt_by_itself(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        client.enrol(csr(), KEY, profile="routers")
        client.enrol(csr(OTHER_KEY), OTHER_KEY, profile="printers")
    assert (ca.requests["GetCACert"], ca.requests["GetCACaps"]) == (2, 2)


def test_refresh_asks_again(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        client.get_ca_certificates()
        client.refresh()
    assert (ca.requests["GetCACert"], ca.requests["GetCACaps"]) == (2, 2)


def test_a_refresh_that_finds_less_is_refused_and_what_was_known_stays(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        client.get_ca_certificates()
        ca.inject("caps-downgrade")
        with pytest.raises(scepkit.TrustError, match="announced before"):
            client.refresh()
        ca.heal()
        assert isinstance(client.enrol(csr(), KEY), Issued)
    assert ca.requests["GetCACert"] == 2


def test_nothing_is_sent_to_a_ca_nobody_vouches_for(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with (
        client_of(ca, trust=scepkit.Fingerprint("sha256:" + "00" * 32)) as client,
        pytest.raises(scepkit.TrustError),
    ):
        client.enrol(csr(), KEY)
    assert ca.requests["PKIOperation"] == 0


@pytest.mark.parametrize("trust", [None, "sha256:" + "00" * 32])
@pytest.mark.parametrize("client", [scepkit.Client, scepkit.AsyncClient])
def test_a_client_without_a_verifier_is_not_made_and_the_error_says_what_one_is(
    client: Callable[..., Any], trust: object
) -> None:
    with pytest.raises(scepkit.InputError, match="expected a verifier") as caught:
        client("http://ca.example.test/scep", trust=trust)
    assert "Fingerprint" in caught.value.hint
    assert "00" not in str(caught.value)


def test_what_the_server_offers_can_be_shown_without_trusting_it(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca, trust=scepkit.AcceptIf(lambda _: False)) as client:
        assert client.fetch_ca_offer().fingerprint() in ca.fingerprint.replace(":", "").lower()
        assert client.get_capabilities().scep_standard


# ------------------------------------------------------------------ sharing


def test_many_threads_enrol_through_one_client_and_learn_the_ca_once() -> None:
    ca = TestCa()
    keys = [pki.rsa_key(name) for name in ("rsa2048-a", "rsa2048-b", "rsa2048-c")]

    def enrol(number: int) -> scepkit.EnrolmentResult:
        key = keys[number % 3]
        return client.enrol(csr(key, subject=f"CN=device{number},O=Acme"), key)

    with (
        ca.serve() as url,
        scepkit.Client(url, trust=scepkit.Fingerprint(ca.fingerprint)) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        results = list(pool.map(enrol, range(36)))
    subjects = {
        result.certificate.subject.rfc4514_string()
        for result in results
        if isinstance(result, Issued)
    }
    assert subjects == {f"CN=device{number},O=Acme" for number in range(36)}
    assert (ca.requests["GetCACert"], ca.requests["GetCACaps"]) == (1, 1)


def test_many_tasks_enrol_through_one_async_client_and_learn_the_ca_once() -> None:
    ca = TestCa()

    async def enrol_all(url: str) -> list[scepkit.EnrolmentResult]:
        trust = scepkit.Fingerprint(ca.fingerprint)
        async with scepkit.AsyncClient(url, trust=trust) as client:
            return await asyncio.gather(
                *(client.enrol(csr(subject=f"CN=d{number}"), KEY) for number in range(24))
            )

    with ca.serve() as url:
        results = asyncio.run(enrol_all(url))
    assert all(isinstance(result, Issued) for result in results)
    assert (ca.requests["GetCACert"], ca.requests["GetCACaps"]) == (1, 1)


# ------------------------------------------------------------------ results


def test_a_refusal_is_a_result_with_its_reason(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        result = client.enrol(csr(challenge="wrong"), KEY)
    assert isinstance(result, Rejected)
    assert result.fail_info is scepkit.FailInfo.BAD_REQUEST
    assert result.transaction_id == ca.messages[-1].transaction_id


def test_a_pending_enrolment_is_polled_from_its_json_by_another_client(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa(manual=True)
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
        assert isinstance(pending, Pending)
        stored = pending.to_json()
    ca.approve()
    with client_of(ca) as another:
        result = another.poll(Pending.from_json(stored), KEY)
    assert isinstance(result, Issued)
    assert result.certificate.public_key() == KEY.public_key()


def test_waiting_polls_until_the_ca_decides(client_of: Callable[..., Any]) -> None:
    ca = TestCa(pending_polls=2)
    waits: list[tuple[float, int]] = []
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
        result = client.wait(
            pending, KEY, AT_ONCE, on_wait=lambda seconds, poll: waits.append((seconds, poll))
        )
    assert isinstance(result, Issued)
    assert [poll for _, poll in waits] == list(range(1, len(waits) + 1))
    assert ca.requests["PKIOperation"] == 1 + len(waits)


def test_waiting_ends_with_the_last_pending_at_its_limit(client_of: Callable[..., Any]) -> None:
    ca = TestCa(manual=True)
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
        result = client.wait(pending, KEY, PollPolicy(interval=0, max_polls=3))
    assert isinstance(result, Pending)
    assert ca.requests["PKIOperation"] == 4


class _LosesAnAnswer:
    """A transport that delivers the first PKIOperation and loses its answer."""

    def __init__(self, ca: TestCa) -> None:
        self._inner = ca.transport()
        self._lost = False

    def exchange(self, request: HttpRequest) -> HttpResponse:
        answer = self._inner.exchange(request)
        if "PKIOperation" in request.url and not self._lost:
            self._lost = True
            raise scepkit.TransportError("the connection was reset", kind="closed")
        return answer

    def close(self) -> None:
        self._inner.close()


def test_an_enrolment_whose_answer_was_lost_is_resumed_by_polling() -> None:
    ca = TestCa()
    started: list[Pending] = []
    trust = scepkit.Fingerprint(ca.fingerprint)
    with scepkit.Client("http://ca.test/scep", trust=trust, transport=_LosesAnAnswer(ca)) as client:
        with pytest.raises(scepkit.TransportError):
            client.enrol(csr(), KEY, on_started=started.append)
        result = client.poll(started[0], KEY)
    assert isinstance(result, Issued)
    assert [issued.public_key() for issued in ca.issued] == [KEY.public_key()]


def test_an_enrolment_whose_answer_was_lost_is_repeated_as_a_new_transaction() -> None:
    ca = TestCa()
    trust = scepkit.Fingerprint(ca.fingerprint)
    with scepkit.Client("http://ca.test/scep", trust=trust, transport=_LosesAnAnswer(ca)) as client:
        with pytest.raises(scepkit.TransportError):
            client.enrol(csr(), KEY)
        assert isinstance(client.enrol(csr(), KEY), Issued)
    first, second = [message.transaction_id for message in ca.messages]
    assert first != second


def test_a_renewal_takes_a_new_key_and_needs_no_challenge(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        first = client.enrol(csr(), KEY)
        renewed = client.renew(Requester(first.certificate, KEY), OTHER_KEY)
    assert isinstance(renewed, Issued)
    assert renewed.certificate.public_key() == OTHER_KEY.public_key()
    assert renewed.certificate.subject == first.certificate.subject
    assert ca.messages[-1].message_type is MessageType.RENEWAL_REQ


def test_without_the_capability_a_renewal_is_a_pkcsreq_signed_by_the_old_certificate(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa(capabilities=b"POSTPKIOperation\nAES\nSHA-256\n")
    with client_of(ca) as client:
        first = client.enrol(csr(), KEY)
        renewed = client.renew(Requester(first.certificate, KEY), KEY)
    assert isinstance(renewed, Issued)
    assert ca.messages[-1].message_type is MessageType.PKCS_REQ


@pytest.mark.parametrize("renewal", [True, False])
def test_the_message_type_of_a_requester_with_a_certificate_can_be_chosen(
    client_of: Callable[..., Any], renewal: bool
) -> None:
    ca = TestCa(capabilities=b"POSTPKIOperation\nAES\nSHA-256\n" if renewal else None)
    wanted = MessageType.RENEWAL_REQ if renewal else MessageType.PKCS_REQ
    with client_of(ca) as client:
        owner = Requester(client.enrol(csr(), KEY).certificate, KEY)
        client.enrol(csr(OTHER_KEY), OTHER_KEY, requester=owner, renewal=renewal)
        assert ca.messages[-1].message_type is wanted
        client.renew(owner, OTHER_KEY, renewal=renewal)
        assert ca.messages[-1].message_type is wanted


def test_an_ec_requester_is_protected_by_the_challenge(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        result = client.enrol(csr(EC_KEY), EC_KEY)
    assert isinstance(result, Issued)
    assert result.certificate.public_key() == EC_KEY.public_key()


def test_a_certificate_and_its_crl_are_looked_up(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        issued = client.enrol(csr(), KEY).certificate
        requester = Requester(issued, KEY)
        found, chain = client.get_certificate(issued.serial_number, requester)
        ca.revoke(issued)
        crl = client.get_crl(issued.serial_number, requester)
    assert found == issued
    assert chain[-1] == ca.certificate
    assert crl.get_revoked_certificate_by_serial_number(issued.serial_number) is not None


def test_the_next_ca_comes_vouched_for_by_the_present_one(client_of: Callable[..., Any]) -> None:
    ca = TestCa()
    following = ca.stage_next_ca(OTHER_KEY)
    with client_of(ca) as client:
        assert following in client.get_next_ca_certificates()


def test_a_next_ca_that_came_after_the_client_had_learnt_the_ca_is_found(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        client.enrol(csr(), KEY)
        with pytest.raises(scepkit.NotSupportedError):
            client.get_next_ca_certificates()
        following = ca.stage_next_ca(OTHER_KEY)
        assert following in client.get_next_ca_certificates()
    assert ca.requests["GetCACert"] == 1


def rolled_over(ca: TestCa) -> scepkit.PinnedCertificate:
    """Let the next CA take over; trust in it and in the one before."""
    before = ca.root
    ca.stage_next_ca(OTHER_KEY)
    ca.activate_next_ca()
    return scepkit.PinnedCertificate(before, ca.root)


def test_request_that_was_pending_at_a_rollover_is_polled_with_trust_in_the_new_ca(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa(manual=True)
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
    both = rolled_over(ca)
    ca.approve()
    with client_of(ca, trust=both) as client:
        found = client.poll(pending, KEY)
    assert isinstance(found, Issued)
    assert "the request was sent to the CA with SHA-256" in found.warnings[0]


def test_retired_generation_is_looked_up_where_both_are_pinned(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        old = client.enrol(csr(), KEY).certificate
    both = rolled_over(ca)
    requester = Requester(old, KEY)
    for trust in (both, scepkit.Caching(both)):
        with client_of(ca, trust=trust) as client:
            assert client.get_certificate(old.serial_number, requester)[0] == old
    new_alone = scepkit.PinnedCertificate(ca.root)
    with client_of(ca, trust=new_alone) as client, pytest.raises(scepkit.TrustError):
        client.get_certificate(old.serial_number, requester)


def test_client_that_knows_the_ca_from_before_a_rollover_is_told_to_refresh(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca, trust=scepkit.InsecureTrustOnFirstUse()) as client:
        client.get_ca_certificates()
        rolled_over(ca)
        with pytest.raises(scepkit.ScepError) as caught:
            client.enrol(csr(), KEY)
        assert "Client.refresh()" in caught.value.hint
        client.refresh()
        assert isinstance(client.enrol(csr(), KEY), Issued)


# ------------------------------------------------------------------ wrong use


def test_a_pending_of_another_url_is_refused(client_of: Callable[..., Any]) -> None:
    ca = TestCa(manual=True)
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
    stored = pending.to_json().replace("ca.example.test", "other.example.test")
    with client_of(ca) as client, pytest.raises(scepkit.InputError, match=r"other\.example\.test"):
        client.poll(Pending.from_json(stored), KEY)


def test_polling_with_another_key_is_refused_before_anything_is_sent(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa(manual=True)
    with client_of(ca) as client:
        pending = client.enrol(csr(), KEY)
        sent = ca.requests["PKIOperation"]
        with pytest.raises(scepkit.InputError, match="does not belong"):
            client.poll(pending, OTHER_KEY)
    assert ca.requests["PKIOperation"] == sent


def test_a_request_as_text_is_refused_with_what_to_write(client_of: Callable[..., Any]) -> None:
    with (
        client_of(TestCa()) as client,
        pytest.raises(scepkit.InputError, match="not str") as caught,
    ):
        client.enrol("-----BEGIN CERTIFICATE REQUEST-----", KEY)
    assert "read_bytes" in str(caught.value.hint)


def test_key_that_is_not_the_requests_is_refused_before_anything_is_sent(
    client_of: Callable[..., Any],
) -> None:
    ca = TestCa()
    with client_of(ca) as client:
        owner = Requester(client.enrol(csr(), KEY).certificate, KEY)
        sent = ca.requests["PKIOperation"]
        questions: list[Callable[[], Any]] = [
            lambda: client.enrol(csr(), OTHER_KEY),
            lambda: client.enrol(csr(), OTHER_KEY, requester=owner),
            lambda: client.renew(owner, OTHER_KEY, csr=csr()),
        ]
        for ask in questions:
            with pytest.raises(scepkit.InputError, match="does not belong to the certification"):
                ask()
        with pytest.raises(scepkit.DecodeError):
            client.renew(owner, OTHER_KEY, csr=b"")
    assert ca.requests["PKIOperation"] == sent


@pytest.mark.parametrize("make", [scepkit.Client, scepkit.AsyncClient])
def test_http_options_and_a_transport_exclude_each_other(make: Callable[..., Any]) -> None:
    with pytest.raises(scepkit.InputError, match="not both"):
        make(
            "http://ca.example.test/scep",
            trust=scepkit.InsecureTrustOnFirstUse(),
            http=scepkit.HttpOptions(),
            transport=TestCa().transport(),
        )


class _Counting:
    """A transport of somebody's own."""

    def __init__(self, ca: TestCa) -> None:
        self._inner = ca.transport()
        self.urls: list[str] = []

    def exchange(self, request: HttpRequest) -> HttpResponse:
        self.urls.append(request.url)
        return self._inner.exchange(request)

    def close(self) -> None:
        self._inner.close()


def test_any_transport_with_the_two_methods_works() -> None:
    ca = TestCa()
    transport = _Counting(ca)
    trust = scepkit.Fingerprint(ca.fingerprint)
    with scepkit.Client("http://host.test/scep", trust=trust, transport=transport) as client:
        assert isinstance(client.enrol(csr(), KEY), Issued)
    assert [url.partition("operation=")[2] for url in transport.urls] == [
        "GetCACert",
        "GetCACaps",
        "PKIOperation",
    ]


# ------------------------------------------------------------------ logging


def test_no_secret_is_ever_logged(
    client_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    ca = TestCa(challenge="hunter2-hunter2")
    with caplog.at_level(logging.DEBUG), client_of(ca) as client:
        client.enrol(csr(challenge="hunter2-hunter2"), KEY)
        client.enrol(csr(challenge="wrong-but-secret"), KEY)
    assert caplog.text
    assert "hunter2" not in caplog.text
    assert "wrong-but-secret" not in caplog.text


def test_each_step_is_one_line_with_the_transaction_id(
    client_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    ca = TestCa()
    with caplog.at_level(logging.INFO, logger="scepkit"), client_of(ca) as client:
        result = client.enrol(csr(), KEY)
    assert "CA verified" in caplog.text
    assert f"transaction_id={result.transaction_id}" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_crl_that_is_out_of_date_is_warned_about(
    client_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    ca = TestCa(faults=["crl-out-of-date"])
    certificate, key = ca.issue("CN=router1", key=KEY)
    with caplog.at_level(logging.WARNING, logger="scepkit"), client_of(ca) as client:
        found = client.get_crl(certificate.serial_number, Requester(certificate, key))
    assert found.issuer == ca.certificate.subject
    assert "the CRL is out of date: the next one was due" in caplog.text


def test_a_ca_that_announces_nothing_is_warned_about(
    client_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    ca = TestCa(faults=["caps-empty"])
    with caplog.at_level(logging.WARNING, logger="scepkit"), client_of(ca) as client:
        client.get_ca_certificates()
    assert "announces nothing" in caplog.text


def test_a_cancelled_enrolment_that_is_still_being_signed_is_not_sent() -> None:
    signing, go_on = threading.Event(), threading.Event()

    class Slow(RsaToken):
        def sign(self, *arguments: Any) -> bytes:
            signing.set()
            go_on.wait()
            return super().sign(*arguments)

    device = pki.key("rsa2048-b")
    assert isinstance(device, rsa.RSAPrivateKey)
    key = Slow(device)
    csr = scepkit.build_csr(device, "CN=router1", challenge="secret")

    async def main(url: str, trust: scepkit.Fingerprint) -> None:
        async with scepkit.AsyncClient(url, trust=trust) as client:
            await client.get_ca_certificates()
            task = asyncio.create_task(client.enrol(csr, key))
            await asyncio.to_thread(signing.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()  # closing waits for the thread

    ca = TestCa()
    with ca.serve() as url:
        asyncio.run(main(url, scepkit.Fingerprint(ca.fingerprint)))
    assert key.calls.count("sign") == 2
    assert not ca.messages


def test_a_threaded_transport_with_an_exchange_of_its_own_is_asked_by_it() -> None:
    class Counting(ThreadedTransport):
        exchanges = 0

        async def exchange(self, request: HttpRequest) -> HttpResponse:
            self.exchanges += 1
            return await super().exchange(request)

    async def exchanges(url: str, trust: scepkit.Fingerprint) -> int:
        transport = Counting(scepkit.HttpTransport())
        async with scepkit.AsyncClient(url, trust=trust, transport=transport) as client:
            await client.get_ca_certificates()
        return transport.exchanges

    ca = TestCa()
    with ca.serve() as url:
        assert asyncio.run(exchanges(url, scepkit.Fingerprint(ca.fingerprint))) == 2


def test_an_enrolment_is_one_way_to_a_thread_and_back() -> None:
    class Counting(ThreadedTransport):
        ways = 0

        async def run(self, work: Callable[[Any], Any]) -> Any:
            self.ways += 1
            return await super().run(work)

    async def ways_of_one(url: str, trust: scepkit.Fingerprint) -> int:
        transport = Counting(scepkit.HttpTransport())
        async with scepkit.AsyncClient(url, trust=trust, transport=transport) as client:
            await client.get_ca_certificates()
            before = transport.ways
            csr = scepkit.build_csr(pki.key(), "CN=router1", challenge="secret")
            assert isinstance(await client.enrol(csr, pki.key()), Issued)
            return transport.ways - before

    ca = TestCa()
    with ca.serve() as url:
        assert asyncio.run(ways_of_one(url, scepkit.Fingerprint(ca.fingerprint))) == 1
