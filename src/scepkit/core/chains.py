"""Which certificate issued which: facts about certificates, and paths from an anchor downwards.

Rules of this file:

* A path grows from the anchor down.  A certificate joins it only when an issuer that is already in
  has signed it, so nobody else's key is ever used, a ring of cross-signed certificates ends by
  itself, and a pile of impostors with a CA's name costs one failed check each.
* A foreign certificate is read once, into `Facts`; whatever is wrong with it becomes the text
  `Facts.problem` and harms no other certificate.
* Nothing is said here about SCEP: roles are in `ca_certificates`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import asn1
from scepkit.core.algorithms import Digest, signature_digest
from scepkit.core.certificates import UNREADABLE, CertificateView, view_of
from scepkit.core.shown import one_line, shown_time, title
from scepkit.core.signed import verify_signature

#: Sizes of RSA keys that are used, in bits: below, anybody with time has the private key; above,
#: a single check costs as much as a thousand ordinary ones (A24).
RSA_BITS = range(1024, 8192 + 1)

_BASIC_CONSTRAINTS = asn1.oid_der("2.5.29.19")
#: What follows that in an empty extension, critical or not.
_EMPTY = (b"\x04\x02\x30\x00", b"\x01\x01\xff\x04\x02\x30\x00")
#: pathLenConstraint of a CA that has none.
_UNLIMITED = 1 << 30

#: Extensions that may be critical (RFC 5280 section 4.2).  Those that speak of names, policies and
#: revocation are nothing that decides who may answer for a CA in SCEP.
_UNDERSTOOD = frozenset(
    {
        "2.5.29.14",  # subjectKeyIdentifier
        "2.5.29.15",  # keyUsage
        "2.5.29.17",  # subjectAltName
        "2.5.29.18",  # issuerAltName
        "2.5.29.19",  # basicConstraints
        "2.5.29.30",  # nameConstraints
        "2.5.29.31",  # cRLDistributionPoints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.35",  # authorityKeyIdentifier: critical on Windows (Q30)
        "2.5.29.36",  # policyConstraints
        "2.5.29.37",  # extendedKeyUsage
        "2.5.29.54",  # inhibitAnyPolicy
        "1.3.6.1.5.5.7.1.1",  # authorityInfoAccess
        "2.16.840.1.113730.1.1",  # Netscape's certificate type
    }
)


class Facts:
    """What decides about a certificate, read once.

    Attributes:
        certificate: the certificate.
        subject, issuer, spki: the names and the SubjectPublicKeyInfo, DER.
        validity: the first and the last moment, or None when they cannot be read.
    """

    __slots__ = (
        "_more",
        "_unreadable",
        "_view",
        "certificate",
        "issuer",
        "spki",
        "subject",
        "validity",
    )

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.subject = self.issuer = self.spki = b""
        self.validity: tuple[datetime, datetime] | None = None
        self._unreadable = ""
        self._view: CertificateView | None = None
        self._more: _More | None = None
        try:
            self._view = view = view_of(certificate)
            self.subject, self.issuer, self.spki = view.subject, view.issuer, view.spki
            self.validity = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        except UNREADABLE as exc:
            self._unreadable = f"it cannot be read: {one_line(exc)}"

    @property
    def view(self) -> CertificateView:
        """The certificate as CMS sees it.

        :raises DecodeError: it cannot be read.
        """
        return self._view or view_of(self.certificate)

    def _look(self) -> _More:
        """What takes longer to read than the rest together, and is not always wanted."""
        more = self._more
        if more is None:
            more = self._more = _More(self.certificate)
        return more

    @property
    def problem(self) -> str:
        """Why the certificate cannot be used at all, or ""."""
        return self._unreadable or self._look().problem

    @property
    def basic_constraints(self) -> x509.BasicConstraints | None:
        """The extension, or None."""
        return self._look().basic_constraints

    @property
    def key_usage(self) -> x509.KeyUsage | None:
        """The extension, or None."""
        return self._look().key_usage

    @property
    def purposes(self) -> frozenset[str] | None:
        """Dotted OIDs of the extended key usage, or None without that extension."""
        return self._look().purposes

    @property
    def rsa(self) -> bool:
        """Whether the key is an RSA key."""
        return self._look().rsa

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject == self.issuer

    @property
    def is_ca(self) -> bool:
        """Whether it says that it is a CA and may sign certificates."""
        if self._view is None or _says_no_ca(self._view.der):
            return False
        constraints, usage = self.basic_constraints, self.key_usage
        return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)

    @property
    def is_ca_as_anchor(self) -> bool:
        """`is_ca`, and also the self-signed roots older than basicConstraints.

        Only for a certificate that the caller vouched for: the word of such a certificate about
        itself is worth nothing (RFC 5280 section 6.1.4 (k)).
        """
        if self.basic_constraints is not None or not self.self_issued:
            return self.is_ca
        return self.key_usage is None or self.key_usage.key_cert_sign

    @property
    def path_length(self) -> int:
        """How many CAs may stand below this one."""
        constraints = self.basic_constraints
        if constraints is None or constraints.path_length is None:
            return _UNLIMITED
        return constraints.path_length

    def out_of_date(self, now: datetime) -> str:
        """Why it is not valid `now`, as a sentence that shows both, or ""."""
        if self.validity is None:
            return f"the validity of {title(self.certificate)} cannot be read"
        start, end = self.validity
        if start <= now <= end:
            return ""
        state = "is not valid yet" if now < start else "has expired"
        return (
            f"{title(self.certificate)} {state}: it is valid {self.shown_validity}, and this "
            f"machine's clock says {shown_time(now)}"
        )

    @property
    def shown_validity(self) -> str:
        """The validity for people."""
        if self.validity is None:
            return "(dates that cannot be read)"
        start, end = self.validity
        return f"from {shown_time(start)} to {shown_time(end)}"


def _says_no_ca(der: bytes) -> bool:
    """Whether a certificate's basicConstraints are absent or empty, as a device's are.

    To know that takes a fiftieth of the time that it takes to read the extensions.  The same bytes
    elsewhere in the certificate only make it say False.
    """
    at = der.find(_BASIC_CONSTRAINTS)
    if at < 0:
        return True
    after = at + len(_BASIC_CONSTRAINTS)
    return der.startswith(_EMPTY, after) and _BASIC_CONSTRAINTS not in der[after:]


class _More:
    """The extensions and the key of a certificate, and what is wrong with them."""

    __slots__ = ("basic_constraints", "key_usage", "problem", "purposes", "rsa")

    def __init__(self, certificate: x509.Certificate) -> None:
        self.basic_constraints: x509.BasicConstraints | None = None
        self.key_usage: x509.KeyUsage | None = None
        self.purposes: frozenset[str] | None = None
        self.rsa = False
        try:
            self.problem = self._read(certificate)
        except UNREADABLE as exc:
            self.problem = f"it cannot be read: {one_line(exc)}"

    def _read(self, certificate: x509.Certificate) -> str:
        for extension in certificate.extensions:
            match extension.value:
                case x509.BasicConstraints() as value:
                    self.basic_constraints = value
                case x509.KeyUsage() as value:
                    self.key_usage = value
                case x509.ExtendedKeyUsage() as value:
                    self.purposes = frozenset(purpose.dotted_string for purpose in value)
            oid = extension.oid.dotted_string
            if extension.critical and oid not in _UNDERSTOOD:
                return f"it has a critical extension that is not understood here ({oid})"
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            self.rsa = True
            if key.key_size not in RSA_BITS:
                return (
                    f"its RSA key has {key.key_size} bits, expected {RSA_BITS.start} to "
                    f"{RSA_BITS.stop - 1}"
                )
        return ""


class Link:
    """A certificate with its issuer, and theirs, up to one that the caller vouched for.

    Attributes:
        facts: the certificate.
        issuer: the link above, None at the top.
        may_issue: whether certificates may hang below.
        allowed: how many CAs may stand below (RFC 5280 section 6.1.4 (l) and (m)).
        depth: the number of links above.
    """

    __slots__ = ("allowed", "depth", "facts", "issuer", "may_issue")

    def __init__(self, facts: Facts, issuer: Link | None, may_issue: bool) -> None:
        self.facts = facts
        self.issuer = issuer
        self.may_issue = may_issue
        self.allowed = facts.path_length
        self.depth = 0
        if issuer is not None:
            self.allowed = min(issuer.allowed - (not facts.self_issued), facts.path_length)
            self.depth = issuer.depth + 1

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate."""
        return self.facts.certificate

    def _upwards(self) -> Iterator[Link]:
        link: Link | None = self
        while link is not None:
            yield link
            link = link.issuer

    @property
    def repeats(self) -> bool:
        """Whether the same name and key are further up: a renewed or a cross-signed CA."""
        mine = (self.facts.subject, self.facts.spki)
        return any(
            (link.facts.subject, link.facts.spki) == mine
            for link in self._upwards()
            if link is not self
        )

    def path(self) -> tuple[x509.Certificate, ...]:
        """The certificates from this one up to the top, both included."""
        return tuple(link.certificate for link in self._upwards())

    def out_of_date(self, now: datetime) -> str:
        """Why one of the certificates up to the top is not valid `now`, or ""."""
        return next(filter(None, (link.facts.out_of_date(now) for link in self._upwards())), "")


