"""Reading a CRL that a CA handed out, and checking that it is the CA's.

The rule of this file: a CRL is returned only when its signature was verified with the key of an
authenticated CA certificate.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from scepkit.core.algorithms import ECDSA_SIGNATURES, RSA_SIGNATURES, Digest
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.certificates import view_of
from scepkit.core.chains import UNREADABLE, one_line, verify_sha1
from scepkit.errors import AlgorithmError, DecodeError, SignatureError


def read_crl(
    crls: Sequence[bytes], ca: CaCertificates, *, issuer: bytes
) -> x509.CertificateRevocationList:
    """The newest CRL of `issuer` (a Name in DER) among some, verified.

    RFC 8894 section 4.6 wants a CA to send just the newest; some send several.

    :raises DecodeError: there is none, or one cannot be read.
    :raises SignatureError: none is signed by an authenticated CA certificate of the issuer.
    :raises AlgorithmError: it is signed with MD5.
    """
    if not crls:
        raise DecodeError("the CA says SUCCESS, but its reply has no CRL")
    loaded = [_load(der) for der in crls]
    keys = [one for one in ca.authorities if view_of(one).subject == issuer]
    good = [crl for crl in loaded if any(_signed_by(crl, issuer_cert) for issuer_cert in keys)]
    if not good:
        raise SignatureError(
            "the CRL in the reply is not signed by the CA that was asked for",
            signer=", ".join(map(_issuer_text, loaded)),
        )
    return max(good, key=lambda crl: crl.last_update_utc)


def _load(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except UNREADABLE as exc:
        raise DecodeError(f"the CRL in the reply cannot be read: {one_line(exc)}") from exc


def _issuer_text(crl: x509.CertificateRevocationList) -> str:
    try:
        return crl.issuer.rfc4514_string()
    except UNREADABLE:
        return ""


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    oid = crl.signature_algorithm_oid.dotted_string
    digest = RSA_SIGNATURES.get(oid) or ECDSA_SIGNATURES.get(oid)
    if digest is Digest.MD5:
        raise AlgorithmError(
            "the CRL in the reply is signed with MD5, with which CRLs can be forged",
            algorithm=digest.value,
            hint="set the CA's CRL digest to SHA-256",
        )
    try:
        if crl.issuer != issuer.subject:
            return False
        if digest is Digest.SHA1:
            # As old as the CAs that still sign so; `cryptography` refuses to look at it.
            verify_sha1(issuer.public_key(), oid, crl.signature, crl.tbs_certlist_bytes)
            return True
        # `cryptography` names the key types a CRL can be signed with; the others raise.
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, *UNREADABLE):
        return False
