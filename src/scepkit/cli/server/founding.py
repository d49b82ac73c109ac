"""What the options of `scepkit init` mean: the plan, the CA and the passphrase.

The rule of this file: nothing is written before all that can be wrong with the options is known,
and nobody is asked who does not sit at the terminal.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from scepkit.ca import CaIssuer
from scepkit.cli.failures import Unfit
from scepkit.cli.identity import KeyPassword, read_certificates
from scepkit.cli.output import STDIO, Output
from scepkit.cli.passwords import read_secret_file
from scepkit.cli.terminal import ask, ask_secret, has_terminal
from scepkit.config import parse_address
from scepkit.core.names import parse_subject
from scepkit.errors import KeyLoadError
from scepkit.keys import generate_key, parse_key_spec, pem, read_key_file, write_file
from scepkit.server import founding
from scepkit.server.establishing import Established, establish
from scepkit.server.founding_text import CONFIGURATION
from scepkit.server.parsing import parse_lifetime, parse_new_database_url, parse_public_url
from scepkit.server.placing import check_free, new_directory, write_all
from scepkit.server.plan import Plan

if TYPE_CHECKING:
    from scepkit.core.certificates import PrivateKey

_PLAN_OPTIONS = (
    "subject", "key_type", "validity", "with_ra", "preset", "database", "database_password_file",
    "bind", "public_url", "ca_key", "csr_out",
)  # fmt: skip
#: How an option that was given is read into the plan.
_PLANNED: Mapping[str, Callable[[Any], Any]] = {
    "key_type": lambda text: str(parse_key_spec(text)),
    "validity": parse_lifetime,
    "preset": str,
    "with_ra": bool,
    "database": parse_new_database_url,
    "database_password_file": os.path.abspath,
    "bind": lambda text: str(parse_address(text)),
    "public_url": parse_public_url,
}
_FROM_STDIN = ("passphrase_file", "key_password_file", "ca_key", "ca_cert")
_OF_A_NEW_CA = ("subject", "key_type", "validity", "csr_out")


class Passphrase(NamedTuple):
    """What encrypts the private keys.

    Attributes:
        value: it.
        file: what the configuration names, or "" when it comes in another way.
    """

    value: bytes
    file: str


def found(
    out: Output, target: str, options: Mapping[str, Any], *, actor: str, now: datetime
) -> Established:
    """Make a CA, or take one that exists."""
    check_free(Path(target), last=CONFIGURATION, beside=(founding.WAITING,))
    plan, passphrase = _plan_and_passphrase(out, options)
    if options["ca_cert"] is not None or options["ca_key"] is not None:
        ca = _existing(out, options)
    else:
        out.step(f"making a {plan.key_type} key for {plan.subject}")
        ca = founding.new_ca(plan, now=now)
    files = founding.files_of(plan, ca, passphrase.value, now=now)
    return establish(
        Path(target), files, plan, passphrase.value, actor=actor, now=now, environ=os.environ
    )


def begin(out: Output, target: str, options: Mapping[str, Any], *, now: datetime) -> str:
    """Make the key of a CA and the request for its certificate; returns the request's file."""
    if options["ca_cert"] is not None or options["ca_key"] is not None:
        raise click.UsageError("--csr-out is for a CA that has no certificate and no key yet")
    check_free(Path(target), last=founding.WAITING)
    plan, passphrase = _plan_and_passphrase(out, options)
    key = generate_key(plan.key_type)
    csr = founding.certificate_request(plan, key)
    # First, because the key is worth nothing when this fails.
    write_file(options["csr_out"], pem(csr))
    try:
        with new_directory(Path(target), last=founding.WAITING) as directory:
            write_all(directory, founding.waiting_files(plan, key, passphrase.value))
    except BaseException:
        os.unlink(options["csr_out"])
        raise
    return str(options["csr_out"])


def is_waiting(target: str) -> bool:
    """Whether a CA there waits for its certificate."""
    return os.path.isfile(os.path.join(target, founding.WAITING, founding.WAITING_PLAN))


def go_on(
    out: Output, target: str, options: Mapping[str, Any], *, actor: str, now: datetime
) -> Established:
    """Give a CA that waits its certificate."""
    given = [name for name in _PLAN_OPTIONS if options[name]]
    if given or options["ca_cert"] is None:
        raise click.UsageError(
            f"the CA in {target} waits for its certificate: give it with --ca-cert, and nothing "
            "that was decided before"
        )
    waiting = os.path.join(target, founding.WAITING)
    with open(os.path.join(waiting, founding.WAITING_PLAN), "rb") as file:
        plan = Plan.from_json(file.read())
    passphrase = _kept_passphrase(out, waiting, plan, options)
    key = read_key_file(os.path.join(waiting, founding.WAITING_KEY), passphrase)
    ca = founding.imported_ca(read_certificates(options["ca_cert"]), key)
    files = founding.files_of(plan, ca, passphrase, now=now)
    return establish(
        Path(target), files, plan, passphrase, actor=actor, now=now, environ=os.environ
    )


