"""What a test CA says of itself: GetCACaps, GetCACert and GetNextCACert, right and wrong.

The rule of this file: the faults here need certificates or keys; those that only bend an answer on
its way are in `http_faults`.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from cryptography import x509

from scepkit.core import asn1, cms
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import Capability
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE, NEXT_CA_CERT_TYPE
from scepkit.testing import credentials as persons
from scepkit.testing.answers import Answer, text
from scepkit.testing.credentials import Credentials, der
from scepkit.testing.faults import Fault
from scepkit.testing.state import Policy

_CIPHER_WORDS = {
    Cipher.AES128_CBC: Capability.AES,
    Cipher.DES_EDE3_CBC: Capability.DES3,
}
_DIGEST_WORDS = {
    Digest.SHA1: Capability.SHA1,
    Digest.SHA256: Capability.SHA256,
    Digest.SHA384: Capability.SHA384,
    Digest.SHA512: Capability.SHA512,
}
_STANDARD = {Capability.AES, Capability.POST_PKI_OPERATION, Capability.SHA256}


def capabilities(policy: Policy, *, rollover: bool) -> set[Capability]:
    """What a CA with this policy can do (RFC 8894 section 3.5.2)."""
    words = {Capability.POST_PKI_OPERATION}
    words |= {word for cipher, word in _CIPHER_WORDS.items() if cipher in policy.ciphers}
    words |= {word for digest, word in _DIGEST_WORDS.items() if digest in policy.digests}
    if policy.renewal:
        words.add(Capability.RENEWAL)
    if rollover:
        words.add(Capability.GET_NEXT_CA_CERT)
    if words >= _STANDARD:
        words.add(Capability.SCEP_STANDARD)
    return words


def ca_certificates(
    offered: Sequence[x509.Certificate],
    ours: Credentials,
    faults: AbstractSet[Fault],
    now: datetime,
) -> Answer:
    """The answer to GetCACert: a certificate, or a bundle (RFC 8894 section 4.2.1)."""
    certificates = [*map(der, offered)]
    if Fault.CA_CERT_OTHER_CA in faults:
        certificates = [der(persons.namesake(ours.issuer, now).certificate)]
    if Fault.CA_CERT_ROOT_ONLY in faults:
        certificates = [der(ours.root.certificate)]
    if Fault.CA_CERT_EXPIRED_INTERMEDIATE in faults:
        expired = persons.expired_copy(ours.issuer, ours.root, now)
        certificates = [der(expired), der(ours.root.certificate)]
    if Fault.CA_CERT_STRANGER in faults:
        certificates.insert(0, der(persons.stranger(ours.issuer, now).certificate))
    if faults & {Fault.CA_CERT_DEVICE, Fault.SIGNER_IS_OFFERED_DEVICE}:
        certificates.insert(0, persons.device(ours.issuer, now).certificate.der)
    if Fault.SIGNER_EXPIRED in faults:
        certificates.insert(0, persons.expired_ra(ours.issuer, now).certificate.der)
    if len(certificates) == 1:
        return Answer(certificates[0], CA_CERT_TYPE)
    return Answer(cms.certs_only(certificates), CA_RA_CERT_TYPE)


def next_ca(
    ours: Credentials,
    following: Credentials | None,
    faults: AbstractSet[Fault],
    now: datetime,
) -> Answer:
    """The answer to GetNextCACert, signed with the present CA's key (RFC 8894 section 4.7.1)."""
    if following is None:
        return text(404, "there is no next CA certificate")
    certificates = [*map(der, following.issuer.bundle)]
    bundle = cms.certs_only(certificates)
    if Fault.NEXT_CA_UNSIGNED in faults:
        return Answer(bundle, NEXT_CA_CERT_TYPE)
    signer = persons.as_signer(ours.issuer)
    if Fault.NEXT_CA_SIGNED_BY_WRONG_KEY in faults:
        signer = persons.as_signer(persons.stranger(ours.issuer, now))
    if Fault.NEXT_CA_SIGNED_BY_NEXT_CA in faults:
        signer = persons.as_signer(following.issuer)
    content: bytes | None = bundle
    if Fault.NEXT_CA_BESIDE_THE_CONTENT in faults:
        signer = cms.Signer(signer.certificate, signer.key, tuple(certificates))
        content = None
    body = cms.sign(content, [(_SIGNING_TIME, asn1.signing_time(now))], signer, Digest.SHA256)
    return Answer(body, NEXT_CA_CERT_TYPE)


_SIGNING_TIME = "1.2.840.113549.1.9.5"
