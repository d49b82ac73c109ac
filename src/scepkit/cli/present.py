"""`scepkit enrol` where there is a certificate already.

The rule of this file: "nothing to do" is said of a certificate that is what the command asks for,
and of no other; that one is never touched.  A PKCS #12 file beside it that is missing, or is still
that of the certificate before, is written.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scepkit.cli.connect import Options, read_trust
from scepkit.cli.describe import (
    alternative_names,
    certificate_lines,
    certificate_values,
    key_type,
    rfc3339,
    subject_text,
)
from scepkit.cli.destination import Destination
from scepkit.cli.failures import ExitCode, Unfit
from scepkit.cli.identity import (
    P12_VARIABLE,
    KeyPassword,
    read_certificates,
    read_p12_password,
)
from scepkit.cli.output import Output, fields
from scepkit.cli.passwords import file_password, read_input
from scepkit.cli.request import Wanted
from scepkit.core.certificates import view_of
from scepkit.core.sentnames import same_name
from scepkit.errors import KeyLoadError, TrustError
from scepkit.keys import load_certificates, parse_key_spec
from scepkit.keys.loading import MAX_FILE

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.certificates import PrivateKey


def nothing_to_do(
    out: Output,
    destination: Destination,
    wanted: Wanted,
    passwords: KeyPassword,
    options: Options,
) -> ExitCode:
    """Say that the certificate is there.

    Raises:
        Unfit: it is not what is asked for: it is for another subject or key, lacks a name, has
            expired, is of another CA than the options pin; or a file beside it is missing.
        KeyLoadError: its key or itself cannot be read.
        OSError: the same.
    """
    path = destination.certificate
    certificate = read_certificates(path)[0]
    if not os.path.lexists(destination.key):
        raise _other(path, f"its key, {destination.key}, does not")
    key = passwords.read_key(destination.key)
    for difference in _differences(certificate, key, wanted, options):
        raise _other(path, difference)
    other_ca = _other_ca(out, destination.chain, options)
    if other_ca is not None:
        raise _other(path, other_ca)
    return tell_present(out, destination, key, options["p12"], options)


def tell_present(
    out: Output,
    destination: Destination,
    key: PrivateKey,
    p12: str | None,
    options: Options,
) -> ExitCode:
    """Say what is in place; write the PKCS #12 file if an earlier run has not (`complete_p12`).

    Raises:
        KeyLoadError: a file cannot be read.
        OSError: the same, or the PKCS #12 file cannot be written.
    """
    path = destination.certificate
    certificate = read_certificates(path)[0]
    chain_path = destination.chain
    chain = _chain_in(chain_path)
    complete_p12(out, p12, key, certificate, chain_path, options)
    files = {
        "key": destination.key,
        "certificate": path,
        "chain": chain_path if chain else None,
        "p12": p12,
    }
    values = {
        "status": "present",
        "certificate": certificate_values(certificate),
        "chain": [certificate_values(one) for one in chain],
        "files": files,
    }
    lines = [
        ("status", "nothing to do"),
        *certificate_lines(certificate_values(certificate)),
        *(("file", name) for name in files.values() if name is not None),
    ]
    out.result(values, lambda: fields(lines))
    return ExitCode.DONE


def complete_p12(
    out: Output,
    p12: str | None,
    key: PrivateKey,
    certificate: x509.Certificate,
    chain_path: str | None,
    options: Options,
) -> None:
    """Write the PKCS #12 file that an earlier run did not come to, or could not write.

    Args:
        out: where to say it.
        p12: the file, or None when none is wanted.
        key: the private key of `certificate`.
        certificate: what is in place.
        chain_path: the file of its chain, if there is one.
        options: those of `p12_options`.

    Raises:
        OSError: it cannot be written.
    """
    if p12 is None or (os.path.lexists(p12) and not _is_of_another(out, p12, certificate, options)):
        return
    from scepkit.cli.outcome import write_p12

    password = read_p12_password(out, options["p12_password_file"])
    write_p12(p12, key, certificate, _chain_in(chain_path), password)
    out.note(f"wrote {p12}, which was not that of {subject_text(certificate)!r} yet")


def _is_of_another(out: Output, p12: str, certificate: x509.Certificate, options: Options) -> bool:
    """Whether a PKCS #12 file lacks the certificate; False where that is not to be known."""
    password = file_password("--p12-password-file", options["p12_password_file"], P12_VARIABLE)
    if password is None:
        return False  # nobody is asked for a password where there is nothing to do
    try:
        return certificate not in load_certificates(
            read_input(p12, limit=MAX_FILE), password, path=p12
        )
    except KeyLoadError as error:
        out.warn(f"whether {p12} holds the present certificate cannot be said: {error}")
        return False


def _chain_in(path: str | None) -> tuple[x509.Certificate, ...]:
    return read_certificates(path) if path is not None and os.path.lexists(path) else ()


def _other(path: str, difference: str) -> Unfit:
    return Unfit(
        f"{path} exists, and {difference}",
        hint="another --dir leaves it alone; scepkit renew replaces it with the like; --force "
        "replaces it with what is asked for",
        path=path,
    )


def _differences(
    certificate: x509.Certificate, key: PrivateKey, wanted: Wanted, options: Options
) -> list[str]:
    """What there is not as it is asked for."""
    found = []
    if certificate.public_key() != key.public_key():
        found.append("is not for this key")
    if datetime.now(UTC) > certificate.not_valid_after_utc:
        found.append(f"has expired ({rfc3339(certificate.not_valid_after_utc)})")
    subject, names = _asked_for(wanted)
    if not same_name(view_of(certificate).subject, subject):
        found.append(f"is for {subject_text(certificate)!r}, which is not the subject asked for")
    missing = [name for name in names if name not in alternative_names(certificate)]
    if missing:
        found.append(f"lacks the name {missing[0]}")
    spec = options["key_type"]
    if spec is not None and key_type(key) != str(parse_key_spec(spec)):
        found.append(f"its key is of the type {key_type(key)}, not {spec}")
    return found


def _other_ca(out: Output, chain_path: str | None, options: Options) -> str | None:
    """What to say when the CA in the chain is not the one that an option pins."""
    chain = _chain_in(chain_path)
    if not chain or not (options["ca_fingerprint"] or options["ca_cert"]):
        return None
    from scepkit.core.shown import title
    from scepkit.core.trust import CaOffer

    pin = "--ca-fingerprint" if options["ca_fingerprint"] else "--ca-cert"
    try:
        read_trust(out, options)(CaOffer(str(chain_path), None, chain))
    except TrustError:
        return f"the CA in {chain_path}, {title(chain[-1])}, is not the one that {pin} gives"
    return None


def _asked_for(wanted: Wanted) -> tuple[bytes, list[str]]:
    """The subject (DER), and the alternative names as `describe` writes them."""
    from cryptography import x509

    from scepkit.core.inspect.parts import alternative_names as as_text

    if wanted.csr is not None:
        return wanted.csr.subject_der, list(as_text(wanted.csr.extensions or ()))
    assert wanted.subject is not None
    names = x509.SubjectAlternativeName(wanted.san) if wanted.san else None
    extensions = [x509.Extension(names.oid, False, names)] if names is not None else []
    return wanted.subject.public_bytes(), list(as_text(extensions))
