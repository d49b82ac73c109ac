"""`scepkit ca`: a CA's certificates, what each is for, and their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.connect import (
    has_trust,
    open_client,
    read_preferences,
    read_trust,
    trust_nobody,
)
from scepkit.cli.options import http_options, profile_option, trust_options
from scepkit.cli.output import STDIO, Output, fields, write_text
from scepkit.cli.passwords import only_one_from_stdin

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.ca_certificates import CaCertificates
    from scepkit.core.trust import CaOffer

_EXAMPLE = """
scepkit ca http://scep.example.com/scep
scepkit ca http://scep.example.com/scep --ca-fingerprint sha256:2C:F2:...:24 --out ca.pem
"""

_ROLES = {
    "ca": "CA, issues certificates",
    "parent-ca": "CA",
    "ra-encryption": "RA encryption",
    "ra-signing": "RA signing",
}


@command("ca", example=_EXAMPLE)
@click.argument("url")
@profile_option
@trust_options
@option(
    "--out",
    metavar="FILE",
    section="Files",
    help="Write the certificates to FILE in PEM; `-` is stdout.",
)
@http_options
def ca(out: Output, /, url: str, profile: str | None, **options: Any) -> None:  # fmt: skip
    """Show a CA's certificates and their fingerprints.

    Asks the SCEP server at URL for its certificates (GetCACert) and shows subject, role, validity
    and fingerprints of each. Without one of the trust options nothing here is verified: compare a
    fingerprint with one that you have from the CA's operator before you use it.
    `scepkit ca rollover` is for who runs a CA.
    """
    if out.as_json and options["out"] == STDIO:
        raise click.UsageError("--json and --out - both want stdout")
    only_one_from_stdin(options)
    trusted = has_trust(options)
    offer, known = (_verified if trusted else _unverified)(out, url, profile, options)
    certificates = list(known.certificates if known is not None and trusted else offer.certificates)
    values = {
        "url": offer.url,
        "profile": profile,
        "verified": trusted,
        "fingerprint": f"sha256:{offer.fingerprint()}",
        "certificates": [_values(certificate, known) for certificate in certificates],
        "ignored": [
            {**_values(one.certificate, None), "reason": one.reason}
            for one in (known.ignored if known is not None else ())
        ],
    }
    if not trusted:
        out.warn("not verified; compare a fingerprint with one from the CA's operator")
    if options["out"] is not None:
        _write(out, options["out"], certificates, verified=trusted)
    if options["out"] != STDIO:
        out.result(values, lambda: _text(values))


def _verified(
    out: Output, url: str, profile: str | None, options: Mapping[str, Any]
) -> tuple[CaOffer, CaCertificates | None]:
    verifier = read_trust(out, options)
    seen: list[CaOffer] = []

    def trust(offer: CaOffer, /) -> x509.Certificate:
        seen.append(offer)
        return verifier(offer)

    with open_client(out, url, options, trust=trust) as client:
        known = client.get_ca_certificates(profile)
    return seen[0], known


def _unverified(
    out: Output, url: str, profile: str | None, options: Mapping[str, Any]
) -> tuple[CaOffer, CaCertificates | None]:
    """The offer, and the roles its certificates would have if it were believed."""
    from scepkit.core.ca_certificates import authenticate
    from scepkit.errors import TrustError

    with open_client(out, url, options, trust=trust_nobody) as client:
        offer = client.fetch_ca_offer(profile)
    named = read_preferences(options).ra_certificates
    try:
        known = authenticate(offer, offer.ca, datetime.now(UTC), ra_certificates=named)
    except TrustError as error:
        out.warn(f"even if this is the CA, nobody can enrol here: {error}")
        return offer, None
    # The client, which would say these, was not asked.
    for note in known.notes:
        out.warn(note)
    return offer, known


def _values(certificate: x509.Certificate, known: CaCertificates | None) -> dict[str, Any]:
    from scepkit.cli.describe import certificate_values

    return {**certificate_values(certificate), "roles": _roles(certificate, known)}


def _roles(certificate: x509.Certificate, known: CaCertificates | None) -> list[str]:
    from scepkit.cli.describe import is_ca, key_usage

    if known is None or certificate not in known.certificates:
        return []
    roles = []
    if is_ca(certificate):
        roles.append("ca" if certificate == known.ca else "parent-ca")
    else:
        usage = key_usage(certificate)
        if usage is None or usage.key_encipherment or certificate == known.recipient:
            roles.append("ra-encryption")
        if usage is None or usage.digital_signature:
            roles.append("ra-signing")
    return roles


def _text(values: dict[str, Any]) -> str:
    blocks = [fields(_lines(certificate, "")) for certificate in values["certificates"]]
    if values["verified"]:
        # Otherwise they are among the certificates: all of them are shown as they came.
        blocks += [fields(_lines(one, one["reason"])) for one in values["ignored"]]
    return "\n".join(blocks)


def _lines(values: dict[str, Any], ignored: str) -> list[tuple[str, str]]:
    from scepkit.cli.describe import certificate_lines, colons

    role = ", ".join(_ROLES[role] for role in values["roles"]) or "none"
    return [
        *certificate_lines(values),
        ("SHA-1", colons(values["sha1"])),
        ("role", f"none: {ignored}" if ignored else role),
    ]


def _write(out: Output, path: str, certificates: list[x509.Certificate], *, verified: bool) -> None:
    from scepkit.cli.describe import pem_bundle

    if path == STDIO:
        write_text(pem_bundle(certificates).decode("ascii"))
        return
    from scepkit.keys import write_file

    write_file(path, pem_bundle(certificates), force=True)
    out.note(f"wrote {path}" if verified else f"wrote {path}, unverified")
