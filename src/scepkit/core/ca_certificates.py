"""What follows from an anchor: the CA's authenticated certificates, and what they issued.

Rules of this file:

* Only certificates that hang below the anchor count, and what stands above it is not believed: a
  key under which a given signature verifies can be made to order.
* An out-of-date certificate never takes a part.  Where it would have had one, that is an error and
  not a reason to give the part to another certificate (R11).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from scepkit.core.ca_roles import check_recipient, find_leads, find_ras, notes_on, says_ra
from scepkit.core.chains import Facts, Link, anchor_link, grow, hang_fault
from scepkit.core.shown import title
from scepkit.core.trust import MAX_CERTIFICATES, CaOffer, anchor_facts, fingerprint
from scepkit.errors import TrustError
from scepkit.values import field, frozen

_CLOCK_HINT = (
    "set the clock if it is wrong; if it is right, the CA's operator has to renew the certificate"
)
#: What may have happened where an answer is another CA's.
ROLLED_OVER = (
    "the CA has changed its key since its certificate was fetched (then Client.refresh() fetches "
    "it again; the command line does so each time, and needs the new certificate's fingerprint)"
)


@frozen
class IgnoredCertificate:
    """A certificate of an offer that plays no part, and why."""

    certificate: x509.Certificate
    reason: str


@frozen
class IssuedChain:
    """The issuers of a certificate that was found good.

    Attributes:
        chain: from the certificate's issuer up to the anchor, both included; neither the
            certificate itself nor anything beside the way is in it.
        warnings: sentences about the certificate that a person should read, such as that this
            machine's clock puts it out of date.
    """

    chain: tuple[x509.Certificate, ...]
    warnings: tuple[str, ...] = ()


@frozen(eq=False)
class CaCertificates:
    """The authenticated certificates of a CA and what each is for; made by `authenticate`.

    Attributes:
        anchor: the certificate that the verifier vouched for; it need not have been offered.
        certificates: every authenticated certificate once: RAs, then the issuing CA and what
            stands above it up to the anchor, then other CAs.
        ca: the CA that issues: the issuer of the RA, else the CA furthest from the anchor.  When
            the anchor is not a CA's certificate, there is none and this is the anchor.
        recipient: the certificate to encrypt requests to.
        signers: the certificates whose signature on a CertRep counts: RAs, then CAs.
        rollover_signers: those whose signature on the next CA certificate counts: the CA, what
            stands above it, and RAs that say they are one or were named by the caller.
        ignored: the certificates offered that are not among `certificates`.
        notes: sentences about this set for a log.
    """

    anchor: x509.Certificate
    certificates: tuple[x509.Certificate, ...]
    ca: x509.Certificate
    recipient: x509.Certificate
    signers: tuple[x509.Certificate, ...]
    rollover_signers: tuple[x509.Certificate, ...]
    ignored: tuple[IgnoredCertificate, ...]
    notes: tuple[str, ...]
    # The CAs with the ways up from them, so that no signature among them is checked again.
    _links: tuple[Link, ...] = field(repr=False)
    # Other CAs that the caller vouches for: no part in a conversation, but what they issued counts.
    _others: tuple[Link, ...] = field(repr=False, default=())

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates among `certificates`: those that may issue and sign CRLs."""
        return tuple(link.certificate for link in self._links)

    @property
    def crl_authorities(self) -> tuple[x509.Certificate, ...]:
        """`authorities`, and the other CAs that the caller pinned: those whose CRLs count."""
        return tuple(link.certificate for link in (*self._links, *self._others))

    @property
    def issues(self) -> bool:
        """Whether a CA is authenticated, so that issued certificates can be verified."""
        return bool(self._links)

    @property
    def issuer_name(self) -> x509.Name:
        """The name under which certificates are issued (for CertPoll, GetCert and GetCRL)."""
        return self.ca.subject if self.issues else self.ca.issuer

    def chain_for(
        self, certificate: x509.Certificate, extra: Sequence[x509.Certificate] = ()
    ) -> tuple[x509.Certificate, ...]:
        """The issuers of a certificate up to the anchor, whatever the date.

        :param extra: certificates that may stand between, in any order; only those below the
            anchor are used.
        :returns: the certificate's issuer first, the anchor last; empty for the anchor itself.
        :raises TrustError: the certificate does not hang below the anchor.
        """
        if certificate == self.anchor:
            return ()
        return _issuers(Facts(certificate), self, extra, None)[0].path()


