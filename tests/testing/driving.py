"""A right client for the test CA: our own, driven the same way whatever is tested."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

import scepkit
from scepkit import Client, Issued, Pending, PollPolicy, Requester
from scepkit.service import default_requester, parsed_csr
from scepkit.testing import TestCa
from tests import pki

RSA = "rsa2048-c"
URL = "http://ca.test/scep"


def make_ca(**options: Any) -> TestCa:
    """A test CA with the committed keys."""
    options.setdefault("key", pki.key("rsa2048-a"))
    if options.get("ra") == "rsa":
        options.setdefault("ra_keys", (pki.key("rsa2048-b"),))
    if options.get("ra") == "split":
        options.setdefault("ra_keys", (pki.key("rsa2048-b"), pki.key("rsa3072")))
    return TestCa(**options)


def make_client(ca: TestCa, url: str = "", **options: Any) -> Client:
    """A client that trusts the CA's root; over HTTP when there is a URL."""
    if not url:
        options["transport"] = ca.transport()
    return Client(url or URL, trust=scepkit.PinnedCertificate(ca.root), **options)


def csr_for(
    ca: TestCa, key_name: str = RSA, subject: str = "CN=router1", challenge: str | None = ""
) -> tuple[bytes, Any]:
    """A certificate request (DER) and its key."""
    csr, key = ca.make_csr(subject, key=pki.key(key_name), challenge=challenge)
    return csr.public_bytes(Encoding.DER), key


def enrol(
    ca: TestCa, client: Client, key_name: str = RSA, *, challenge: str | None = ""
) -> scepkit.EnrolmentResult:
    """Enrol router1."""
    csr, key = csr_for(ca, key_name, challenge=challenge)
    return client.enrol(csr, key)


def issued(result: object) -> Issued:
    """The result, which must be an issued certificate."""
    assert isinstance(result, Issued), result
    return result


def pending(result: object) -> Pending:
    """The result, which must be pending."""
    assert isinstance(result, Pending), result
    return result


def requester(ca: TestCa, key_name: str = RSA) -> Requester:
    """The owner of a certificate of this CA."""
    certificate, key = ca.issue("CN=router1", key=pki.key(key_name))
    return Requester(certificate, key)


def passer_by(key_name: str = RSA) -> Requester:
    """Somebody with a self-signed certificate."""
    key = pki.key(key_name)
    return default_requester(parsed_csr(scepkit.build_csr(key, "CN=passer-by")), key)


QUICKLY = PollPolicy(interval=0, max_polls=5)
