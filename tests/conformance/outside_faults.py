"""Faults that show before anybody enrols: HTTP, capabilities, the CA's certificates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scepkit.core import cms
from scepkit.core.capabilities import Capability
from scepkit.core.certificates import view
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE
from scepkit.testing import TestCa
from scepkit.testing.answers import Answer
from tests import pki
from tests.conformance.broken import answering, ca_with, crashing_on
from tests.conformance.fault import Fault, Q, S, known

# ------------------------------------------------------------------ HTTP and certificates


def caps_as(content_type: str) -> Any:
    def change(method: str, target: str, body: bytes, right: Answer) -> Answer:
        return replace(right, content_type=content_type) if "GetCACaps" in target else right

    return answering(change)


def ca_cert(make: Callable[[], Answer]) -> Any:
    def change(method: str, target: str, body: bytes, right: Answer) -> Answer:
        return make() if "=GetCACert" in target else right

    return answering(change)


def signed_bundle() -> Answer:
    """A bundle that is signed, as if it were a message."""
    from scepkit.conformance import cmsparts

    root = pki.root()
    info = cmsparts.signer_info(cmsparts.Identity(root.certificate, root.key), [])
    return Answer(cmsparts.signed_data(None, [info], [root.der]), CA_RA_CERT_TYPE)


def one_certificate(**options: Any) -> Callable[[], Answer]:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    dates = {"not_before": now - timedelta(days=300), "not_after": now + timedelta(days=300)}
    made = pki.certificate(pki.name("CA"), pki.key(), ca=True, **{**dates, **options})
    return lambda: Answer(made.der, CA_CERT_TYPE)


def expired() -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    return {"not_before": now - timedelta(days=300), "not_after": now - timedelta(days=3)}


def next_ca(*faults: str) -> Callable[[], TestCa]:
    def make() -> TestCa:
        ca = ca_with(*faults)
        ca.stage_next_ca()
        return ca

    return make


def unsigned_next() -> Any:
    def change(method: str, target: str, body: bytes, right: Answer) -> Answer:
        return Answer(pki.root().der, CA_CERT_TYPE) if "GetNextCACert" in target else right

    return answering(change)


OUTSIDE = [
    Fault("T07", "operations in small letters crash it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: "getcacaps" in t)), Q),
    Fault("T17", "operations it does not know crash it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: "GetNothing" in t)), S),
    Fault("T18", "a longer path crashes it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: "pkiclient.exe" in t)), S),
    Fault("T19", "other methods crash it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: m == "HEAD")), S),
    Fault("T01", "GetCACaps is a web page", known("caps-html")),
    Fault("T02", "GetCACaps has the type of a file",
          lambda: ca_with(front=caps_as("application/octet-stream")), S),
    Fault("T02", "GetCACaps has a charset",
          lambda: ca_with(front=caps_as("text/plain; charset=utf-8")), S),
    Fault("T03", "words are in other letters of case", known("caps-mixed-case")),
    Fault("T04", "SCEPStandard is not announced",
          known(capabilities=[Capability.AES, Capability.POST_PKI_OPERATION]), S),
    Fault("T05", "nothing is announced but SCEPStandard",
          known(capabilities=[Capability.SCEP_STANDARD]), Q),
    Fault("T06", "GetCACaps with a message is not found",
          lambda: ca_with(front=crashing_on(lambda m, t, b: "GetCACaps&message" in t, 404)), Q),
    Fault("T08", "a certificate is called a bundle", known("ca-cert-wrong-type")),
    Fault("T08", "GetCACert sends PEM", known("ca-cert-pem")),
    Fault("T09", "the bundle is signed", lambda: ca_with(front=ca_cert(signed_bundle))),
    Fault("T10", "a stranger is among the certificates", known("ca-cert-stranger")),
    Fault("T10", "the root is not offered",
          lambda: ca_with(intermediate=True, front=answering(
              lambda m, t, b, right: without_root(right) if "=GetCACert" in t else right))),
    Fault("T11", "the CA may neither sign nor decrypt",
          lambda: ca_with(front=ca_cert(one_certificate(
              key_usage=pki.usage("key_cert_sign", "crl_sign"))))),
    Fault("T12", "the CA has expired",
          lambda: ca_with(front=ca_cert(one_certificate(**expired()))), S),
    Fault("T13", "a chain of CAs has the type of an RA's", known(intermediate=True), Q),
    Fault("T14", "an identifier crashes it",
          lambda: ca_with(front=crashing_on(lambda m, t, b: "GetCACert&message" in t)), Q),
    Fault("T15", "the next CA is not signed", next_ca("next-ca-unsigned")),
    Fault("T15", "the next CA is signed by another key", next_ca("next-ca-signed-by-wrong-key")),
    Fault("T16", "GetNextCACert gives a certificate that nobody signed",
          lambda: ca_with(front=unsigned_next()), S),
]  # fmt: skip


def without_root(right: Answer) -> Answer:
    """A bundle without what is self-signed."""
    certificates = [
        der
        for der in cms.read_bundle(right.body).certificates
        if view(der).issuer != view(der).subject
    ]
    other = [*certificates, pki.ra(pki.root("rsa2048-b", "Other Root"), "rsa2048-c").der]
    return replace(right, body=cms.certs_only(other))
