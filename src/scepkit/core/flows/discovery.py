"""Getting to know a CA: GetCACert, the caller's verifier, GetCACaps (RFC 8894 sections 2.2, 3.5).

The rule of this file: nothing secret is sent here, and nothing is believed that the verifier has
not vouched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import http
from scepkit.core.ca_certificates import authenticate
from scepkit.core.ca_replies import read_ca_certificates
from scepkit.core.capabilities import Capabilities, Capability, parse_capabilities
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.flows.operation import exchange, expect_ok, status_error
from scepkit.core.flows.steps import Flow, KnownCa, Preferences, VerifyCa
from scepkit.core.http import Endpoint
from scepkit.core.trust import CaOffer
from scepkit.errors import TransportError, TrustError


def get_capabilities(endpoint: Endpoint, profile: str | None) -> Flow[Capabilities]:
    """GetCACaps.  A server that cannot answer it has no capabilities (RFC 8894 section 3.5.2)."""
    try:
        response = yield from exchange(http.caps_request(endpoint, profile))
    except TransportError as error:
        # IIS closes the connection on operations it does not know (R86).
        if error.kind not in {"closed", "protocol", "too-large"}:
            raise
        return Capabilities(source="closed")
    if response.status in {408, 429} or response.status >= 502:
        raise status_error(response, endpoint, "GetCACaps")
    if response.status != 200:
        return Capabilities(source="http-error")
    return parse_capabilities(response.body)


def fetch_offer(endpoint: Endpoint, profile: str | None) -> Flow[CaOffer]:
    """GetCACert: what the server offers, not yet authenticated."""
    response = yield from exchange(http.ca_cert_request(endpoint, profile))
    expect_ok(response, endpoint, "GetCACert")
    certificates = read_ca_certificates(response.body, response.content_type)
    return CaOffer(str(endpoint), profile, certificates)


def learn_ca(
    endpoint: Endpoint,
    profile: str | None,
    preferences: Preferences,
    now: datetime,
    previous: KnownCa | None = None,
    *,
    others: Sequence[x509.Certificate] = (),
) -> Flow[KnownCa]:
    """GetCACert, the caller's verifier, GetCACaps.

    :param previous: what was known before a refresh; a CA that suddenly offers less is refused,
        also one without the RSA key that requests were encrypted to.
    :param others: further certificates that the caller vouches for (`authenticate`).
    """
    offer = yield from fetch_offer(endpoint, profile)
    # Anybody's function has made it: `authenticate` looks at what it is.
    anchor = cast("x509.Certificate", (yield VerifyCa(offer)))
    certificates = authenticate(
        offer, anchor, now, ra_certificates=preferences.ra_certificates, others=others
    )
    capabilities = yield from get_capabilities(endpoint, profile)
    _check_capabilities(capabilities, preferences, previous)
    recipient = view_of(certificates.recipient)
    if previous is not None and _is_rsa(previous.recipient) and not _is_rsa(recipient):
        raise TrustError(
            "the server does not offer an RSA key to encrypt to any more; somebody between may "
            "have left it out, so that the challenge alone would protect the request",
            fingerprints=offer.fingerprints,
            hint="compare with what `scepkit ca` shows from another network",
        )
    return KnownCa(
        endpoint=endpoint,
        profile=profile,
        certificates=certificates,
        capabilities=capabilities,
        preferences=preferences,
        signers=tuple(view_of(certificate) for certificate in certificates.signers),
        recipient=recipient,
    )


def _is_rsa(certificate: CertificateView) -> bool:
    return isinstance(certificate.public_key(), rsa.RSAPublicKey)


_PROTECTIVE = (Capability.AES, Capability.SHA256, Capability.POST_PKI_OPERATION)


def _check_capabilities(
    found: Capabilities, preferences: Preferences, previous: KnownCa | None
) -> None:
    missing = [one.value for one in preferences.required if not found.supports(one)]
    if previous is not None:
        before = previous.capabilities
        missing += [
            one.value for one in _PROTECTIVE if before.supports(one) and not found.supports(one)
        ]
    if missing:
        raise TrustError(
            f"the server does not announce {', '.join(sorted(set(missing)))}, which was "
            f"{'announced before' if previous else 'required'}; somebody between may have removed "
            "it (RFC 8894 section 7.5)",
            hint="compare with what `scepkit caps` shows from another network",
        )
