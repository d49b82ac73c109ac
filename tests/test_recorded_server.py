"""Our client against the recorded jscep servers.

A recorded reply answers one transaction, nonce and key.  So the client is given those of the
recording, and its clock stands on the day of the recording; everything else is its own.  What it
sends is read with the recorded server's key and compared with what jscep's client sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

import scepkit.client
import scepkit.service
from scepkit.client import Client
from scepkit.core import http, messages
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import Capability
from scepkit.core.certificates import view_of
from scepkit.core.enrolment import Issued, Pending, PollPolicy, Rejected, Requester
from scepkit.core.envelope import DecryptionKey
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import Protection
from scepkit.core.trust import Fingerprint, PinnedCertificate
from scepkit.errors import FailInfo, NotSupportedError, RequestRejectedError, TrustError
from tests import vectors
from tests.vectors import Conversation, Step

RECORDED = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
URL = "http://jscep.test/scep"

each_server = pytest.mark.parametrize("server", vectors.SERVERS)


class RecordedServer:
    """A transport that answers as recorded, and keeps what it was asked."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.operations: list[str] = []
        self.asked: list[messages.DecryptedRequest] = []
        self.methods: list[str] = []
        self._pki_operations = iter(conversation.pki_operations)

    def exchange(self, request: HttpRequest) -> HttpResponse:
        query = http.parse_query(urlsplit(request.url).query)
        operation = query["operation"]
        self.operations.append(operation)
        if operation == "PKIOperation":
            self.methods.append(request.method)
            posted = request.method == "POST"
            self._read(request.body if posted else http.decode_get_message(query["message"]))
            step = next(self._pki_operations)
        else:
            step = recorded_answer(self.conversation, operation)
        return HttpResponse(
            status=200,
            body=step.response.wire,
            received_at=RECORDED,
            content_type=step.content_type,
        )

    def close(self) -> None:
        pass

    def _read(self, wire: bytes) -> None:
        server = self.conversation.server
        ours = DecryptionKey(view_of(server.recipient_certificate), server.recipient_key)
        request = messages.read_request(wire)
        assert request.signer == view_of(self.conversation.requester_certificate)
        self.asked.append(messages.decrypt_request(request, ours))


def recorded_answer(conversation: Conversation, operation: str) -> Step:
    """The recorded answer to an operation that is not a PKIOperation, from any conversation."""
    everywhere = (
        step
        for one in (conversation, *vectors.conversations())
        if one.server == conversation.server
        for step in one.steps
        if step.operation == operation
    )
    return next(everywhere)


class Replay:
    """Makes clients that send what a conversation's answers belong to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for module in (scepkit.client, scepkit.service):
            monkeypatch.setattr(module, "utc_now", lambda: RECORDED)

    def __call__(self, name: str) -> tuple[Client, RecordedServer, Conversation]:
        conversation = vectors.conversation(name)
        transactions = [vectors.transaction(step) for step in conversation.pki_operations]
        nonces = iter([nonce for _, nonce in transactions])
        # The two random values that a reply repeats; all the others stay random.
        self._monkeypatch.setattr(messages, "new_nonce", lambda: next(nonces))
        if transactions:
            self._monkeypatch.setattr(messages, "new_transaction_id", lambda: transactions[0][0])
        transport = RecordedServer(conversation)
        trust = PinnedCertificate(conversation.server.ca_certificate)
        return Client(URL, trust=trust, transport=transport), transport, conversation


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replay:
    return Replay(monkeypatch)


def requester_of(conversation: Conversation) -> Requester:
    return Requester(conversation.requester_certificate, conversation.requester_key)


def recorded_csr(conversation: Conversation) -> bytes:
    """The PKCS#10 that jscep's client sent."""
    sent = conversation.pki_operations[0].request
    assert sent is not None
    assert sent.plain is not None
    return sent.plain


def expected_protection(server: str) -> Protection:
    """What we choose from the server's capabilities; without any, what RFC 8894 2.9 leaves."""
    if server == "des-md5-get":
        return Protection(Cipher.DES_EDE3_CBC, Digest.SHA1)
    return Protection(Cipher.AES128_CBC, Digest.SHA256)


