"""Everything a server works with besides its database: made from the settings, replaced as a whole.

The rule of this file: frozen values.  A reload makes a new `Deployment`; requests under way keep
the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from scepkit.ca.profile import CertificateProfile
from scepkit.core.algorithms import Cipher, Digest
from scepkit.server.gate import Authorisers
from scepkit.server.naming import NamePatterns
from scepkit.server.pepper import Pepper
from scepkit.server.roles import Authority, CaRoles, Generation
from scepkit.server.webhook import Webhook

ALL_CIPHERS = frozenset(Cipher) - {Cipher.DES_CBC}
ALL_DIGESTS = frozenset(Digest) - {Digest.MD5}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedProfile:
    """A profile, ready to serve.

    Attributes:
        name: its name, which is in the URL.
        roles: whose keys answer.
        rules: what certificates contain, by generation of the CA (`Generation.ca_id`), because each
            generation's CRL has its own address.
        patterns: what names must look like.
        auth: who may enrol.
        ciphers, digests: what requests may be protected with; answers use the same.  Single DES is
            only ever read, and answered with AES.
        announce_post: whether clients are told that they can use POST.
        reply_certificates: "leaf", "issuer" or "chain".
        pending_for: how long a request waits for a person; None: for ever.
        max_pending: how many may wait.
        replay_window: how long a repeated request gets the same answer.
        notify: is told what became of requests.
        next_ca: the answer to GetNextCACert, or None.
    """

    name: str
    roles: CaRoles
    rules: Mapping[int, CertificateProfile]
    auth: Authorisers
    patterns: NamePatterns = field(default_factory=NamePatterns)
    ciphers: frozenset[Cipher] = ALL_CIPHERS
    digests: frozenset[Digest] = ALL_DIGESTS
    announce_post: bool = True
    reply_certificates: Literal["leaf", "issuer", "chain"] = "leaf"
    pending_for: timedelta | None = timedelta(days=30)
    max_pending: int = 1000
    replay_window: timedelta = timedelta(days=7)
    notify: Webhook | None = None
    next_ca: bytes | None = field(default=None, repr=False)

    def rules_for(self, generation: Generation) -> CertificateProfile:
        """What a certificate of this generation contains."""
        return self.rules[generation.ca_id]


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """All profiles and CAs of a server.

    Attributes:
        profiles: by name.
        authorities: the CAs, by name.
        pepper: the server's own secret.
    """

    profiles: Mapping[str, ServedProfile]
    authorities: Mapping[str, Authority]
    pepper: Pepper

    def generation(self, ca_id: int) -> Generation | None:
        """The generation with that row, of whichever CA."""
        for authority in self.authorities.values():
            if (found := authority.with_id(ca_id)) is not None:
                return found
        return None

    def labelled(self, label: str) -> Generation | None:
        """The generation with that label (``main``, ``main~2``)."""
        for authority in self.authorities.values():
            for generation in authority.generations:
                if generation.label == label:
                    return generation
        return None

    def close(self) -> None:
        """Give back connections, when the last request that was begun with it is answered."""
        for profile in self.profiles.values():
            for hook in (profile.notify, profile.auth.webhook):
                if hook is not None:
                    hook.close()


def with_openers_of(deployment: Deployment, coming: Deployment) -> Deployment:
    """The same, which can also open requests for the keys of another deployment.

    While a reload goes through the processes of a server, clients may have certificates of it from
    one process and send their request to another.
    """
    profiles = {}
    for name, profile in deployment.profiles.items():
        other = coming.profiles.get(name)
        roles = profile.roles
        if other is not None:
            known = {opener.key.certificate.der for opener in roles.openers}
            new = (one for one in other.roles.openers if one.key.certificate.der not in known)
            roles = replace(roles, openers=(*roles.openers, *new))
        profiles[name] = replace(profile, roles=roles)
    return replace(deployment, profiles=profiles)
