"""Whose keys do what: CAs and their generations, and those who speak for a CA.

Three roles, each with keys of its own if need be: the CA signs certificates, an RA decrypts
requests (with several keys, so that old ones can stay while requests made with them are under way),
an RA signs replies.  Without an RA the CA's own key does all three.

The rule of this file: what cannot work is refused when it is put together, with the reason, and the
reason is found by doing what a client would do with what GetCACert sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.ca import CaIssuer
from scepkit.core import cms
from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.certificates import CertificateView, PrivateKey, public_key_der, view_of
from scepkit.core.chains import Facts
from scepkit.core.envelope import DecryptionKey
from scepkit.core.shown import title
from scepkit.core.trust import CaOffer
from scepkit.errors import InputError, KeyUnavailable, TrustError
from scepkit.server import tokens
from scepkit.server.parsing import format_usage

#: What GetCACert sends: the CA's certificate; the RA's and the CA's; these and all above.
Offer = Literal["ca", "ra", "chain"]


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """One generation of a CA, as it is in the database.

    Attributes:
        ca_id: its row.
        name, number, status: CA's name, generation, "staged", "active" or "retired".
        certificate: the CA's certificate.
        chain: those above it, nearest first.
        issuer: signs with its key; None when the key is not to be had here and now.
        seen: the certificate as CMS sees it.
    """

    ca_id: int
    name: str
    number: int
    status: Literal["staged", "active", "retired"]
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    issuer: CaIssuer | None = field(repr=False)
    seen: CertificateView = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", view_of(self.certificate))

    @property
    def label(self) -> str:
        """``main`` for the first generation, ``main~2`` and so on for the others."""
        return self.name if self.number == 1 else f"{self.name}~{self.number}"


@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """A CA with all its generations, oldest first.

    Attributes:
        crl_lifetime: from thisUpdate to nextUpdate.
        crl_overlap: how long before nextUpdate the next CRL is made.
    """

    name: str
    generations: tuple[Generation, ...]
    crl_lifetime: timedelta = timedelta(days=7)
    crl_overlap: timedelta = timedelta(days=2)

    @property
    def active(self) -> Generation:
        """The generation that issues."""
        return next(one for one in self.generations if one.status == "active")

    @property
    def staged(self) -> Generation | None:
        """The generation that will issue next."""
        return next((one for one in self.generations if one.status == "staged"), None)

    def with_id(self, ca_id: int) -> Generation | None:
        """The generation with that row."""
        return next((one for one in self.generations if one.ca_id == ca_id), None)

    def named(self, issuer: bytes) -> tuple[Generation, ...]:
        """The generations whose Name (DER) this is."""
        return tuple(one for one in self.generations if one.seen.subject == issuer)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate of an RA and its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class RaKeys:
    """What an RA has: keys that decrypt, newest first, and one that signs."""

    decrypt: tuple[KeyPair, ...] = ()
    sign: KeyPair | None = None


@dataclass(frozen=True, slots=True)
class Opener:
    """A key that opens requests, and what follows from its being used.

    Attributes:
        key: the RSA key and the certificate that names it.
        signer: signs the answer.
        generation: the one to issue with; None: the active one (RFC 8894 section 5.1: a request
            enveloped to the next CA is for the next CA).
    """

    key: DecryptionKey
    signer: cms.Signer
    generation: Generation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CaRoles:
    """Who issues, decrypts and answers in a profile.

    Attributes:
        openers: newest first; empty when requests come by password.
        signer: signs answers where no opener says otherwise.
        offered: the certificates of GetCACert, in order.
        notes: sentences about what works but may surprise.
    """

    authority: Authority
    openers: tuple[Opener, ...]
    signer: cms.Signer
    offered: tuple[x509.Certificate, ...]
    notes: tuple[str, ...] = ()

    @property
    def decrypts(self) -> bool:
        """Whether an RSA key can decrypt requests."""
        return bool(self.openers)

    def require_tokens(self) -> None:
        """Before each refusal that a token may be the cause of; so it is no sign of one cause.

        :raises KeyUnavailable: a decryption key that lives in a token cannot be used now.
        """
        if not self.tokens_answer():
            raise KeyUnavailable("the key that decrypts requests cannot be used now")

    def tokens_answer(self) -> bool:
        """Whether the decryption keys that live in tokens can be used now."""
        keys = [one.key.key for one in self.openers]
        return all(tokens.can_decrypt(key) for key in keys if isinstance(key, tokens.GuardedKey))

    def tokens_sign(self) -> bool:
        """Whether the keys that sign answers and live in tokens can be used now."""
        keys = {id(one.key): one.key for one in (self.signer, *(x.signer for x in self.openers))}
        return all(tokens.can_sign(key) for key in keys.values() if tokens.is_in_token(key))


def make_roles(
    authority: Authority,
    ra: RaKeys | None = None,
    *,
    offer: Offer | Literal["auto"] = "auto",
    now: datetime,
    late: bool = False,
    by_password: bool = False,
    trial: bool = True,
) -> CaRoles:
    """Put the roles of a profile together.

    :param offer: what GetCACert sends; "auto": "ra" with an RA, "chain" for an intermediate whose
        chain is known, else "ca".
    :param late: certificates may be out of date, as long as all else is right.
    :param by_password: the profile knows secrets that requests may be encrypted with.
    :param trial: also use each key once.
    :raises InputError: it cannot work; the message says why, with all reasons.
    """
    active = authority.active
    ra = _announced(active, ra or RaKeys())
    if late:
        now = _in_date(active, ra, now)
    faults = list(_ca_faults(active, now))
    faults += _ra_faults(authority, ra, now)
    if faults:
        raise InputError("; ".join(faults))
    signing = ra.sign
    if signing is None:
        assert active.issuer is not None  # noqa: S101 - _ca_faults looked
        signer = cms.Signer(active.seen, active.issuer.key)
    else:
        signer = cms.Signer(view_of(signing.certificate), signing.key)
    openers = tuple(_openers(authority, ra, signer, answering_as_ca=signing is None))
    offered = _offered(active, ra, offer)
    faults = list(_offer_faults(authority, offered, openers, signer, now, by_password=by_password))
    if trial and not faults:
        faults += _trial_faults(openers, signer)
    if faults:
        raise InputError("; ".join(faults))
    return CaRoles(authority, openers, signer, offered, tuple(_notes(signer, openers)))


def _announced(active: Generation, ra: RaKeys) -> RaKeys:
    """The RA as it is now: first the pairs that the active generation issued, then the others.

    So that certificates of the next generation can be there before it is activated, and those of
    the last one after.
    """
    decrypt = sorted(ra.decrypt, key=lambda pair: not _issued_by(pair.certificate, active))
    sign = ra.sign
    if sign is not None and decrypt and not _issued_by(sign.certificate, active):
        sign = next((one for one in decrypt if _issued_by(one.certificate, active)), sign)
    return RaKeys(tuple(decrypt), sign or (decrypt[0] if decrypt else None))


def _in_date(active: Generation, ra: RaKeys, now: datetime) -> datetime:
    """The nearest moment at which the certificates in use are valid; `now` if there is none."""
    pairs = [*ra.decrypt[:1], *((ra.sign,) if ra.sign else ())]
    certificates = [active.certificate, *(pair.certificate for pair in pairs)]
    first = max(one.not_valid_before_utc for one in certificates)
    last = min(one.not_valid_after_utc for one in certificates)
    return min(max(now, first), last) if first <= last else now


# ------------------------------------------------------------------ what each may do


def _ca_faults(active: Generation, now: datetime) -> Iterable[str]:
    if active.issuer is None:
        yield f"the key of the CA {active.label} is not there"
    first, last = active.certificate.not_valid_before_utc, active.certificate.not_valid_after_utc
    if not first <= now <= last:
        yield (
            f"the certificate of the CA {active.label} is valid from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}, which today is not: set the clock, or stage and activate another"
        )


def _ra_faults(authority: Authority, ra: RaKeys, now: datetime) -> list[str]:
    faults = []
    pairs = [(pair, "decrypts", "key_encipherment") for pair in ra.decrypt]
    if ra.sign is not None:
        pairs.append((ra.sign, "signs replies", "digital_signature"))
    for pair, what, bit in pairs:
        name = f"the RA certificate {title(pair.certificate)!r}, which {what},"
        if public_key_der(pair.key.public_key()) != public_key_der(
            view_of(pair.certificate).public_key()
        ):
            faults.append(f"{name} does not belong to its key")
        if what == "decrypts" and not isinstance(pair.key, rsa.RSAPrivateKey):
            faults.append(f"{name} has no RSA key, and only RSA decrypts")
        if not any(_issued_by(pair.certificate, one) for one in authority.generations):
            faults.append(f"{name} was not issued by the CA {authority.name}")
        usage = Facts(pair.certificate).key_usage
        if usage is not None and not getattr(usage, bit):
            faults.append(f"{name} lacks the key usage {format_usage(bit)}")
    # An old decryption key may stay after its certificate: requests made with it are under way.
    for pair in {id(pair): pair for pair, *_ in pairs if pair not in ra.decrypt[1:]}.values():
        last = pair.certificate.not_valid_after_utc
        if not pair.certificate.not_valid_before_utc <= now <= last:
            faults.append(f"the RA certificate {title(pair.certificate)!r} is not valid today")
    return faults


def _issued_by(certificate: x509.Certificate, generation: Generation) -> bool:
    try:
        certificate.verify_directly_issued_by(generation.certificate)
    except Exception:  # `cryptography` raises five kinds here, and each of them means no
        return False
    return True


def _openers(
    authority: Authority, ra: RaKeys, signer: cms.Signer, *, answering_as_ca: bool
) -> Iterable[Opener]:
    seen_pairs = [(view_of(pair.certificate), pair) for pair in ra.decrypt]
    one_for_both = any(seen.der == signer.certificate.der for seen, _ in seen_pairs)
    for seen, pair in seen_pairs:
        # Who encrypted to an old certificate knows that one, and perhaps no newer one to check the
        # answer with.
        by_itself = one_for_both and may_sign(pair.certificate)
        answers = cms.Signer(seen, pair.key) if by_itself else signer
        yield Opener(DecryptionKey(seen, tokens.guarded(pair.key)), answers)
    if ra.decrypt:
        return
    # The active one first, then the next, then those before, for requests that are under way.
    order = {"active": 0, "staged": 1, "retired": 2}
    for one in sorted(authority.generations, key=lambda one: (order[one.status], -one.number)):
        if one.issuer is not None and isinstance(one.issuer.key, rsa.RSAPrivateKey):
            yield Opener(
                DecryptionKey(one.seen, tokens.guarded(one.issuer.key)),
                cms.Signer(one.seen, one.issuer.key) if answering_as_ca else signer,
                one if one.status == "staged" else None,
            )


def may_sign(certificate: x509.Certificate) -> bool:
    """Whether the key usage of a CA or an RA lets it sign replies."""
    usage = Facts(certificate).key_usage
    return usage is None or usage.digital_signature


# ------------------------------------------------------------------ what clients make of it


def _offered(
    active: Generation, ra: RaKeys, offer: Offer | Literal["auto"]
) -> tuple[x509.Certificate, ...]:
    has_ra = bool(ra.decrypt or ra.sign)
    if offer == "auto":
        offer = "ra" if has_ra else "chain" if active.chain else "ca"
    if offer == "ca":
        return (active.certificate,)
    agents = [pair.certificate for pair in (ra.sign, *ra.decrypt[:1]) if pair is not None]
    above = active.chain if offer == "chain" else ()
    return tuple(dict.fromkeys((*agents, active.certificate, *above)))


def _offer_faults(
    authority: Authority,
    offered: tuple[x509.Certificate, ...],
    openers: Sequence[Opener],
    signer: cms.Signer,
    now: datetime,
    *,
    by_password: bool,
) -> Iterable[str]:
    active = authority.active
    try:
        found = authenticate(CaOffer("", None, offered), active.certificate, now)
    except TrustError as exc:
        yield f"clients would refuse the certificates of GetCACert: {exc}"
        return
    recipient = view_of(found.recipient)
    if not any(one.key.certificate == recipient for one in openers):
        if openers:
            remedy = (
                "the certificate that signs must not allow encryption (`scepkit ra new --sign`)"
                if recipient == signer.certificate
                else "let GetCACert send the RA's (get_ca_cert = 'ra')"
            )
            yield (
                f"clients would encrypt to {title(found.recipient)!r}, but that is not a "
                f"certificate whose key decrypts: {remedy}"
            )
        elif not by_password:
            yield (
                f"nothing can decrypt requests: the key of {title(active.certificate)!r} is not "
                "RSA; configure an RA with an RSA key (decrypt)"
            )
    yield from _signer_faults(found, signer)
    usage = Facts(active.certificate).key_usage
    if signer.certificate == active.seen and usage is not None and not usage.digital_signature:
        yield (
            f"the key usage of {title(active.certificate)!r} lacks digitalSignature, so clients "
            "refuse its replies (RFC 8894 section 2.1.2): configure an RA"
        )
    if any(one.key.certificate == active.seen for one in openers) and not (
        usage is None or usage.key_encipherment
    ):
        yield (
            f"the key usage of {title(active.certificate)!r} lacks keyEncipherment, so clients do "
            "not encrypt to it (RFC 8894 section 2.1.2): configure an RA"
        )


def _signer_faults(found: CaCertificates, signer: cms.Signer) -> Iterable[str]:
    if not any(view_of(one) == signer.certificate for one in found.signers):
        reasons = [
            one.reason for one in found.ignored if view_of(one.certificate) == signer.certificate
        ]
        yield (
            "clients would not accept replies: the certificate that signs them "
            + (f"does not count, because {reasons[0]}" if reasons else "is not sent by GetCACert")
        )


def _trial_faults(openers: Sequence[Opener], signer: cms.Signer) -> Iterable[str]:
    """Use every key once: a token may forbid what its certificate promises."""
    for opener in openers:
        serial = opener.key.certificate.serial_number
        name = f"the key of the certificate with serial number {serial:x}"
        if not tokens.can_decrypt(opener.key.key):
            if tokens.can_decrypt(opener.key.key, oaep=True):
                yield f"{name} decrypts OAEP only, which most clients cannot send"
            else:
                yield f"{name} cannot decrypt"
    if not tokens.can_sign(signer.key):
        yield "the key that signs replies cannot sign"


def _notes(signer: cms.Signer, openers: Sequence[Opener]) -> Iterable[str]:
    if not isinstance(signer.key, rsa.RSAPrivateKey):
        yield "replies are signed with a key that is not RSA, which many clients cannot verify"
    if not openers:
        yield "requests can only be encrypted by password, which most clients cannot"