def anchor_link(facts: Facts) -> Link:
    """The top of every path: a certificate that the caller vouched for."""
    return Link(facts, None, may_issue=facts.is_ca_as_anchor)


def grow(
    start: Iterable[Link], candidates: Iterable[Facts], now: datetime | None
) -> tuple[dict[x509.Certificate, Link], dict[x509.Certificate, str]]:
    """Find every candidate that was issued by way of `start`.

    Ways on which everything is valid `now` are taken first (None: dates do not matter); what can
    only be reached by others is there too, and its `Link.out_of_date` says so.

    :returns: the links of `start` and of what hangs below them, and for other candidates why not
        (only where there is more to say than that no issuer is known).
    """
    usable = []
    faults = {}
    for facts in candidates:
        if facts.problem:
            faults[facts.certificate] = facts.problem
        else:
            usable.append(facts)
    if now is None:
        return _descend(start, usable, faults), faults
    links = _descend(start, [facts for facts in usable if not facts.out_of_date(now)], faults)
    rest = [facts for facts in usable if facts.certificate not in links]
    return _descend(links.values(), rest, faults), faults


def _descend(
    start: Iterable[Link], candidates: Sequence[Facts], faults: dict[x509.Certificate, str]
) -> dict[x509.Certificate, Link]:
    waiting: dict[bytes, list[Facts]] = {}
    for facts in candidates:
        waiting.setdefault(facts.issuer, []).append(facts)
    links: dict[x509.Certificate, Link] = {}
    # The link that allows the longest paths below it goes first: then the first way found to a
    # certificate is the best one, and no pair of certificates is looked at twice.
    order = count()  # so that two links are never compared
    heap = [(-link.allowed, link.depth, next(order), link) for link in start]
    heapq.heapify(heap)
    while heap:
        link = heapq.heappop(heap)[-1]
        if link.certificate in links:
            continue
        links[link.certificate] = link
        for child in waiting.get(link.facts.subject, ()) if link.may_issue else ():
            if child.certificate in links:
                continue
            if fault := hang_fault(child, link):
                faults[child.certificate] = fault
                continue
            below = Link(child, link, may_issue=child.is_ca)
            heapq.heappush(heap, (-below.allowed, below.depth, next(order), below))
    return links


