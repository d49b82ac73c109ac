"""What a server says of itself: GetCACaps, GetCACert and GetNextCACert.

The rule of this file: it is computed from what is configured and there, never from wishes: what is
announced works.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from scepkit.ca import CaIssuer
from scepkit.core import asn1, cms
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import Capability, format_capabilities
from scepkit.core.certificates import view_of
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE
from scepkit.core.messages import ID_SIGNING_TIME
from scepkit.server.deployment import ServedProfile

_CIPHERS = {Cipher.AES128_CBC: Capability.AES, Cipher.DES_EDE3_CBC: Capability.DES3}
_DIGESTS = {
    Digest.SHA1: Capability.SHA1,
    Digest.SHA256: Capability.SHA256,
    # Not a word of the RFC, but strongSwan 5.9 takes AES and POST from its place in a list.
    Digest.SHA384: Capability.SHA384,
    Digest.SHA512: Capability.SHA512,
}
_STANDARD = {Capability.AES, Capability.POST_PKI_OPERATION, Capability.SHA256}


def capabilities(profile: ServedProfile) -> bytes:
    """The body of GetCACaps (RFC 8894 section 3.5.2)."""
    words = {Capability.POST_PKI_OPERATION} if profile.announce_post else set()
    words |= {word for cipher, word in _CIPHERS.items() if cipher in profile.ciphers}
    words |= {word for digest, word in _DIGESTS.items() if digest in profile.digests}
    if profile.auth.renewal is not None:
        words.add(Capability.RENEWAL)
    if profile.next_ca is not None:
        words.add(Capability.GET_NEXT_CA_CERT)
    if words >= _STANDARD:
        words.add(Capability.SCEP_STANDARD)
    return format_capabilities(words)


def ca_certificates(offered: Iterable[x509.Certificate]) -> tuple[bytes, str]:
    """The body and content type of GetCACert (RFC 8894 section 4.2.1)."""
    certificates = [view_of(one).der for one in offered]
    if len(certificates) == 1:
        return certificates[0], CA_CERT_TYPE
    return cms.certs_only(certificates), CA_RA_CERT_TYPE


def next_ca(
    current: CaIssuer, following: x509.Certificate, chain: Iterable[x509.Certificate], now: datetime
) -> bytes:
    """The body of GetNextCACert: the next CA's certificate, signed with the present CA's key.

    It is id-data around a certs-only SignedData (RFC 8894 section 4.7.1, G8).  Whatever the private
    key raises is passed on.
    """
    bundle = cms.certs_only([view_of(one).der for one in (following, *chain)])
    signer = cms.Signer(view_of(current.certificate), current.key)
    time = [(ID_SIGNING_TIME, asn1.signing_time(now))]
    return cms.sign(bundle, time, signer, Digest.SHA256)
