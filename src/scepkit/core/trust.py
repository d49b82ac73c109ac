"""Who says that this is the CA: what GetCACert offered, and verifiers that vouch for a part of it.

A verifier is anything that takes a `CaOffer` and *returns the certificate it vouches for*, the
anchor, or raises TrustError.  There is no yes and no no, so that a forgotten `return` refuses and
nothing can be mistaken for approval (RFC 8894 sections 2.1.1 and 2.2; attack A11).  What follows
from an anchor is in `ca_certificates`.

The verifiers here look at the offer and nothing else.  Those that ask a person or remember an
answer are in `scepkit.verifiers`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Protocol

from cryptography import x509

from scepkit.core.algorithms import Digest, digest_named
from scepkit.core.chains import Facts, issue_fault
from scepkit.core.http import shown_url
from scepkit.core.shown import title
from scepkit.errors import InputError, TrustError
from scepkit.values import frozen

#: Most certificates that an offer may have.  The sets of real CAs have one to six.
MAX_CERTIFICATES = 100

_NAMED_IN_TEXT = 10


@frozen
class CaOffer:
    """The certificates that came in answer to GetCACert, in the order they came.

    Nothing in it may be believed yet.

    Attributes:
        url: the address of the server.
        profile: the CA profile (CA identifier) asked for, or None.
        certificates: at least one.

    :raises TrustError: there are none, or more than 100.
    """

    url: str
    profile: str | None
    certificates: tuple[x509.Certificate, ...]

    def __post_init__(self) -> None:
        if not self.certificates:
            raise TrustError(
                f"{self.source} offers no CA certificate",
                hint="ask the CA's operator whether a profile (CA identifier) has to be named",
            )
        if len(self.certificates) > MAX_CERTIFICATES:
            raise TrustError(
                f"{self.source} offers {len(self.certificates)} certificates, expected at most "
                f"{MAX_CERTIFICATES}"
            )

    @property
    def source(self) -> str:
        """The server and the profile, for people."""
        return shown_url(self.url) + (f" (profile {self.profile!r})" if self.profile else "")

    @property
    def ca(self) -> x509.Certificate:
        """The top-most CA certificate of the offer, by names and not by signatures.

        A self-signed one (rather one that others name as their issuer), else one that others name
        and that has no issuer here, else the first.
        """
        facts = [Facts(certificate) for certificate in self.certificates]
        subjects = {fact.subject for fact in facts if not fact.problem}
        issuers = {fact.issuer for fact in facts if not fact.self_issued}

        def rank(fact: Facts) -> tuple[bool, ...]:
            return (
                bool(fact.problem),
                not fact.is_ca_as_anchor,
                not fact.self_issued,
                fact.subject not in issuers,
                fact.issuer in subjects,
            )

        return min(facts, key=rank).certificate

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The SHA-256 fingerprint of every certificate, in lower-case hex."""
        return tuple(fingerprint(certificate) for certificate in self.certificates)

    def fingerprint(self, algorithm: str = "sha256") -> str:
        """The fingerprint of `ca` in lower-case hex.

        :param algorithm: ``sha1``, ``sha256``, ``sha384`` or ``sha512``.
        :raises AlgorithmError: it is another one.
        """
        return fingerprint(self.ca, digest_named(algorithm))

    def refusal(self, reason: str, hint: str = "") -> TrustError:
        """An error that says `reason` and shows every certificate of the offer."""
        shown = [
            f"{title(certificate)} (sha256:{digest})"
            for certificate, digest in zip(self.certificates, self.fingerprints, strict=True)
        ]
        more = len(shown) - _NAMED_IN_TEXT
        text = "; ".join(shown[:_NAMED_IN_TEXT]) + (f"; and {more} more" if more > 0 else "")
        return TrustError(
            f"{reason}; {self.source} offered {text}", fingerprints=self.fingerprints, hint=hint
        )