def hang_fault(child: Facts, above: Link) -> str:
    """Why the child may not hang below a link whose subject is its issuer, or ""."""
    if child.is_ca and not child.self_issued and above.allowed < 1:
        return (
            f"it is a CA below {title(above.certificate)}, whose path length does not allow one "
            "more"
        )
    return issue_fault(child, above.facts)


def issue_fault(child: Facts, issuer: Facts) -> str:
    """Why the issuer is not the one who signed the child, or "" when it is.

    SHA-1 is accepted: what it protects here is vouched for by an anchor, and old CAs have nothing
    better.  MD5 is not: certificates have been forged that way.
    """
    try:
        return _signature_fault(child, issuer)
    except InvalidSignature:
        return f"it was not signed with the key of {title(issuer.certificate)}"
    except UNREADABLE as exc:
        return f"its signature cannot be checked: {one_line(exc)}"


def _signature_fault(child: Facts, issuer: Facts) -> str:
    seen = child.view
    signed, algorithm, bits = asn1.read(asn1.CERTIFICATE, seen.der, "certificate")
    oid, parameters = asn1.split_algorithm(algorithm, "certificate's signature algorithm")
    digest = signature_digest(oid)
    if digest is Digest.MD5:
        return "it is signed with MD5, with which certificates can be forged"
    if digest is None or parameters not in _NO_PARAMETERS:
        child.certificate.verify_directly_issued_by(issuer.certificate)
        return ""
    # The same, which refuses SHA-1 and takes half as long again, because it prepares the key anew.
    if child.issuer != issuer.subject or algorithm != seen.inner_algorithm:
        raise InvalidSignature
    key = issuer.view.public_key()
    verify_signature(key, oid, asn1.content_of(bits)[1:], signed)
    return ""


_NO_PARAMETERS = frozenset({b"", asn1.NULL})
