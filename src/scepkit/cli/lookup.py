"""`scepkit cert`, `scepkit crl` and `scepkit next-ca`: what a CA can be asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option, together
from scepkit.cli.connect import has_trust, open_client
from scepkit.cli.options import (
    TRUST,
    challenge_options,
    http_options,
    key_password_option,
    out_options,
    profile_option,
    protocol_options,
    require_option,
    trust_options,
)
from scepkit.cli.output import Output, check_target
from scepkit.cli.passwords import Challenge, only_one_from_stdin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from scepkit.client import Client
    from scepkit.core.enrolment import Requester
    from scepkit.core.trust import CaVerifier

_identity_options = together(
    option("--cert", metavar="FILE", section="Signer",
           help="Ask as the owner of this certificate. Without it a self-signed one is made, "
                "which some CAs refuse. Unless a trust option says otherwise, the CA certificates "
                "in chain.pem beside it are trusted."),
    option("--key", metavar="FILE", section="Signer",
           help="The key of --cert, when it is not in the same file."),
    key_password_option,
    challenge_options,
)  # fmt: skip

_next_ca_options = together(
    option("--next-ca-fingerprint", metavar="ALGORITHM:HEX", section="Next CA (one of these)",
           help="Take only the next CA certificate with this fingerprint. Needed where the present "
                "CA's signature does not cover it."),
    option("--next-ca-cert", metavar="FILE", section="Next CA (one of these)",
           help="The same, with the next CA's certificate in FILE, or with one above it."),
)  # fmt: skip


@command(
    "cert",
    example="""
scepkit cert http://scep.example.com/scep 1f3a09 --cert cert.pem --key key.pem \\
    --ca-cert ca.pem --out found.pem
""",
)
@click.argument("url")
@click.argument("serial")
@_identity_options
@trust_options
@out_options
@protocol_options
@http_options
def cert(out: Output, /, url: str, serial: str, **options: Any) -> None:  # fmt: skip
    """Fetch an issued certificate by its serial number.

    SERIAL is hexadecimal as scepkit, openssl and browsers show it, with or without 0x and colons;
    a decimal one is written dec:1234. The answer is verified like an enrolment's.
    """
    number = read_serial(serial)
    only_one_from_stdin(options)
    check_target(options["out"], binary=options["outform"] == "der")
    from cryptography.hazmat.primitives.serialization import Encoding

    from scepkit.cli.describe import certificate_values

    secret = Challenge(out, options)
    requester = _requester(out, options)
    with open_client(out, url, options, trust=_trust(out, requester.chain, options)) as client:
        found, chain = client.get_certificate(
            number, requester, profile=options["profile"], challenge=secret.get()
        )
    binary = options["outform"] == "der"
    data = found.public_bytes(Encoding.DER if binary else Encoding.PEM)
    values = {
        "certificate": certificate_values(found),
        "chain": [certificate_values(one) for one in chain],
    }
    out.document(data, options["out"], binary=binary, values=values)


@command(
    "crl",
    example="""
scepkit crl http://scep.example.com/scep --cert cert.pem --key key.pem --ca-cert ca.pem \\
    --out ca.crl --outform der
