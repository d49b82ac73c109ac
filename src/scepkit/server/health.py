"""Can this server answer, and how is it doing: for `/readyz` and `/metrics`.

The rule of this file: it looks at the database and at what is served, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509

from scepkit.core.shown import title
from scepkit.server.deployment import Deployment
from scepkit.server.metrics import Gauge
from scepkit.server.roles import Generation
from scepkit.server.service import ScepService
from scepkit.store import crls, operations, outbox
from scepkit.store.rows import milliseconds, moment


class ServiceHealth:
    """The health of one service."""

    def __init__(self, service: ScepService) -> None:
        self._service = service

    def not_ready(self, now: datetime) -> tuple[str, ...]:
        """Why requests cannot be answered now: short sentences; none when they can.

        :raises StoreError: the database cannot be used, or is not of this version.
        """
        deployment = self._service.deployment
        self._service.store.check_schema()
        self._service.store.check_writable(milliseconds(now))
        late = late_profiles(deployment, now)
        return (
            # Where some profiles can work, no machine is to be taken out for the others.
            *(late.values() if len(late) == len(deployment.profiles) else ()),
            *_key_faults(deployment),
            *(
                fault
                for generation in _with_crls(deployment, now)
                if (fault := self._crl_fault(generation, now))
            ),
        )

    def impaired(self, now: datetime) -> tuple[str, ...]:
        """What cannot be done now, though the rest can: short sentences."""
        return tuple(late_profiles(self._service.deployment, now).values())

    def _crl_fault(self, generation: Generation, now: datetime) -> str:
        newest = self._next_update(generation)
        if newest is None:
            return f"there is no CRL of {generation.label} yet"
        if newest <= now:
            return f"the CRL of {generation.label} has expired"
        return ""

    def _next_update(self, generation: Generation) -> datetime | None:
        crl = self._service.store.read(lambda tx: crls.newest_without_der(tx, generation.ca_id))
        return None if crl is None else moment(crl.next_update)

    def gauges(self, now: datetime) -> tuple[Gauge, ...]:
        """Numbers of the database and of the certificates in use; times in Unix seconds.

        :raises StoreError: the database cannot be used.
        """
        return (*self._queues(now), *self._certificates(now))

    def _queues(self, now: datetime) -> Iterator[Gauge]:
        waiting = self._service.store.read(operations.waiting)
        backlog = self._service.store.read(outbox.backlog)
        yield Gauge("scep_pending", "Requests that wait for a person.", waiting.count)
        yield Gauge(
            "scep_pending_oldest_seconds",
            "How long the oldest of them has waited.",
            _age(waiting.oldest, now),
        )
        unfinished = self._service.store.read(
            lambda tx: operations.unfinished(tx, milliseconds(now))
        )
        yield Gauge(
            "scep_unfinished",
            "Allowed requests whose certificate nobody is signing now.",
            unfinished,
        )
        yield Gauge("scep_outbox_pending", "Notices that are not delivered yet.", backlog.waiting)
        yield Gauge(
            "scep_outbox_lag_seconds",
            "How long the oldest of them has waited.",
            _age(backlog.oldest, now),
        )
        yield Gauge("scep_outbox_dead", "Notices that were given up.", backlog.dead)

    def _certificates(self, now: datetime) -> Iterator[Gauge]:
        deployment = self._service.deployment
        for authority in deployment.authorities.values():
            for generation in authority.generations:
                yield Gauge(
                    "scep_ca_certificate_not_after_seconds",
                    "When the certificate of the CA ends.",
                    generation.certificate.not_valid_after_utc.timestamp(),
                    {"ca": generation.label, "status": generation.status},
                )
        for generation in _with_crls(deployment, now):
            if (newest := self._next_update(generation)) is not None:
                yield Gauge(
                    "scep_crl_next_update_seconds",
                    "When the newest CRL ends.",
                    newest.timestamp(),
                    {"ca": generation.label},
                )
        late = late_profiles(deployment, now)
        for name in deployment.profiles:
            yield Gauge(
                "scep_profile_in_date",
                "Whether the certificates of the profile's CA and RA are valid now.",
                float(name not in late),
                {"profile": name},
            )
        for name, not_after in _agents(deployment):
            yield Gauge(
                "scep_ra_certificate_not_after_seconds",
                "When the RA certificate that ends first does.",
                not_after.timestamp(),
                {"profile": name},
            )


def late_profiles(deployment: Deployment, now: datetime) -> dict[str, str]:
    """The profiles that can issue nothing now, each with the certificate that is out of date."""
    found = {}
    for name, profile in deployment.profiles.items():
        active = profile.roles.authority.active
        agents = [one for one in profile.roles.offered if not _is_ca(one)]
        for what, one in (("the CA", active.certificate), *(("the RA", one) for one in agents)):
            if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
                state = "has expired" if one.not_valid_after_utc < now else "is not valid yet"
                found[name] = f"profile {name}: the certificate of {what} {title(one)} {state}"
                break
    return found


def _key_faults(deployment: Deployment) -> Iterator[str]:
    for name, profile in deployment.profiles.items():
        if not (profile.roles.tokens_answer() and profile.roles.tokens_sign()):
            yield f"a key of the profile {name} does not answer"


def _with_crls(deployment: Deployment, now: datetime) -> Iterator[Generation]:
    """The generations whose CRL is made here."""
    for authority in deployment.authorities.values():
        for generation in authority.generations:
            certificate = generation.certificate
            if (
                generation.issuer is not None
                and generation.status != "staged"
                and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
            ):
                yield generation


def _agents(deployment: Deployment) -> Iterator[tuple[str, datetime]]:
    """For each profile with an RA, when the first of the certificates it announces ends."""
    for name, profile in deployment.profiles.items():
        ends = [
            certificate.not_valid_after_utc
            for certificate in profile.roles.offered
            if not _is_ca(certificate)
        ]
        if ends:
            yield name, min(ends)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _age(since: int | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (milliseconds(now) - since) / 1000)
