"""The answers to GetCACert and GetNextCACert (RFC 8894 sections 4.2 and 4.7).

Rules of this file:

* What a body is, its bytes say; the content type is only quoted in errors (Q43, Q57).
* The next CA certificate is believed because the present CA signed it, or because the caller's
  verifier vouches for it; never because it came in a signed message.  The certificates *beside* a
  SignedData's content are not covered by its signature, and that is where jscep puts them: any
  message the CA ever signed would carry an attacker's CA just as well (A23).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.core import asn1, cms
from scepkit.core.ca_roles import NAME_THE_RA
from scepkit.core.certificates import UNREADABLE, view_of
from scepkit.core.chains import Facts, anchor_link, grow
from scepkit.core.http import body_excerpt, html_title, media_type
from scepkit.core.pem import is_pem, pem_blocks
from scepkit.core.shown import one_line, title
from scepkit.core.trust import MAX_CERTIFICATES, CaOffer, CaVerifier, anchor_facts, fingerprint
from scepkit.errors import DecodeError, SignatureError, TrustError

if TYPE_CHECKING:
    from scepkit.core.ca_certificates import CaCertificates

_BUNDLE_LABELS = {"PKCS7", "CMS"}
_CERTIFICATE_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}


# ------------------------------------------------------------------ GetCACert


def read_ca_certificates(body: bytes, content_type: str = "") -> tuple[x509.Certificate, ...]:
    """The certificates in an answer to GetCACert, in the order sent; none is to be believed yet.

    Reads a certificate (DER), a certs-only SignedData (DER or BER) and either of them in PEM.
    A certificate in a bundle that cannot be read is left out.

    :param content_type: the answer's Content-Type header.
    :raises DecodeError: it is something else (`DecodeError.title` has the title of an HTML page),
        there is no readable certificate in it, or there are more than 100.
    """
    if not body:
        raise DecodeError(
            "the server answered GetCACert with an empty body",
            hint="many CAs want a profile (CA identifier) to be named; NDES takes any (Q15)",
        )
    if body[:1] != b"\x30" and is_pem(body):
        encoded = _from_pem(body)
    elif body[:1] != b"\x30":
        raise _not_certificates(body, content_type)
    else:
        try:
            return (_load(body),)
        except DecodeError as exc:
            encoded = _from_bundle(body, exc)
    return _load_all(encoded)


def _from_bundle(body: bytes, no_certificate: DecodeError) -> Sequence[bytes]:
    try:
        return cms.read_bundle(body).certificates
    except DecodeError as exc:
        raise DecodeError(
            "the answer to GetCACert is neither a certificate nor a bundle of certificates: "
            f"{no_certificate}; {exc}",
            offset=exc.offset,
        ) from exc


def _from_pem(body: bytes) -> Sequence[bytes]:
    found: list[bytes] = []
    for block in pem_blocks(body):
        if block.label in _CERTIFICATE_LABELS:
            found.append(block.der)
        elif block.label in _BUNDLE_LABELS:
            found.extend(cms.read_bundle(block.der).certificates)
    return found


def _not_certificates(body: bytes, content_type: str) -> DecodeError:
    kind = media_type(content_type) or "no content type"
    page = html_title(body)
    if page is None and kind != "text/html":
        said = body_excerpt(body)
        quoted = f" that begins {said!r}" if said else ""
        return DecodeError(
            f"the server answered GetCACert with {len(body)} bytes ({kind}){quoted}, expected a "
            "certificate or a bundle of certificates"
        )
    return DecodeError(
        f"the server answered GetCACert with the HTML page {page or ''!r}, expected a certificate",
        title=page or "",
        hint="check the path of the URL (NDES: /certsrv/mscep/mscep.dll), and whether a proxy or "
        "a login page stands in between",
    )


def _load(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as exc:
        raise DecodeError(f"a certificate cannot be read: {one_line(exc)}") from exc


def _load_all(encoded: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    if len(encoded) > MAX_CERTIFICATES:
        raise DecodeError(
            f"there are {len(encoded)} certificates in the answer, expected at most "
            f"{MAX_CERTIFICATES}"
        )
    loaded = []
    fault = DecodeError("there is no certificate in the answer")
    for der in encoded:
        try:
            loaded.append(_load(der))
        except DecodeError as exc:
            fault = exc
    if not loaded:
        raise fault
    return tuple(loaded)


# ------------------------------------------------------------------ GetNextCACert


def verify_next_ca(
    body: bytes,
    current: CaCertificates,
    now: datetime,
    *,
    verifier: CaVerifier | None = None,
    url: str = "",
    profile: str | None = None,
) -> tuple[x509.Certificate, ...]:
    """The certificates in an answer to GetNextCACert (RFC 8894 section 4.7.1), authenticated.

    Reads the RFC's form, a SignedData by the present CA around a certs-only SignedData (which may
    be of the type id-data or id-signedData; G8), and jscep's, where nothing but the signature of
    an empty message is signed.

    :param current: the present CA; one of its `rollover_signers` must have signed.
    :param now: the time (aware) at which the signer must be valid.
    :param verifier: asked about certificates that the signature does not cover; without one, they
        must have been issued below the present anchor.
    :param url, profile: where the answer is from, for the verifier's `CaOffer`.
    :returns: at least one CA certificate, and what came with it, in the order sent.  Their
        validity may begin later.
    :raises SignatureError: the signature is missing, broken, or made by somebody else.
    :raises TrustError: the certificates are not covered by the signature and nobody vouches for
        them, or the signer or a next CA certificate has expired.
    :raises DecodeError: it is not such an answer.
    :raises AlgorithmError: it is signed with MD5 or an unknown algorithm.
    """
    message = cms.read_signed(body, "GetNextCACert answer")
    _check_signature(message, current, now)
    if message.content:
        found = _load_all(_signed_certificates(message.content))
    else:
        found = _load_all(message.certificates)
        found = _vouched_for(CaOffer(url, profile, found), current, verifier)
    following = [one for one in map(Facts, found) if not one.problem and one.is_ca_as_anchor]
    if not following:
        raise DecodeError("there is no usable CA certificate in the answer to GetNextCACert")
    for facts in following:
        # Not valid yet is what one expects of it.
        if facts.validity is not None and facts.validity[1] < now:
            raise TrustError(
                facts.out_of_date(now),
                fingerprints=tuple(map(fingerprint, found)),
                hint="the answer may be an old one that somebody kept",
            )
    return found


def _check_signature(message: cms.SignedMessage, current: CaCertificates, now: datetime) -> None:
    allowed = [item for item in current.rollover_signers if not Facts(item).out_of_date(now)]
    if not allowed:
        raise TrustError(Facts(current.ca).out_of_date(now))
    try:
        cms.verify(message, [view_of(item) for item in allowed])
    except SignatureError:
        for item in current.signers:
            if item not in current.rollover_signers and _signed_by(message, item):
                raise TrustError(
                    f"the next CA certificate is signed by {title(item)}, which may answer for "
                    "the CA but has not the CA's key (RFC 8894 section 4.7.1)",
                    fingerprints=(fingerprint(item),),
                    hint=NAME_THE_RA,
                ) from None
        raise


def _signed_by(message: cms.SignedMessage, certificate: x509.Certificate) -> bool:
    try:
        cms.verify(message, [view_of(certificate)])
    except SignatureError:
        return False
    return True


def _signed_certificates(content: bytes) -> Sequence[bytes]:
    try:
        return cms.read_bundle(content).certificates
    except DecodeError as as_content_info:
        # The content type id-signedData stands for a SignedData that is not wrapped again.
        try:
            return cms.read_bundle(asn1.content_info(cms.ID_SIGNED_DATA, content)).certificates
        except (DecodeError, ValueError):
            raise as_content_info from None


def _vouched_for(
    offer: CaOffer, current: CaCertificates, verifier: CaVerifier | None
) -> tuple[x509.Certificate, ...]:
    anchor = current.anchor if verifier is None else verifier(offer)
    links, _ = grow(
        [anchor_link(anchor_facts(offer, anchor))], map(Facts, offer.certificates), None
    )
    # The signer's own certificate stands there too, and the present CA is not the next one.  A
    # device's certificate hangs below the anchor as well: only what may issue can be a next CA.
    present = {current.anchor, *current.certificates}
    found = tuple(
        item
        for item in offer.certificates
        if item in links and links[item].may_issue and item not in present
    )
    if not found:
        raise offer.refusal(
            "the certificates in the answer to GetNextCACert are not covered by its signature "
            "(jscep's form), and nobody vouches for them",
            hint="compare their fingerprints with the CA's operator, and give a verifier for them "
            "(Fingerprint, PinnedCertificate; --next-ca-fingerprint)",
        )
    return found
