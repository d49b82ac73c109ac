"""What an error becomes at the end of a command: an exit code, a kind, a text, a hint.

The rule of this file: the codes and the kinds are promises.  Scripts live on them; a row may be
added, none may change.  `docs/cli.md` repeats both tables, and a test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import click

from scepkit.cli.output import stderr_line, write_json
from scepkit.errors import (
    AlgorithmError,
    ConfigError,
    ConfigErrors,
    DecodeError,
    DecryptError,
    FailInfo,
    HttpStatusError,
    InputError,
    KeyLoadError,
    KeyUnavailable,
    NotSupportedError,
    ProtocolError,
    ReplyMismatchError,
    RequestRejectedError,
    ScepError,
    SignatureError,
    StoreError,
    StoreUnavailable,
    TransportError,
    TrustError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    PENDING = 3
    REFUSED = 4
    UNREACHABLE = 5
    UNTRUSTED = 6
    FILE = 7
    NOT_CONFORMANT = 10
    INSECURE = 11
    NOT_CONFORMANT_AND_INSECURE = 12
    INTERRUPTED = 130


class Refused(click.ClickException):
    """The CA refused an enrolment, which the library returns as a value and not as an error."""

    def __init__(self, message: str, *, hint: str = "", evidence: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.hint = hint
        self.evidence = evidence


class Unfit(click.ClickException):
    """A file is in the way, or is missing, or is not what the command needs."""

    def __init__(self, message: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path


# The first row that fits decides, so a class stands before its base.
_SCEP_ERRORS: tuple[tuple[type[ScepError], str, ExitCode], ...] = (
    (InputError, "usage", ExitCode.USAGE),
    (KeyLoadError, "file", ExitCode.FILE),
    (HttpStatusError, "http", ExitCode.UNREACHABLE),
    (TransportError, "unreachable", ExitCode.UNREACHABLE),
    (TrustError, "trust", ExitCode.UNTRUSTED),
    (SignatureError, "signature", ExitCode.UNTRUSTED),
    (ReplyMismatchError, "mismatch", ExitCode.UNTRUSTED),
    (DecryptError, "decrypt", ExitCode.UNTRUSTED),
    (AlgorithmError, "algorithm", ExitCode.UNTRUSTED),
    (DecodeError, "decode", ExitCode.UNEXPECTED),
    (ProtocolError, "protocol", ExitCode.UNEXPECTED),
    (RequestRejectedError, "refused", ExitCode.REFUSED),
    (NotSupportedError, "not-supported", ExitCode.REFUSED),
    (KeyUnavailable, "key-unavailable", ExitCode.UNREACHABLE),
    (ConfigError, "config", ExitCode.USAGE),
    (StoreUnavailable, "store", ExitCode.UNREACHABLE),
    (StoreError, "store", ExitCode.UNEXPECTED),
    (ScepError, "unexpected", ExitCode.UNEXPECTED),
)

#: A path or profile that the server does not have: as wrong the next time.
_NOT_THERE = frozenset({404, 410})

# Attributes of errors that go into the JSON object, by the names they have there.
_EVIDENCE = {
    "path": "path",
    "url": "url",
    "status": "status",
    "excerpt": "excerpt",
    "retry_after": "retryAfter",
    "fingerprints": "fingerprints",
    "offset": "offset",
    "title": "title",
    "algorithm": "algorithm",
    "signer": "signer",
    "field": "field",
    "expected": "expected",
    "found": "found",
    "fail_info_text": "failInfoText",
    "transaction_id": "transactionID",
    "operation": "operation",
}


def report(error: BaseException, *, as_json: bool) -> ExitCode:
    """Tell the user about `error`; return the code to exit with."""
    code, description = describe(error)
    if as_json:
        write_json({"error": description})
    told = [(description["message"], description["hint"])]
    if isinstance(error, ConfigErrors):
        told = [(str(one), one.hint) for one in error.errors]
    for message, hint in told:
        stderr_line(message, alarming=True)
        if hint:
            stderr_line(f"hint: {hint}")
    return code


def describe(error: BaseException) -> tuple[ExitCode, dict[str, Any]]:
    """The exit code, and what ``--json`` shows under ``error``."""
    kind, code, message, hint, evidence = _sorted(error)
    return code, {"kind": kind, "message": message, "hint": hint, **evidence}


def _sorted(error: BaseException) -> tuple[str, ExitCode, str, str, Mapping[str, Any]]:
    if isinstance(error, HttpStatusError) and error.status in _NOT_THERE:
        return "http", ExitCode.USAGE, str(error), error.hint, _evidence(error)
    if isinstance(error, ScepError):
        for known, kind, code in _SCEP_ERRORS:
            if isinstance(error, known):
                return kind, code, str(error), error.hint, _evidence(error)
    if isinstance(error, Refused):
        return "refused", ExitCode.REFUSED, error.message, error.hint, error.evidence
    if isinstance(error, Unfit):
        evidence = {"path": error.path} if error.path else {}
        return "file", ExitCode.FILE, error.message, error.hint, evidence
    if isinstance(error, click.UsageError):
        return "usage", ExitCode.USAGE, _usage_text(error), _usage_hint(error), {}
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "interrupted", ExitCode.INTERRUPTED, "interrupted", "", {}
    if isinstance(error, OSError):
        hint = "; ".join(getattr(error, "__notes__", ()))
        return "file", ExitCode.FILE, _os_error_text(error), hint, _os_error_evidence(error)
    message = f"unexpected error: {type(error).__name__}: {error}"
    hint = "this is a fault in scepkit; run it again with -vv to see where"
    return "unexpected", ExitCode.UNEXPECTED, message, hint, {}


def _evidence(error: ScepError) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute, name in _EVIDENCE.items():
        value = getattr(error, attribute, None)
        if value is not None and value != "":
            found[name] = list(value) if isinstance(value, tuple) else value
    if isinstance(error, TransportError):
        found["reason"] = error.kind
    if isinstance(error, KeyLoadError):
        found["reason"] = error.reason
    if isinstance(error, ConfigErrors):
        found["errors"] = [
            {"path": one.path, "problem": one.problem, "hint": one.hint} for one in error.errors
        ]
    if isinstance(error, RequestRejectedError):
        found["failInfo"] = fail_info_name(error.fail_info)
    return found


def fail_info_name(fail_info: FailInfo | int | None) -> str | None:
    """The name in RFC 8894, or the number when it has none; None when the CA gave none."""
    if fail_info is None:
        return None
    return fail_info.rfc_name if isinstance(fail_info, FailInfo) else str(int(fail_info))


def _usage_text(error: click.UsageError) -> str:
    # Click writes sentences with a capital and a full stop; ours have neither.
    text = error.format_message().strip().removesuffix(".")
    first = text.split(" ", 1)[0]
    return text if first.isupper() else text[:1].lower() + text[1:]


def _usage_hint(error: click.UsageError) -> str:
    hint = getattr(error, "hint", "")
    if hint:
        return str(hint)
    command = error.ctx.command_path if error.ctx is not None else "scepkit"
    return f"see {command} --help"


def _os_error_text(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    name = _file_name(error)
    return f"{name}: {reason}" if name else reason


def _os_error_evidence(error: OSError) -> dict[str, Any]:
    name = _file_name(error)
    evidence = {"path": name} if name else {}
    return {**evidence, "reason": "missing"} if isinstance(error, FileNotFoundError) else evidence


def _file_name(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
