"""The forms of settings that only the server has: database addresses, URLs, names of usages.

The rule of this file: as in `scepkit.config.values`, each reader gives a value or an `InputError`
that shows what was expected.
"""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from cryptography import x509

from scepkit.ca.altnames import NAME_KINDS
from scepkit.ca.profile import END_ENTITY_USAGES
from scepkit.config.values import parse_duration, shown
from scepkit.core.names import parse_oid, parse_subject
from scepkit.errors import InputError

_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def parse_database_url(text: str) -> str:
    """Read the address of a database.

    :raises InputError: neither ``sqlite:///FILE`` nor ``postgresql://...``, or a password in it.
    """
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    if text.startswith(("postgresql://", "postgres://")):
        if urlsplit(text).password is not None:
            # A URL is shown in logs and errors; a password has its own setting.
            raise InputError(
                "the password of the database does not belong in its URL",
                hint="database.password_file names a file with the password",
            )
        return text
    # What was found is not shown: it may hold a password.
    raise InputError("expected sqlite:///FILE or postgresql://USER@HOST/DATABASE")


def parse_new_database_url(text: str) -> str:
    """Read the address of the database that a new CA begins with.

    :raises InputError: as `parse_database_url`, or an SQLite file that is in another directory
        than the configuration without being absolute: that directory is only being made.
    """
    url = parse_database_url(text)
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.scheme == "sqlite" and "/" in path and not path.startswith("/"):
        raise InputError(
            "expected a file in the CA's own directory, as sqlite:///scepkit.db, or an absolute "
            f"path, found the relative path {shown(path)}",
            hint=f"sqlite:////{path}, with four slashes, is absolute",
        )
    return url


def parse_lifetime(text: str) -> timedelta:
    """Read how long a CA is valid.

    :raises InputError: it is no duration, or none at all.
    """
    lifetime = parse_duration(text)
    if not lifetime:
        raise InputError(f"a CA is valid for some time; found {shown(text)}")
    return lifetime


def parse_url(text: str) -> str:
    """Read an absolute http or https URL in ASCII; a final slash is dropped.

    :raises InputError: it is none, or has a user, a query or a fragment.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InputError(f"{shown(text)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InputError(f"expected a URL such as http://ca.example, found {shown(text)}")
    if not text.isascii() or any(not "!" <= char <= "~" for char in text):
        raise InputError("a URL in a certificate has only ASCII characters and no blanks")
    if parts.username is not None or parts.query or parts.fragment:
        raise InputError(f"{shown(parts.hostname)} is followed or preceded by too much")
    return text.rstrip("/")


def parse_public_url(text: str) -> str:
    """Read where the world reaches a server: as `parse_url`, and without a path.

    :raises InputError: it is no URL, or has a path, a query or a fragment.
    """
    before = re.split(r"[?#]", text, maxsplit=1)[0]
    url = parse_url(before)
    parts = urlsplit(url)
    if parts.path or before != text:
        raise InputError(
            f"expected a public URL without a path, query or fragment, found {shown(text)}",
            hint=f"write {parts.scheme}://{parts.netloc}: the server adds /scep and its other "
            "paths itself",
        )
    return url


def parse_attribute(text: str) -> x509.ObjectIdentifier:
    """Read the name of a subject attribute, such as ``CN`` or ``serialNumber``, or its OID.

    :raises InputError: it is neither.
    """
    try:
        # "US" is a value that every attribute may have.
        word = text if re.fullmatch(r"[A-Za-z0-9.]+", text) else ""
        (attribute,) = parse_subject(f"{word}=US")
    except (InputError, ValueError):
        raise InputError(
            f"there is no subject attribute {shown(text)}",
            hint="write a name such as CN, O, serialNumber or UID, or a dotted OID",
        ) from None
    return attribute.oid


def parse_extension(text: str) -> x509.ObjectIdentifier:
    """Read the dotted OID of an extension or a certificate policy.

    :raises InputError: it is none.
    """
    return parse_oid(text)


def parse_usage(text: str) -> str:
    """Read a key usage, in the RFC's or in Python's spelling, into Python's.

    :raises InputError: there is none of that name that an end entity may have.
    """
    snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in text)
    if snake not in END_ENTITY_USAGES:
        known = ", ".join(sorted(format_usage(usage) for usage in END_ENTITY_USAGES))
        raise InputError(f"expected a key usage of {known}, found {shown(text)}")
    return snake


def format_usage(snake: str) -> str:
    """The name of a key usage in Python, as RFC 5280 writes it: ``digitalSignature``."""
    first, *others = snake.split("_")
    return first + "".join(word.capitalize() for word in others)


def parse_name_kind(text: str) -> str:
    """Read a kind of alternative name.

    :raises InputError: there is no such kind.
    """
    if text not in NAME_KINDS:
        raise InputError(
            f"expected a kind of name of {', '.join(sorted(NAME_KINDS))}, found {shown(text)}"
        )
    return text


def parse_curve(text: str) -> str:
    """Read the short name of an EC curve.

    :raises InputError: certificates are not made for such a curve.
    """
    if text not in ("p256", "p384", "p521"):
        raise InputError(f"expected p256, p384 or p521, found {shown(text)}")
    return text


def parse_pattern(text: str) -> re.Pattern[str]:
    """Read a regular expression.

    :raises InputError: it is none.
    """
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"{shown(text)} is not a regular expression: {error}") from None


def parse_function(text: str) -> str:
    """Read the name of a function, as ``module:function``.

    :raises InputError: it is none.
    """
    if not _FUNCTION.fullmatch(text):
        raise InputError(f"expected a function as module:function, found {text!r}")
    return text


def parse_text(text: str) -> str:
    """Read an argument of a program: any text without NUL.

    :raises InputError: it has a NUL.
    """
    if "\0" in text:
        raise InputError("an argument of a program cannot have a NUL")
    return text
