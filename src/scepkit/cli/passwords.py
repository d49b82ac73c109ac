"""Secrets come from a file, from the environment or from the terminal.

The rule of this file: a secret is in no error text and in no log line, and is never asked for
where nobody can answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TextIO

import click

from scepkit.cli.failures import Unfit
from scepkit.cli.output import STDIO, Output
from scepkit.cli.terminal import ask_secret, has_terminal

# Longer is no password but the wrong file.
_LONGEST = 4096


def read_secret_file(option: str, path: str) -> str:
    """The only line of the file `path`, or of stdin for ``-``.

    Args:
        option: the option that named the file, for the error's text.
        path: the file.

    Raises:
        Unfit: the file is empty, has several lines, or is not UTF-8 text.
        OSError: the file cannot be read.
    """
    data = read_input(path, limit=_LONGEST)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"{option} {path}: not UTF-8 text (byte {error.start})"
        raise Unfit(message, path=path) from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if "\n" in secret:
        lines = secret.count("\n") + 1
        raise Unfit(f"{option} {path}: {lines} lines, where one was expected", path=path)
    if not secret:
        raise Unfit(f"{option} {path}: the file is empty", path=path)
    return secret


def read_input(path: str, *, limit: int) -> bytes:
    """The bytes of a file, or of stdin for ``-``, which stay the same however often they are read.

    Raises:
        Unfit: there are more than `limit`.
        OSError: the file cannot be read.
    """
    if path == STDIO:
        data = _stdin(sys.stdin, limit)
    else:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    if len(data) > limit:
        raise Unfit(f"{path}: longer than {limit} bytes", path=path)
    return data


@lru_cache(maxsize=1)
def _stdin(stream: TextIO, limit: int) -> bytes:
    # A certificate and its key may be in one file, and an option may be looked at twice.
    return stream.buffer.read(limit + 1)


#: The options whose file may be stdin.
_READ = (
    "csr", "key", "cert", "signer_cert", "signer_key", "ca_cert", "ra_certs", "next_ca_cert",
    "challenge_file", "key_password_file", "new_key_password_file", "p12_password_file",
    "basic_auth_file", "tls_key_password_file",
)  # fmt: skip


def only_one_from_stdin(options: Mapping[str, Any], **arguments: str) -> None:
    """Refuse two options or arguments that would both read stdin.

    Raises:
        click.UsageError: more than one of them is ``-``.
    """
    names = [name.upper() for name, value in arguments.items() if value == STDIO]
    for name in _READ:
        value = options.get(name)
        given = value if isinstance(value, tuple) else (value,)
        names += ["--" + name.removesuffix("s").replace("_", "-")] * given.count(STDIO)
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} cannot both be read from stdin")


class Challenge:
    """The challengePassword that the options or the environment give.

    Files are read when this is made, so that what is wrong with them shows at once.  A person is
    asked in `get`, when it is known who will get the answer.

    Raises:
        click.UsageError: two options give one, or there is nobody to ask.
        Unfit: the file is not what it should be.
        OSError: the file cannot be read.
    """

    def __init__(self, out: Output, options: Mapping[str, Any]) -> None:
        path, text, ask = (
            options[name] for name in ("challenge_file", "challenge", "ask_challenge")
        )
        given = {"--challenge-file": path is not None, "--challenge": text is not None,
                 "--ask-challenge": ask}  # fmt: skip
        names = [name for name, is_given in given.items() if is_given]
        if len(names) > 1:
            raise click.UsageError(f"{' and '.join(names)}: give only one of them")
        if ask and not has_terminal(out):
            raise click.UsageError("--ask-challenge needs a terminal; use --challenge-file")
        self._ask = ask
        self._text: str | None = text
        if path is not None:
            self._text = read_secret_file("--challenge-file", path)
        elif not names:
            # An empty variable is one that is not set: that is how most tools unset it.
            self._text = os.environ.get("SCEPKIT_CHALLENGE") or None

    def get(self) -> str | None:
        """The challengePassword, or None."""
        if self._ask:
            self._text = ask_secret("challenge password")
            self._ask = False
        return self._text


def file_password(option: str, path: str | None, variable: str) -> bytes | None:
    """The password that the option or the environment gives for a key file or a PKCS #12."""
    if path is not None:
        return read_secret_file(option, path).encode()
    value = os.environ.get(variable)
    return value.encode() if value else None