# ------------------------------------------------------------------ the parts


def _plan_and_passphrase(out: Output, options: Mapping[str, Any]) -> tuple[Plan, Passphrase]:
    _only_one_from_stdin(options)
    existing = options["ca_cert"] is not None or options["ca_key"] is not None
    for name in _OF_A_NEW_CA:
        if existing and options[name]:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is not for a CA that exists already")
    plan = Plan(subject="" if existing else _subject(out, options["subject"]))
    changes = {
        name: read(options[name]) for name, read in _PLANNED.items() if options[name] is not None
    }
    plan = replace(plan, **changes)
    passphrase = _passphrase(out, options["passphrase_file"])
    return replace(plan, passphrase_file=passphrase.file), passphrase


def _only_one_from_stdin(options: Mapping[str, Any]) -> None:
    given = [name for name in _FROM_STDIN if options[name] == STDIO]
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{names} cannot both be read from stdin")


def _subject(out: Output, given: str | None) -> str:
    default = f"CN={_host_name()} SCEP CA"
    if given is None and _somebody(out):
        given = ask("the CA's name", default)
    subject = given or default
    if not parse_subject(subject).rdns:
        raise click.UsageError("--subject: a CA needs a name")
    return subject


def _host_name() -> str:
    """The machine's name as far as it can stand in a subject without being escaped."""
    name = socket.gethostname().partition(".")[0]
    return "".join(char for char in name if char.isascii() and (char.isalnum() or char == "-"))[:40]


def _absolute(path: str | None) -> str:
    return os.path.abspath(path) if path else ""


def _existing(out: Output, options: Mapping[str, Any]) -> CaIssuer:
    if options["ca_cert"] is None:
        raise click.UsageError("--ca-key needs --ca-cert")
    passwords = KeyPassword(out, options["key_password_file"])
    certificates = passwords.read_certificates(options["ca_cert"])
    try:
        key: PrivateKey = passwords.read_key(options["ca_key"] or options["ca_cert"])
    except KeyLoadError as error:
        if options["ca_key"] is None and not error.hint:
            error.hint = "name the CA's private key with --ca-key"
        raise
    return founding.imported_ca(certificates, key)


def _passphrase(out: Output, path: str | None) -> Passphrase:
    """The passphrase for new keys, and what the configuration will say of it."""
    given = _given_passphrase(path)
    if given is not None:
        named = path is not None and path != STDIO
        return Passphrase(given, _absolute(path) if named else "")
    if _somebody(out):
        typed = ask_secret("new passphrase for the CA's keys (nothing: let scepkit make one)")
        if typed:
            if ask_secret("the same again") != typed:
                raise Unfit("the two passphrases are not the same")
            return Passphrase(typed.encode(), "")
    return Passphrase(founding.new_passphrase(), founding.PASSPHRASE)


def _given_passphrase(path: str | None) -> bytes | None:
    """What an option, the environment or systemd gives."""
    if path is not None:
        return read_secret_file("--passphrase-file", path).encode()
    if value := os.environ.get("SCEPKIT_PASSPHRASE"):
        return value.encode()
    if directory := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = os.path.join(directory, "passphrase")
        if os.path.exists(credential):
            return read_secret_file("the credential", credential).encode()
    return None


def _kept_passphrase(out: Output, waiting: str, plan: Plan, options: Mapping[str, Any]) -> bytes:
    """The passphrase that the waiting CA's key was encrypted with."""
    given = _given_passphrase(options["passphrase_file"])
    if given is not None:
        return given
    if plan.passphrase_file == founding.PASSPHRASE:
        path = os.path.join(waiting, founding.WAITING_PASSPHRASE)
        return read_secret_file("the passphrase", path).encode()
    if plan.passphrase_file:
        return read_secret_file("the passphrase", plan.passphrase_file).encode()
    if not has_terminal(out):
        raise click.UsageError("the passphrase of the CA's key is needed: --passphrase-file")
    return ask_secret("passphrase of the CA's key").encode()


def _somebody(out: Output) -> bool:
    """Whether somebody sits there who can be asked."""
    return sys.stdin.isatty() and has_terminal(out)