""",
)
@click.argument("url")
@option(
    "--serial",
    metavar="SERIAL",
    section="Which",
    help="The serial number of the certificate whose CRL is wanted. Default: that of --cert, "
    "else the CA's own.",
)
@_identity_options
@trust_options
@out_options
@protocol_options
@http_options
def crl(out: Output, /, url: str, serial: str | None, **options: Any) -> None:  # fmt: skip
    """Fetch the CRL that covers a certificate.

    Where a certificate names a CRL distribution point, fetching it from there is the better way
    (RFC 8894 section 2.7). The CRL's signature is verified, and it must be complete: a delta CRL is
    refused. One that is out of date or covers only a part is written with a warning. `scepkit crl
    make` and `scepkit crl show` are for who runs a CA.
    """
    number = None if serial is None else read_serial(serial)
    only_one_from_stdin(options)
    check_target(options["out"], binary=options["outform"] == "der")
    from cryptography.hazmat.primitives.serialization import Encoding

    from scepkit.cli.describe import crl_values
    from scepkit.core.crl import crl_notes

    secret = Challenge(out, options)
    requester = _requester(out, options)
    with open_client(out, url, options, trust=_trust(out, requester.chain, options)) as client:
        if number is None:
            number = _own_serial(client, requester, options)
        found = client.get_crl(
            number, requester, profile=options["profile"], challenge=secret.get()
        )
    binary = options["outform"] == "der"
    data = found.public_bytes(Encoding.DER if binary else Encoding.PEM)
    # The client has said them on stderr.
    values = {"crl": crl_values(found), "warnings": list(crl_notes(found, datetime.now(UTC)))}
    out.document(data, options["out"], binary=binary, values=values)


def _requester(out: Output, options: dict[str, Any]) -> Requester:
    from scepkit.cli.identity import KeyPassword, read_requester, throwaway_requester

    if options["cert"] is None:
        if options["key"] is not None:
            raise click.UsageError("--key needs --cert")
        out.step("asking with a new key and a self-signed certificate")
        return throwaway_requester()
    passwords = KeyPassword(out, options["key_password_file"])
    return read_requester(passwords, options["cert"], options["key"])


def _trust(
    out: Output, beside: Iterable[x509.Certificate], options: dict[str, Any]
) -> CaVerifier | None:
    """The CAs above the certificate of ``--cert``, where the options name none."""
    if has_trust(options) or options["cert"] is None:
        return None
    from scepkit.cli.identity import chain_beside, trust_of_chain

    return trust_of_chain(out, beside, chain_beside(options["cert"]))


def _own_serial(client: Client, requester: Requester, options: dict[str, Any]) -> int:
    from scepkit.core.certificates import view_of

    if options["cert"] is not None:
        return view_of(requester.certificate).serial_number
    return view_of(client.get_ca_certificates(options["profile"]).ca).serial_number


@command(
    "next-ca",
    example="""
scepkit next-ca http://scep.example.com/scep --ca-cert ca.pem --out next-ca.pem
""",
)
@click.argument("url")
@profile_option
@require_option
@trust_options
@option(
    "--cert",
    metavar="FILE",
    section=TRUST,
    help="Trust the CA certificates in chain.pem beside this certificate of your own, or in it.",
)
@_next_ca_options
@out_options
@http_options
def next_ca(out: Output, /, url: str, profile: str | None, **options: Any) -> None:
    """Fetch the CA's next certificate before a rollover.

    The present CA vouches for it with its signature, so it can be trusted as soon as it is valid
    (RFC 8894 section 4.7). Some servers, jscep's for one, send it where that signature does not
    cover it; then say with --next-ca-fingerprint or --next-ca-cert which one it is. Exit code 4
    when the CA does not offer one.
    """
    binary = options["outform"] == "der"
    only_one_from_stdin(options)
    check_target(options["out"], binary=binary)
    from cryptography.hazmat.primitives.serialization import Encoding

    from scepkit.cli.describe import certificate_values, pem_bundle
    from scepkit.cli.identity import read_certificates
    from scepkit.core.trust import CaOffer

    verifier = _next_ca_verifier(options)
    beside = read_certificates(options["cert"]) if options["cert"] is not None else ()
    with open_client(out, url, options, trust=_trust(out, beside, options)) as client:
        found = client.get_next_ca_certificates(profile, verifier=verifier)
        if verifier is not None:
            # Whoever says which one expects no other, also where a signature would do.
            verifier(CaOffer(client.url, profile, found))
    if binary and len(found) > 1:
        out.warn(f"only the first of {len(found)} certificates is written; use --outform pem")
    data = found[0].public_bytes(Encoding.DER) if binary else pem_bundle(found)
    values = {"certificates": [certificate_values(one) for one in found]}
    out.document(data, options["out"], binary=binary, values=values)


def _next_ca_verifier(options: dict[str, Any]) -> CaVerifier | None:
    fingerprint, path = options["next_ca_fingerprint"], options["next_ca_cert"]
    if fingerprint and path:
        raise click.UsageError("--next-ca-fingerprint and --next-ca-cert: give only one of them")
    from scepkit.core.trust import Fingerprint, PinnedCertificate

    if fingerprint:
        return Fingerprint(fingerprint)
    if path:
        from scepkit.cli.identity import read_certificates

        return PinnedCertificate(*read_certificates(path))
    return None


def read_serial(text: str) -> int:
    """A serial number as it is typed: hexadecimal, or decimal after ``dec:``.

    Raises:
        click.UsageError: it is neither.
    """
    kind, colon, digits = text.partition(":")
    try:
        if colon and kind.lower() == "dec":
            return int(digits)
        return int(text.replace(":", "").replace(" ", ""), 16)
    except ValueError:
        raise click.UsageError(
            f"{text!r} is not a serial number; expected hex digits, or dec: and decimal ones, as "
            "`openssl x509 -noout -serial` or, on the server, `scepkit certs list --search` show it"
        ) from None