def authenticate(
    offer: CaOffer,
    anchor: x509.Certificate,
    now: datetime,
    *,
    ra_certificates: Sequence[x509.Certificate] | None = None,
    others: Sequence[x509.Certificate] = (),
) -> CaCertificates:
    """Keep of an offer what the anchor stands for, and say what each certificate is for.

    An end-entity certificate below the anchor counts as an RA's when it has no extended key
    usage, or one that contains anyExtendedKeyUsage, cmcRA or Microsoft's request agent, or
    serverAuth without clientAuth (Q29).  `CaCertificates.notes` names those that do not say in so
    many words that they are an RA's.

    :param anchor: what a `CaVerifier` returned.
    :param now: the time (aware) at which certificates must be valid.
    :param ra_certificates: the RA certificates, known to the caller from somewhere safe: those of
        them that are offered are the only RAs, whoever issued them.  With none in it, there is no
        RA.  None: by the rule above.
    :param others: certificates that the caller vouches for as well, such as that of the CA's last
        generation.  They play no part in a conversation, and nothing is encrypted to them; but
        certificates and CRLs that the CAs among them have issued are the CA's too.
    :raises TrustError: the anchor is not a certificate, has nothing to do with the offer or cannot
        be used; a certificate that is needed is out of date; or there is none to encrypt to.
    """
    top = anchor_link(anchor_facts(offer, anchor))
    offered = [Facts(item) for item in dict.fromkeys(offer.certificates) if item != anchor]
    links, faults = grow([top], offered, now)
    ras, refused = find_ras(offer, top, links, ra_certificates)
    if anchor not in offer.certificates and {*links.values(), *ras} == {top}:
        raise offer.refusal(
            f"no certificate offered was issued by {title(anchor)}, which is trusted and is not "
            "offered itself"
        )
    authorities = [link for link in links.values() if link.may_issue]
    ca, recipient = find_leads(top, ras, authorities, now)
    for link in (top, recipient, ca):
        # Who is late is not silently replaced by another.
        if late := link.out_of_date(now):
            raise offer.refusal(late, hint=_CLOCK_HINT)
    check_recipient(offer, recipient, refused)
    in_date = [link for link in ras if not link.out_of_date(now)]
    cas = [link for link in authorities if not link.out_of_date(now)]
    cas.sort(key=lambda link: (link.certificate not in ca.path(), -link.depth))
    trusted = tuple(dict.fromkeys(link.certificate for link in (*in_date, *cas)))
    faults.update((item, link.out_of_date(now)) for item, link in links.items())
    faults.update((link.certificate, reason) for link, reason in refused)
    certain = tuple(
        link.certificate
        for link in in_date
        if link is top or link.certificate in (ra_certificates or ()) or says_ra(link.facts)
    )
    return CaCertificates(
        anchor=anchor,
        certificates=trusted,
        ca=ca.certificate,
        recipient=recipient.certificate,
        signers=trusted,
        rollover_signers=tuple(dict.fromkeys((*ca.path(), *certain))),
        ignored=_ignored(offered, trusted, faults),
        notes=tuple(notes_on(top, recipient, in_date, certain)),
        _links=tuple(cas),
        _others=tuple(
            link
            for link in (anchor_link(Facts(one)) for one in others if one not in trusted)
            if link.may_issue and not link.facts.problem and not link.out_of_date(now)
        ),
    )


def _ignored(
    offered: Sequence[Facts],
    trusted: Sequence[x509.Certificate],
    faults: dict[x509.Certificate, str],
) -> tuple[IgnoredCertificate, ...]:
    return tuple(
        IgnoredCertificate(
            facts.certificate,
            faults.get(facts.certificate, "its issuer is not a CA that is trusted here"),
        )
        for facts in offered
        if facts.certificate not in trusted
    )


# ------------------------------------------------------------------ what was issued


def verify_issued(
    certificate: x509.Certificate,
    ca: CaCertificates,
    now: datetime,
    *,
    extra: Sequence[x509.Certificate] = (),
) -> IssuedChain:
    """Verify that a certificate was issued by an authenticated CA (G16).

    Whose key is in it is for the caller to compare.

    :param now: the time (aware) at which the issuers must be valid.  The certificate itself need
        not be: a clock that is some minutes slow is common where certificates are fetched for
        the first time, and only yields a warning.
    :param extra: certificates that came beside it, in any order; those that hang below the anchor
        may stand between.
    :raises TrustError: it does not hang below the anchor, or an issuer is out of date.
    """
    facts = Facts(certificate)
    found = _issuers(facts, ca, extra, now)
    faults = [link.out_of_date(now) for link in found]
    if "" not in faults:
        raise TrustError(
            f"{title(certificate)} cannot be verified: {faults[0]}",
            fingerprints=(fingerprint(certificate),),
            hint=_CLOCK_HINT,
        )
    warnings = [facts.out_of_date(now)]
    if facts.is_ca:
        warnings.append(f"{title(certificate)} is itself the certificate of a CA")
    return IssuedChain(chain=found[faults.index("")].path(), warnings=tuple(filter(None, warnings)))


def _issuers(
    child: Facts,
    ca: CaCertificates,
    extra: Sequence[x509.Certificate],
    now: datetime | None,
) -> list[Link]:
    """The links that signed the certificate, at least one, the nearest to the anchor first."""
    certificate = child.certificate
    reason = "no authenticated CA certificate has the name of its issuer"
    if not ca.issues:
        reason = (
            f"the trusted certificate, {title(ca.anchor)}, is not a CA's; pin the CA's certificate"
        )
    if len(extra) > MAX_CERTIFICATES:
        raise TrustError(
            f"{len(extra)} certificates came beside {title(certificate)}, expected at most "
            f"{MAX_CERTIFICATES}"
        )
    # It is among them itself, and a comparison by content takes 3 microseconds.
    others = [item for item in extra if item is not certificate and item != certificate]
    beside = [Facts(item) for item in dict.fromkeys(others)]
    found: list[Link] = []
    for start in (ca._links, ca._others):
        for link in grow(start, beside, now)[0].values() if beside else start:
            if link.may_issue and link.facts.subject == child.issuer:
                if fault := hang_fault(child, link):
                    reason = fault
                else:
                    found.append(link)
        if found:
            break
    else:
        raise TrustError(
            f"{title(certificate)} was not issued by the CA that is trusted here "
            f"({title(ca.ca)}): {reason}",
            fingerprints=(fingerprint(certificate),),
            hint=f"nothing was stored; either {ROLLED_OVER}, or somebody else has answered in its "
            "place",
        )
    found.sort(key=lambda link: link.depth)
    return found
