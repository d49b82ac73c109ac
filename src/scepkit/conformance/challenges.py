"""Where challenges come from: a value, a command for each enrolment, an NDES page, a step-ca file.

The rule of this file: a challenge is in no error text, and every enrolment that needs one asks for
one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from scepkit.core.http import HttpRequest, printable
from scepkit.errors import InputError
from scepkit.values import field, frozen

if TYPE_CHECKING:
    from scepkit.transport import Transport

#: Seconds that a command may take.
_COMMAND_SECONDS = 60.0
#: Characters of a command's stderr that are repeated.
_LONGEST_LINE = 200
_LONGEST = 4096


class ChallengeSource(Protocol):
    """Gives a challengePassword for each enrolment."""

    @property
    def one_time(self) -> bool:
        """Whether each call gives another one, which is good for one enrolment."""

    def get(self, subject: str, sans: Sequence[str]) -> str:
        """A challenge for a request with this subject and these alternative names.

        :raises InputError: there is none to be had.
        """


@frozen
class Static:
    """The same challenge for everybody."""

    text: str = field(repr=False)
    one_time: bool = False

    def get(self, subject: str, sans: Sequence[str]) -> str:
        """The challenge."""
        return self.text


@frozen
class Command:
    """The only line that a command prints; it is run for each enrolment.

    The command finds the name in SCEPKIT_CHECK_SUBJECT (RFC 4514) and SCEPKIT_CHECK_SAN (separated
    by blanks, as ``dns:a``).
    """

    line: str = field(repr=False)
    one_time: bool = True

    def get(self, subject: str, sans: Sequence[str]) -> str:
        """Run the command."""
        names = {"SCEPKIT_CHECK_SUBJECT": subject, "SCEPKIT_CHECK_SAN": " ".join(sans)}
        found = run_command(self.line, names, "--challenge-command").strip("\r\n")
        if not found or "\n" in found:
            raise InputError(
                f"the challenge command printed {len(found.splitlines())} lines, expected one"
            )
        return found


def run_command(line: str, names: Mapping[str, str], option: str) -> str:
    """What a command of the operator's prints.

    :param names: variables for its environment.
    :raises InputError: it fails, or takes too long.
    """
    import os
    import subprocess

    try:
        done = subprocess.run(  # noqa: S602 - the operator's own command line
            line,
            shell=True,
            env={**os.environ, **names},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{option}: the command took more than {_COMMAND_SECONDS:g} s") from None
    if done.returncode:
        # A hint, and no part of the text: reports have the text, and go to vendors.
        raise InputError(
            f"{option}: the command ended with exit code {done.returncode}",
            hint=_last_words(done.stderr),
        )
    return done.stdout.decode("utf-8", "replace")


def _last_words(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").split("\n")
    told = [line for line in lines if line.strip()]
    # Our own commands say what to do after what is wrong.
    wrong = [line for line in told if not line.startswith("scepkit: hint:")]
    last = (wrong or told or [""])[-1]
    return f"its stderr says: {printable(last, _LONGEST_LINE)}" if last else ""


_SENTENCE = re.compile(r"challenge password is:\s*<B>\s*([^<\s]+)\s*</B>", re.IGNORECASE)
#: For servers that speak another language: hex digits in bold, of a length NDES uses.
_ANY_LANGUAGE = re.compile(r"<B>\s*([0-9A-F]{16}|[0-9A-F]{32})\s*</B>", re.IGNORECASE)


@frozen
class NdesPage:
    """The password on an ``mscep_admin`` page, fetched for each enrolment.

    :param transport: logs in, if the page wants that (Basic; NTLM is not spoken).
    """

    url: str
    transport: Transport = field(repr=False)
    one_time: bool = True

    def get(self, subject: str, sans: Sequence[str]) -> str:
        """Fetch the page."""
        response = self.transport.exchange(HttpRequest("GET", self.url))
        if response.status != 200:
            raise InputError(
                f"the NDES page answered HTTP {response.status}, expected a page with a password",
                hint="give user:password in --challenge-auth-file; the page must allow Basic "
                "authentication"
                if response.status in (401, 403)
                else "",
            )
        return read_ndes_page(response.body)


def read_ndes_page(body: bytes) -> str:
    """The enrolment challenge on an ``mscep_admin`` page, in UTF-16 or UTF-8, in any language.

    :raises InputError: there is none; the text says what the page says instead.
    """
    utf16 = body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"<\0" in body[:200]
    if utf16 and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = body.decode("utf-16-le", "replace")
    else:
        text = body.decode("utf-16" if utf16 else "utf-8", "replace")
    found = _SENTENCE.search(text) or _ANY_LANGUAGE.search(text)
    if found is not None:
        return found[1]
    if "cache is full" in text:
        raise InputError(
            "the NDES page says that its password cache is full",
            hint="wait until passwords expire (an hour), or raise PasswordMax on the server",
        )
    if "sufficient permission" in text:
        raise InputError("the NDES page says that the user may not enrol")
    raise InputError("the NDES page shows no enrolment challenge")


def step_ca_challenge(path: str, provisioner: str = "") -> Static:
    """The challenge of a SCEP provisioner in step-ca's ``ca.json``.

    :param provisioner: its name; without it, the only one.
    :raises InputError: there is none, or there are several.
    """
    import json
    from pathlib import Path

    try:
        loaded = json.loads(Path(path).read_text("utf-8"))
        listed = loaded.get("authority", {}).get("provisioners", [])
        found = [
            one
            for one in listed
            if str(one.get("type", "")).upper() == "SCEP"
            and (not provisioner or one.get("name") == provisioner)
        ]
    except (ValueError, AttributeError):
        raise InputError(f"{path} is not a configuration of step-ca") from None
    if len(found) != 1:
        names = ", ".join(str(one.get("name")) for one in found) or "none"
        raise InputError(
            f"{path} has {len(found)} SCEP provisioners that fit ({names}), expected one",
            hint="name it: --challenge-step-ca FILE:NAME",
        )
    challenge = found[0].get("challenge")
    if not isinstance(challenge, str) or not challenge or len(challenge) > _LONGEST:
        raise InputError(f"the SCEP provisioner in {path} has no static challenge")
    return Static(challenge)
