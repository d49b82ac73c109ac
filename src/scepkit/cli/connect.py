"""From options to a client: whom to trust, how to speak, how to get there.

The rule of this file: every option is read and checked before the first byte leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.output import Output
from scepkit.cli.passwords import read_secret_file
from scepkit.cli.terminal import has_terminal, terminal

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.client import Client
    from scepkit.core.flows import Preferences
    from scepkit.core.trust import CaOffer, CaVerifier
    from scepkit.transport import HttpOptions, Transport

Options = Mapping[str, Any]


def open_client(
    out: Output, url: str, options: Options, *, trust: CaVerifier | None = None
) -> Client:
    """A client for the service at `url`, as the options say.

    Args:
        out: where steps are told.
        url: the address of the service.
        options: the values of `http_options`, `protocol_options` and `trust_options`, as far as
            the command has them.
        trust: the verifier, instead of the one in the options.

    Raises:
        ScepError: an option cannot be used.
        click.UsageError: two options exclude each other.
    """
    from scepkit.client import Client

    verifier = trust or read_trust(out, options)
    preferences = read_preferences(options)
    transport = _transport(out, read_http_options(out, options))
    return Client(url, trust=verifier, transport=transport, preferences=preferences)


def _transport(out: Output, options: HttpOptions) -> Transport:
    from scepkit.transport import HttpTransport

    transport = HttpTransport(options)
    if out.verbosity < 2:
        return transport
    from scepkit.cli.tracing import Traced

    return Traced(transport)


# ------------------------------------------------------------------------------------ HTTP


def read_http_options(out: Output, options: Options) -> HttpOptions:
    """The HTTP options."""
    from scepkit.transport import HttpOptions

    certificate, key = options["tls_cert"], options["tls_key"]
    if key is not None and certificate is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    if options["tls_key_password_file"] is not None and certificate is None:
        raise click.UsageError("--tls-key-password-file needs --tls-cert")
    client = None
    if certificate is not None:
        from scepkit.cli.identity import read_tls_key_password

        client = (certificate, key, read_tls_key_password(out, options))
    return HttpOptions(
        timeout=options["timeout"],
        connect_timeout=min(10.0, options["timeout"]),
        proxy=options["proxy"],
        ca_bundle=options["tls_ca"],
        client_certificate=client,
        tls_host_name=options["tls_host_name"],
        basic_auth=basic_auth(options["basic_auth_file"]),
    )


def basic_auth(path: str | None) -> tuple[str, str] | None:
    """The user name and password in a file, for HTTP."""
    if path is None:
        return None
    from scepkit.cli.failures import Unfit

    user, colon, password = read_secret_file("--basic-auth-file", path).partition(":")
    if not colon:
        raise Unfit(
            f"--basic-auth-file {path}: there is no colon in it",
            hint="its only line is the user name, a colon and the password",
            path=path,
        )
    return user, password


# -------------------------------------------------------------------------------- protocol


def read_preferences(options: Options) -> Preferences:
    """The protocol options."""
    from scepkit.core.algorithms import KeyTransport, cipher_named, digest_named
    from scepkit.core.capabilities import Capability
    from scepkit.core.flows import Preferences

    cipher, digest, oaep = options.get("cipher"), options.get("digest"), options.get("oaep")
    return Preferences(
        cipher=cipher_named(cipher) if cipher else None,
        digest=digest_named(digest) if digest else None,
        key_transport=KeyTransport(f"rsa-oaep-{oaep}") if oaep else None,
        post=False if options.get("force_get") else None,
        accept_legacy_replies=bool(options.get("accept_legacy_replies")),
        required=frozenset(Capability(word) for word in options.get("require") or ()),
        ra_certificates=ra_certificates(options),
    )


def ra_certificates(options: Options) -> tuple[x509.Certificate, ...] | None:
    """The RA's certificates, () when it has no RA, None when nothing is said."""
    if "ra_certificates" in options:
        # A poll has the certificates themselves, from its file.
        stored: tuple[x509.Certificate, ...] | None = options["ra_certificates"]
        return stored
    paths = options.get("ra_certs", ())
    if options.get("no_ra"):
        if paths:
            raise click.UsageError("--ra-cert and --no-ra exclude each other")
        return ()
    return tuple(one for path in paths for one in _certificates(path)) or None


def _certificates(path: str) -> tuple[x509.Certificate, ...]:
    from scepkit.cli.identity import read_certificates

    return read_certificates(path)


def read_message_type(options: Options) -> bool | None:
    """Whether a RenewalReq is wanted; None when nothing is said."""
    wanted = options["message_type"]
    return None if wanted is None else wanted == "RenewalReq"


# ----------------------------------------------------------------------------------- trust


def has_trust(options: Options) -> bool:
    """Whether the options say whom to trust."""
    return bool(
        options["ca_fingerprint"] or options["ca_cert"] or options["insecure_trust_on_first_use"]
    )


def read_trust(out: Output, options: Options) -> CaVerifier:
    """The verifier that the options choose, or the person at the terminal, or nobody."""
    names = ("ca_fingerprint", "ca_cert", "insecure_trust_on_first_use")
    given = ["--" + name.replace("_", "-") for name in names if options[name]]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)}: give only one of them")
    from scepkit.core.trust import Fingerprint, InsecureTrustOnFirstUse, PinnedCertificate

    if options["ca_fingerprint"]:
        return Fingerprint(options["ca_fingerprint"])
    if options["ca_cert"]:
        return PinnedCertificate(*_certificates(options["ca_cert"]))
    if options["insecure_trust_on_first_use"]:
        out.warn("whoever answers is trusted; anyone on the path can be the CA")
        return InsecureTrustOnFirstUse()
    return ask_at_terminal if has_terminal(out) else trust_nobody


def ask_at_terminal(offer: CaOffer) -> x509.Certificate:
    """Let the person at the terminal compare the fingerprints."""
    from scepkit.verifiers import AskOnConsole

    with terminal() as streams:
        if streams is None:
            return trust_nobody(offer)
        reader, writer = streams
        return AskOnConsole(reader, writer)(offer)


def trust_nobody(offer: CaOffer) -> x509.Certificate:
    """Refuse, and say how to trust."""
    raise offer.refusal(
        "nothing says which CA to trust",
        hint=f"compare sha256:{offer.fingerprint()} with what the CA's operator says (`scepkit ca "
        f"{offer.url}` shows more), then give it with --ca-fingerprint",
    )