class CaVerifier(Protocol):
    """Says which certificate of an offer is the CA's."""

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the certificate vouched for: one of the offer, or an issuer of one of those.

        It becomes the anchor: what it issued is believed, what stands above it is not looked at.

        :raises TrustError: there is no such certificate.
        """
        ...


def fingerprint(certificate: x509.Certificate, digest: Digest = Digest.SHA256) -> str:
    """The digest of a whole certificate in lower-case hex (RFC 8894 section 2.2)."""
    return certificate.fingerprint(digest.hash()).hex()


def anchor_facts(offer: CaOffer, anchor: x509.Certificate) -> Facts:
    """Look at what a verifier returned.

    :raises TrustError: it is not a certificate, or one that cannot be used.
    """
    if not isinstance(anchor, x509.Certificate):
        # A verifier that says True, as verifiers elsewhere do, has not said to what.
        raise offer.refusal(
            f"the verifier returned {type(anchor).__name__}, expected the certificate it vouches "
            "for",
            hint="a verifier returns a certificate or raises TrustError; AcceptIf makes one of a "
            "function that returns True",
        )
    facts = Facts(anchor)
    if facts.problem:
        raise offer.refusal(f"{title(anchor)} cannot be an anchor: {facts.problem}")
    return facts


class PinnedCertificate:
    """Vouches for certificates that the caller has had from somewhere safe (RFC 8894 section 2.2).

    :param certificates: the CA's certificate, or one above it (a root that the server need not
        offer), or several when the CA is about to change: one of them is the anchor, and what the
        other CAs among them have issued counts too.  An RA's certificate alone is too
        little to enrol with: nothing that stands above it is believed.
    :raises InputError: there is none, or one is something else.
    """

    def __init__(self, *certificates: x509.Certificate) -> None:
        if not certificates:
            raise InputError("there is no certificate to pin; expected at least one")
        for certificate in certificates:
            if not isinstance(certificate, x509.Certificate):
                raise InputError(
                    f"a {type(certificate).__name__} cannot be pinned, expected an "
                    "x509.Certificate",
                    hint="scepkit.load_certificates reads files",
                )
        self.certificates = certificates

    def __repr__(self) -> str:
        return f"PinnedCertificate({', '.join(title(pin) for pin in self.certificates)})"

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the first pin that is in the offer, CAs first, else the first that issued a part.

        :raises TrustError: there is none.
        """
        pins = sorted(
            (Facts(certificate) for certificate in self.certificates),
            key=lambda pin: not pin.is_ca_as_anchor,
        )
        for pin in pins:
            if pin.certificate in offer.certificates:
                return pin.certificate
        offered = [Facts(certificate) for certificate in offer.certificates]
        for pin in pins:
            if pin.is_ca_as_anchor and any(_issued(child, pin) for child in offered):
                return pin.certificate
        raise offer.refusal(
            "no certificate offered is a pinned one or was issued by one "
            f"({'; '.join(title(pin) for pin in self.certificates[:_NAMED_IN_TEXT])})",
            hint="compare with the CA's operator: either the CA has a new certificate, to be "
            "pinned from a safe source (--ca-fingerprint, --ca-cert, or next-ca.pem beside "
            "chain.pem), or somebody else answers in its place",
        )


class Wrapper:
    """A verifier that asks another one, and vouches for nothing that the other has not."""

    def __init__(self, verifier: CaVerifier) -> None:
        self.verifier = verifier


def pinned_by(verifier: CaVerifier) -> tuple[x509.Certificate, ...]:
    """All that is pinned, by a `PinnedCertificate` or one in a `Wrapper`; the anchor is one of it.

    :returns: nothing where the verifier is another one.
    """
    while isinstance(verifier, Wrapper):
        verifier = verifier.verifier
    return verifier.certificates if isinstance(verifier, PinnedCertificate) else ()


