"""What is kept of a request in the database, and how requests are told apart.

The rules of this file: no challengePassword is kept in the clear (it is in the CSR), and requests
that ask for the same on the same authority have the same key, however often and in whatever message
they come (promise P1).
"""

from __future__ import annotations

import hashlib

from scepkit.core import asn1
from scepkit.core.csr import ID_CHALLENGE_PASSWORD, ParsedCsr, read_csr
from scepkit.errors import DecodeError
from scepkit.server.pepper import Pepper
from scepkit.server.verdicts import Renews

_SEALED = "scepkit-sealed:"


def op_key(
    profile: str, csr: ParsedCsr, mac: bytes | None, renews: Renews | None, near: bytes = b""
) -> bytes:
    """What identifies a request.

    Its content is hashed without its signature, because who rebuilds a request with an EC key gets
    another one; a renewal is told from an enrolment with the same request by the certificate that
    authenticates it.

    :param near: how the key is to begin (`Pepper.near` of the challenge).
    """
    parts = (
        profile.encode(),
        csr.public_key_der,
        hashlib.sha256(csr.request_info_der).digest(),
        b"" if mac is None else mac,
        b"" if renews is None else f"{renews.row.ca_id}/{renews.row.serial}".encode(),
    )
    framed = [len(part).to_bytes(4, "big") + part for part in parts]
    key = hashlib.sha256(b"scepkit operation 2" + b"".join(framed)).digest()
    return near + key[len(near) :]


def kept_csr(csr: ParsedCsr, sealed: str | None) -> bytes:
    """The request without its challengePassword; its signature, which was good, no longer fits.

    :param sealed: what stands in its place (`Pepper.seal`), when an answer will need it.
    """
    version, subject, spki, attributes = asn1.read(
        asn1.CERTIFICATION_REQUEST_INFO, csr.request_info_der, "certification request"
    )
    kept = [one for one in asn1.split(attributes) if not _is_challenge(one)] if attributes else []
    if sealed is not None:
        value = asn1.element(0x0C, (_SEALED + sealed).encode("ascii"))
        kept.append(asn1.attribute(ID_CHALLENGE_PASSWORD, value))
    content = asn1.element(0x30, version, subject, spki, asn1.element(0xA0, *kept))
    signature = asn1.element(0x03, b"\x00", csr.signature)
    return asn1.element(0x30, content, csr.signature_algorithm_der, signature)


def _is_challenge(attribute: bytes) -> bool:
    oid, _ = asn1.read(asn1.ATTRIBUTE_TYPE_AND_VALUE, attribute, "attribute of a request")
    return oid == asn1.oid_der(ID_CHALLENGE_PASSWORD)


def kept_secret(csr: bytes, pepper: Pepper) -> str | None:
    """The challengePassword that was sealed into a kept request, or None."""
    try:
        kept = read_csr(csr).challenge
    except DecodeError:
        return None
    if kept is None or not kept.startswith(_SEALED):
        return None
    return pepper.unseal(kept.removeprefix(_SEALED))