# ------------------------------------------------------------------ enrolling


@each_server
@pytest.mark.parametrize("name", ["enrol-success", "enrol-ec-entity"])
def test_recorded_enrolment_is_issued(replay: Replay, server: str, name: str) -> None:
    client, transport, conversation = replay(f"{server}/{name}")
    result = client.enrol(
        recorded_csr(conversation),
        conversation.entity_key,
        requester=requester_of(conversation),
    )

    assert isinstance(result, Issued)
    assert result.certificate == conversation.issued[0]
    assert result.certificate.public_key() == conversation.entity_key.public_key()
    assert result.chain == (conversation.server.ca_certificate,)
    assert set(result.certificates) == set(conversation.issued)
    assert result.transaction_id == conversation.result["transactionId"]
    assert transport.operations == ["GetCACert", "GetCACaps", "PKIOperation"]
    (asked,) = transport.asked
    assert asked.data == messages.PkcsReq(recorded_csr(conversation))
    assert asked.protection == expected_protection(server)
    assert transport.methods == ["GET" if server == "des-md5-get" else "POST"]


@each_server
@pytest.mark.parametrize(
    ("name", "fail_info"),
    [("enrol-bad-challenge", FailInfo.BAD_REQUEST), ("enrol-fail-badAlg", FailInfo.BAD_ALG)],
)
def test_recorded_refusal_is_rejected(
    replay: Replay, server: str, name: str, fail_info: FailInfo
) -> None:
    client, _, conversation = replay(f"{server}/{name}")
    result = client.enrol(
        recorded_csr(conversation),
        conversation.requester_key,
        requester=requester_of(conversation),
    )
    assert result == Rejected(fail_info, "", conversation.result["transactionId"])


@each_server
def test_recorded_pending_enrolment_is_polled_until_issued(replay: Replay, server: str) -> None:
    client, transport, conversation = replay(f"{server}/enrol-pending-then-success")
    pending = client.enrol(
        recorded_csr(conversation),
        conversation.entity_key,
        requester=requester_of(conversation),
    )
    assert isinstance(pending, Pending)
    assert pending.transaction_id == conversation.result["transactionId"]

    resumed = Pending.from_json(pending.to_json())
    still = client.poll(resumed, conversation.requester_key)
    assert isinstance(still, Pending)
    issued = client.wait(still, conversation.requester_key, PollPolicy(interval=0))
    assert isinstance(issued, Issued)
    assert issued.certificate == conversation.issued[0]
    # jscep's client polled with the same names: the CA's, and the requested subject.
    sent = [step.request for step in conversation.pki_operations]
    assert [messages.encode_data(one.data) for one in transport.asked] == [
        one.plain for one in sent if one is not None
    ]


@each_server
def test_recorded_renewal_is_issued(replay: Replay, server: str) -> None:
    client, transport, conversation = replay(f"{server}/renew")
    result = client.renew(
        requester_of(conversation), _rsa(conversation), csr=recorded_csr(conversation)
    )
    assert isinstance(result, Issued)
    # Behind the RA, the CA's certificate comes first in this reply.
    assert result.certificate in conversation.issued
    assert result.certificate.public_key() == conversation.entity_key.public_key()
    (asked,) = transport.asked
    # jscep's client always says PKCSReq; we say RenewalReq where the CA announces Renewal.
    expected = messages.PkcsReq if server == "des-md5-get" else messages.RenewalReq
    assert asked.data == expected(recorded_csr(conversation))


def _rsa(conversation: Conversation) -> RSAPrivateKey:
    key = conversation.entity_key
    assert isinstance(key, RSAPrivateKey)
    return key


# ------------------------------------------------------------------ queries


@each_server
def test_recorded_certificate_is_looked_up(replay: Replay, server: str) -> None:
    client, transport, conversation = replay(f"{server}/getcert")
    wanted = vectors.conversation(f"{server}/enrol-success").issued[0]
    found, chain = client.get_certificate(wanted.serial_number, requester_of(conversation))
    assert found == wanted
    assert chain == (conversation.server.ca_certificate,)
    _asked_as_recorded(transport)