def _issued(child: Facts, issuer: Facts) -> bool:
    return (
        not child.problem
        and not issuer.problem
        and child.issuer == issuer.subject
        and not issue_fault(child, issuer)
    )


_HEX_DIGITS = {40: Digest.SHA1, 64: Digest.SHA256, 96: Digest.SHA384, 128: Digest.SHA512}
_MD5_HINT = "ask the CA's operator for the SHA-256 fingerprint"


class Fingerprint:
    """Vouches for the certificate with this fingerprint (RFC 8894 section 2.2).

    :param text: the digest of the whole certificate (DER) in hex: ``sha256:AB:CD...``,
        ``sha1:...``, ``sha512:...`` or hex alone; upper or lower case, with or without colons and
        blanks.  Any certificate of the offer may have it.
    :raises InputError: it is not such a text, or MD5.
    """

    def __init__(self, text: str) -> None:
        # Also what `openssl x509 -fingerprint` prints: "sha256 Fingerprint=AB:CD...".
        parts = re.fullmatch(
            r"\s*(?:(sha|md)-?(\d+)\s*(?:fingerprint)?\s*[:=])?([0-9a-f:\s]*)", text, re.IGNORECASE
        )
        if parts is None:
            raise InputError(
                f"{text!r} is not a fingerprint; expected sha256: and 64 hex digits",
                hint="scepkit ca URL shows the fingerprints of what a server offers",
            )
        family, size, rest = parts.groups()
        digits = re.sub(r"[:\s]", "", rest).lower()
        name = f"{family}{size}".lower() if family else ""
        if name == "md5" or (not name and len(digits) == 32):
            raise InputError(
                "an MD5 fingerprint proves nothing, since certificates with the same MD5 digest "
                "can be made; expected a SHA-256 one",
                hint=_MD5_HINT,
            )
        lengths = {digest.value: length for length, digest in _HEX_DIGITS.items()}
        if name and name not in lengths:
            raise InputError(
                f"there is no fingerprint of the kind {name!r}; expected sha256, sha1 or sha512",
                hint=_MD5_HINT,
            )
        if len(digits) != lengths.get(name, len(digits)) or len(digits) not in _HEX_DIGITS:
            wanted = f"{lengths[name]} for {name}" if name else "64 for sha256"
            raise InputError(
                f"the fingerprint has {len(digits)} hex digits; expected {wanted}",
                hint="copy the whole fingerprint: a part of one can be met by another certificate",
            )
        self.digest = _HEX_DIGITS[len(digits)]
        self.value = bytes.fromhex(digits)

    def __repr__(self) -> str:
        return f"Fingerprint({str(self)!r})"

    def __str__(self) -> str:
        return f"{self.digest.value}:{self.value.hex()}"

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the certificate with this fingerprint.

        :raises TrustError: none has it.
        """
        for certificate in offer.certificates:
            if hmac.compare_digest(certificate.fingerprint(self.digest.hash()), self.value):
                return certificate
        raise offer.refusal(
            f"no certificate offered has the fingerprint {self}",
            hint="ask the CA's operator to read the fingerprint out again: either it belongs to "
            "another certificate, or somebody else answers in the CA's place",
        )


class AcceptIf:
    """Vouches for the offer's `ca` when a function of the caller's returns True.

    Only True itself counts; False, None and anything else refuse.
    """

    def __init__(self, predicate: Callable[[x509.Certificate], bool]) -> None:
        self.predicate = predicate

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the offer's `ca`.

        :raises TrustError: the function did not return True.
        """
        certificate = offer.ca
        if self.predicate(certificate) is not True:
            raise offer.refusal(f"{title(certificate)} was not accepted")
        return certificate


class InsecureTrustOnFirstUse:
    """Vouches for whatever is offered, so that whoever answers is taken for the CA.

    It makes no difference between the CA and an attacker on the way, who then reads the challenge
    and hands out certificates of his own (attack A11).  For laboratories.
    """

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the offer's `ca`, unseen."""
        return offer.ca
