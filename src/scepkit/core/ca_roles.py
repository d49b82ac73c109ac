"""What the certificates below an anchor are for: who is an RA, who issues, who is encrypted to.

The rule of this file: that the CA issued a certificate does not make it an RA's.  Every device has
one of those, and an attacker on the way can put his own into an offer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.core.chains import Facts, Link
from scepkit.core.shown import title

if TYPE_CHECKING:
    from scepkit.core.trust import CaOffer

_ANY_PURPOSE = "2.5.29.37.0"
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
#: id-kp-cmcRA (RFC 6402 section 2.10) and Microsoft's Certificate Request Agent, which NDES has.
_RA_PURPOSES = frozenset({"1.3.6.1.5.5.7.3.28", "1.3.6.1.4.1.311.20.2.1"})
_PURPOSE_NAMES = {
    _SERVER_AUTH: "serverAuth",
    _CLIENT_AUTH: "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.5.5.7.3.14": "eapOverLAN",
}

#: The hint where a certificate is refused for an RA's.
NAME_THE_RA = (
    "when it is the RA's, have it confirmed by the CA's operator and name it in ra_certificates "
    "(--ra-cert)"
)


_NOT_NAMED = "it is not one of the RA certificates named"
_NO_RA = "this CA is said to have no RA"


def find_ras(
    offer: CaOffer,
    top: Link,
    links: dict[x509.Certificate, Link],
    named: Sequence[x509.Certificate] | None,
) -> tuple[list[Link], list[tuple[Link, str]]]:
    """The RAs in the order offered, and the end entities that are none, with the reason.

    :param links: what hangs below `top`.
    :param named: the RAs according to the caller, perhaps none; None when he does not say.
    :raises TrustError: none of those named is offered, or one cannot be used.
    """
    refused: list[tuple[Link, str]] = []
    ras: list[Link] = []
    if named:
        offered = [item for item in dict.fromkeys(offer.certificates) if item in named]
        for certificate in offered:
            link = links.get(certificate) or Link(Facts(certificate), None, may_issue=False)
            if link.facts.problem:
                raise offer.refusal(f"{title(certificate)} cannot be an RA: {link.facts.problem}")
            ras.append(link)
        if not ras:
            raise offer.refusal(
                f"none of the RA certificates named ({'; '.join(map(title, named))}) is offered",
                hint="the RA may have a new certificate; have it confirmed by the CA's operator",
            )
    for link in links.values():
        if link.may_issue or link in ras:
            continue
        if link is top:
            ras.append(link)
        elif named is not None:
            refused.append((link, _NOT_NAMED if named else _NO_RA))
        elif reason := _no_ra(link.facts):
            refused.append((link, reason))
        else:
            ras.append(link)
    position = {certificate: index for index, certificate in enumerate(offer.certificates)}
    ras.sort(key=lambda link: position.get(link.certificate, -1))
    return ras, refused


def _no_ra(facts: Facts) -> str:
    """Why an end entity below the anchor may not be an RA, or "".

    Any device could otherwise answer for the CA, with the certificate it was issued (the note at
    the end of the client fault list).
    """
    usage, purposes = facts.key_usage, facts.purposes
    if facts.certificate.version is x509.Version.v1:
        return "it is a version 1 certificate, which says nothing of its purpose"
    if usage is not None and not (usage.digital_signature or usage.key_encipherment):
        return "its key usage has neither digitalSignature nor keyEncipherment"
    if purposes is None or _ANY_PURPOSE in purposes or says_ra(facts):
        return ""
    if _SERVER_AUTH in purposes and _CLIENT_AUTH not in purposes:
        return ""
    shown = ", ".join(sorted(_PURPOSE_NAMES.get(purpose, purpose) for purpose in purposes)[:5])
    return f"its extended key usage ({shown}) is not an RA's but a device's"


def says_ra(facts: Facts) -> bool:
    """Whether the extended key usage names the purpose of an RA."""
    return facts.purposes is not None and bool(facts.purposes & _RA_PURPOSES)


def _unfitness(link: Link) -> int:
    """How unfit a certificate is to be encrypted to; 0 is fit (G7)."""
    usage = link.facts.key_usage
    if not link.facts.rsa:
        return 4
    # Certificates with one of the two bits are met, and used for both (Q34, Q21; step-ca's
    # intermediate has neither): then the key usage only decides between several.
    return 0 if usage is None or usage.key_encipherment else 2


def find_leads(
    top: Link, ras: Sequence[Link], authorities: Sequence[Link], now: datetime
) -> tuple[Link, Link]:
    """The CA that issues, and who is encrypted to.  Either may turn out to be out of date.

    :param authorities: the links that may issue.
    """

    def late(link: Link) -> bool:
        return bool(link.out_of_date(now))

    ra = min(ras, key=lambda link: (_unfitness(link), late(link)), default=None)
    # A second certificate of a CA is no CA below it.
    above = {link.facts.issuer for link in authorities if link is not top and not link.repeats}
    ca = min(
        authorities,
        key=lambda link: (link.facts.subject in above, -link.depth, late(link)),
        default=top,
    )
    if ra is None:
        return ca, ca
    if ra.may_issue:
        ca = ra
    elif ra.issuer is not None:
        ca = ra.issuer
    # An RA goes before the CA, unless the key usage of both says otherwise.
    return ca, ca if _unfitness(ca) + 1 < _unfitness(ra) else ra


def check_recipient(offer: CaOffer, recipient: Link, refused: Sequence[tuple[Link, str]]) -> None:
    """Do not fall back to an unfit recipient where a fit one was refused for an RA.

    :raises TrustError: that is the case.
    """
    if not _unfitness(recipient):
        return
    for link, reason in refused:
        if not _unfitness(link):
            raise offer.refusal(
                f"there is no certificate to encrypt to: {title(recipient.certificate)} is not "
                f"for encryption, and {title(link.certificate)} does not count as an RA's because "
                f"{reason}",
                hint=NAME_THE_RA,
            )


def notes_on(
    top: Link, recipient: Link, ras: list[Link], declared: Sequence[x509.Certificate]
) -> Iterable[str]:
    """Yield sentences about what is allowed and still worth knowing."""
    if not top.may_issue:
        yield (
            f"{title(top.certificate)} is trusted but is not a CA's certificate: what is issued "
            "cannot be verified until the CA's certificate is pinned"
        )
    for link in ras:
        if link.certificate not in declared:
            yield (
                f"{title(link.certificate)} counts as an RA's certificate although its extended "
                "key usage does not say so; to be sure, name it in ra_certificates"
            )
    if not recipient.facts.rsa:
        # Somebody between may have left an RA with an RSA key out of the offer.
        yield (
            f"{title(recipient.certificate)} cannot be encrypted to, so the challenge alone "
            "protects requests: whoever sees one can try guesses on it; if the CA has an RA with "
            "an RSA key, name it in ra_certificates (--ra-cert)"
        )
    if _unfitness(recipient) == 2:
        yield f"{title(recipient.certificate)} is encrypted to although its key usage is not for it"