@each_server
def test_recorded_unknown_certificate_is_refused(replay: Replay, server: str) -> None:
    client, _, conversation = replay(f"{server}/getcert-unknown")
    with pytest.raises(RequestRejectedError) as caught:
        client.get_certificate(0xDEAD, requester_of(conversation))
    assert caught.value.fail_info is FailInfo.BAD_CERT_ID
    assert caught.value.transaction_id == vectors.transaction(conversation.pki_operations[0])[0]


@each_server
def test_recorded_crl_is_fetched(replay: Replay, server: str) -> None:
    client, transport, conversation = replay(f"{server}/getcrl")
    mine = conversation.requester_certificate
    crl = client.get_crl(mine.serial_number, requester_of(conversation))
    assert [str(entry.serial_number) for entry in crl] == conversation.result["revoked"]
    assert crl == x509.load_pem_x509_crl(conversation.result["pem"].encode())
    _asked_as_recorded(transport)


def _asked_as_recorded(transport: RecordedServer) -> None:
    (step,) = transport.conversation.pki_operations
    assert step.request is not None
    (asked,) = transport.asked
    assert messages.encode_data(asked.data) == step.request.plain


# ------------------------------------------------------------------ the CA itself


@each_server
def test_recorded_capabilities_are_read(replay: Replay, server: str) -> None:
    client, _, conversation = replay(f"{server}/getcacaps")
    found = client.get_capabilities()
    result = conversation.result
    assert found.post is result["post"]
    assert found.renewal is result["renewal"]
    assert found.next_ca is result["rollover"]
    if server == "des-md5-get":
        # jscep falls back to DES and MD5 here; we never do.
        assert found.words == frozenset()
        assert found.strongest_cipher is Cipher.DES_EDE3_CBC
        assert found.strongest_signature == "SHA1withRSA"
    else:
        assert {Capability.AES, Capability.SHA512, Capability.SCEP_STANDARD} <= found.words
        assert result["strongestCipher"] == "AES"
        assert found.strongest_cipher is Cipher.AES128_CBC
        assert found.strongest_signature == result["strongestSignature"]


@each_server
def test_recorded_ca_certificates_are_authenticated(replay: Replay, server: str) -> None:
    client, _, conversation = replay(f"{server}/getcacert")
    found = client.get_ca_certificates()
    recorded = conversation.server
    assert found.anchor == found.ca == recorded.ca_certificate
    assert found.recipient == recorded.recipient_certificate
    assert recorded.recipient_certificate in found.signers
    assert found.ignored == ()


@each_server
def test_recorded_server_is_told_nothing_when_it_is_not_the_ca_we_know(
    replay: Replay, server: str
) -> None:
    _, transport, conversation = replay(f"{server}/enrol-success")
    other = Client(URL, trust=Fingerprint("sha256:" + "ab" * 32), transport=transport)
    with pytest.raises(TrustError) as caught:
        other.enrol(
            recorded_csr(conversation),
            conversation.entity_key,
            requester=requester_of(conversation),
        )
    assert transport.operations == ["GetCACert"]
    ca = conversation.server.ca_certificate
    assert ca.fingerprint(hashes.SHA256()).hex() in caught.value.fingerprints


@pytest.mark.parametrize("server", ["ca", "ra"])
def test_recorded_next_ca_is_not_believed_on_the_word_of_an_empty_message(
    replay: Replay, server: str
) -> None:
    # jscep puts the next certificate where the signature does not cover it.
    client, transport, _ = replay(f"{server}/getnextca")
    with pytest.raises(TrustError):
        client.get_next_ca_certificates()
    assert transport.operations == ["GetCACert", "GetCACaps", "GetCACaps", "GetNextCACert"]


def test_recorded_server_without_capabilities_is_not_asked_for_its_next_ca(
    replay: Replay,
) -> None:
    client, transport, _ = replay("des-md5-get/getnextca")
    with pytest.raises(NotSupportedError) as caught:
        client.get_next_ca_certificates()
    assert caught.value.operation == "GetNextCACert"
    assert "GetNextCACert" not in transport.operations
