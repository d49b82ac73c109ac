"""What a certificate is asked for with: names, usages and extensions from the command line.

The rule of this file: everything is read before a key is made or the network touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from scepkit.cli.connect import Options
from scepkit.cli.failures import Unfit
from scepkit.cli.passwords import read_input

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.certificates import PrivateKey
    from scepkit.core.csr import ParsedCsr

_LARGEST_CSR = 1024 * 1024
_USAGES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}


class Wanted(NamedTuple):
    """What the certificate is to say, or the request that says it."""

    subject: x509.Name | None = None
    san: tuple[x509.GeneralName, ...] = ()
    eku: tuple[x509.ObjectIdentifier, ...] = ()
    key_usage: x509.KeyUsage | None = None
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    csr: ParsedCsr | None = None

    def csr_for(self, key: PrivateKey, challenge: str | None) -> bytes:
        """The certificate request (DER), signed with `key` where it is made here."""
        from cryptography.hazmat.primitives.serialization import Encoding

        from scepkit.core.csr_builder import build_csr

        if self.csr is not None:
            return self.csr.der
        assert self.subject is not None
        return build_csr(
            key,
            self.subject,
            challenge=challenge,
            san=self.san,
            eku=self.eku,
            key_usage=self.key_usage,
            extensions=self.extensions,
        ).public_bytes(Encoding.DER)


def read_request_options(options: Options) -> Wanted:
    """Read the request options.

    Raises:
        InputError: a value is not what it should be.
        DecodeError: the file of ``--csr`` is not a request.
        click.UsageError: options are missing or exclude each other.
    """
    names = ("subject", "san", "eku", "key_usage", "extensions")
    if options["csr"] is not None:
        given = ["--" + name.removesuffix("s").replace("_", "-") for name in names if options[name]]
        if given:
            raise click.UsageError(f"--csr and {', '.join(given)} exclude each other")
        return Wanted(csr=read_csr_file(options["csr"]))
    if options["subject"] is None:
        raise click.UsageError("give --subject (it may be empty, where --san names it) or --csr")
    from scepkit.core.names import parse_eku, parse_san, parse_subject

    return Wanted(
        subject=parse_subject(options["subject"]),
        san=tuple(parse_san(text) for text in options["san"]),
        eku=tuple(parse_eku(text) for text in options["eku"]),
        key_usage=_key_usage(options["key_usage"]),
        extensions=tuple(_extension(text) for text in options["extensions"]),
    )


def read_csr_file(path: str) -> ParsedCsr:
    """Read a request that is made already; ``-`` is stdin.

    Raises:
        Unfit: it is not one, or too long.
        ScepError: it is not signed with the key in it.
        OSError: the file cannot be read.
    """
    from scepkit.core.csr import read_csr
    from scepkit.errors import DecodeError

    try:
        csr = read_csr(read_input(path, limit=_LARGEST_CSR))
    except DecodeError as error:
        raise Unfit(f"{path}: {error}", hint=error.hint, path=path) from None
    csr.check_signature()
    return csr


def _key_usage(text: str | None) -> x509.KeyUsage | None:
    if text is None:
        return None
    from cryptography import x509

    known = {name.lower(): field for name, field in _USAGES.items()}
    wanted = set()
    for name in text.replace(",", " ").split():
        if name.lower() not in known:
            raise click.UsageError(f"--key-usage: {name!r} is none of {', '.join(_USAGES)}")
        wanted.add(known[name.lower()])
    try:
        return x509.KeyUsage(**{field: field in wanted for field in _USAGES.values()})
    except ValueError:
        # The only rule `cryptography` has here.
        raise click.UsageError(
            "--key-usage: encipherOnly and decipherOnly need keyAgreement"
        ) from None


def _extension(text: str) -> tuple[x509.ExtensionType, bool]:
    from cryptography import x509

    from scepkit.core.names import parse_oid

    oid, _, rest = text.partition(":")
    critical = rest.lower().startswith("critical:")
    digits = rest[len("critical:") :] if critical else rest
    try:
        value = bytes.fromhex(digits.replace(":", ""))
    except ValueError:
        value = b""
    if not value:
        raise click.UsageError(f"--extension {text}: expected OID:HEX or OID:critical:HEX")
    return x509.UnrecognizedExtension(parse_oid(oid), value), critical
