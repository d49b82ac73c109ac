"""The work of `scepkit check`: from options to a session, and from a run to its reports.

The rule of this file: results go to stdout as they come, so that a long run shows where it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.connect import (
    basic_auth,
    ra_certificates,
    read_http_options,
    read_trust,
)
from scepkit.cli.options import split_words
from scepkit.cli.output import Output, write_json
from scepkit.cli.passwords import only_one_from_stdin, read_secret_file
from scepkit.cli.reports import write_lines, write_reports
from scepkit.cli.terminal import Progress

if TYPE_CHECKING:
    from scepkit.conformance.challenges import ChallengeSource
    from scepkit.conformance.registry import Check
    from scepkit.conformance.runner import Result
    from scepkit.conformance.session import Settings


def run(out: Output, url: str, checks: tuple[Check, ...], options: dict[str, Any]) -> int:
    """Run the tests and write the reports; return the exit code."""
    from scepkit.conformance.report.text import result_lines, summary_lines, theme_title
    from scepkit.conformance.report.values import as_values
    from scepkit.conformance.runner import run as run_checks
    from scepkit.conformance.session import Session
    from scepkit.core.url import parse_endpoint
    from scepkit.transport import HttpTransport

    only_one_from_stdin(options)
    http_options = read_http_options(out, options)
    verifier = read_trust(out, options)
    shown: list[str] = []

    with (
        ExitStack() as stack,
        HttpTransport(http_options) as transport,
        Progress(enabled=not out.quiet) as progress,
    ):
        settings = read_settings(options, stack)
        _say_what_is_missing(out, settings, checks)
        session = Session(
            parse_endpoint(url),
            profile=options["profile"],
            transport=transport,
            http_options=http_options,
            trust=verifier,
            settings=settings,
            ra_certificates=ra_certificates(options),
        )

        def tell(result: Result) -> None:
            progress.clear()
            theme = result.check.theme
            if not shown or shown[-1] != theme:
                write_lines([*([""] if shown else []), theme_title(theme)])
                shown.append(theme)
            write_lines(list(result_lines(result, verbose=bool(out.verbosity))))

        report = run_checks(
            session,
            checks,
            progress=lambda check: progress.show(f"{check.id} {check.title}"),
            done=(lambda result: None) if out.as_json else tell,
        )
    if out.as_json:
        write_json(as_values(report))
    else:
        write_lines(list(summary_lines(report)))
    write_reports(out, report, options)
    return report.exit_code


def _say_what_is_missing(out: Output, settings: Settings, checks: tuple[Check, ...]) -> None:
    """Warn of a run in which a server that wants challenges refuses whatever is right."""
    from scepkit.conformance.registry import Need

    enrols = settings.allow_issue and any(Need.ISSUE in one.needs for one in checks)
    if enrols and settings.challenges is None and not settings.open_enrolment:
        out.warn(
            "no challenge is given, and a server that wants one refuses the plain enrolment (T20); "
            "give it with --challenge-file or --challenge-command, or say --open where none is "
            "wanted on purpose"
        )


def read_settings(options: dict[str, Any], stack: ExitStack) -> Settings:
    """What the options allow and know; `stack` closes what has to be closed."""
    from scepkit.conformance.session import SUBJECT, Settings
    from scepkit.keys import parse_key_spec

    subject = options["subject"] or SUBJECT
    try:
        subject.format(run="r", n=1)
    except (KeyError, IndexError, ValueError):
        raise click.UsageError("--subject: {run} and {n} are the only braces it may have") from None
    expired = options["expired_challenge_file"]
    key_type = str(parse_key_spec(options["key_type"] or "rsa:2048"))
    if not key_type.startswith("rsa:"):
        raise click.UsageError("--key-type: the tests need RSA keys, which decrypt replies")
    return Settings(
        allow_issue=options["allow_issue"],
        intrusive=options["intrusive"],
        subject=subject,
        key_type=key_type,
        challenges=_source(options, stack),
        open_enrolment=options["open_enrolment"],
        bound_challenges=options["bound_challenges"],
        expired_challenge=read_secret_file("--expired-challenge-file", expired)
        if expired
        else None,
        approve=_operator(options, "approve_command", "SCEPKIT_CHECK_TRANSACTION_ID"),
        deny=_operator(options, "deny_command", "SCEPKIT_CHECK_TRANSACTION_ID"),
        revoke=_operator(options, "revoke_command", "SCEPKIT_CHECK_SERIAL"),
        samples=options["samples"],
        waived=frozenset(one.strip().upper() for one in split_words(options["waived"])),
    )


def _source(options: dict[str, Any], stack: ExitStack) -> ChallengeSource | None:
    """Where challenges come from."""
    names = (
        "challenge_file",
        "challenge",
        "challenge_command",
        "challenge_ndes",
        "challenge_step_ca",
    )
    given = [name for name in names if options[name] is not None]
    if len(given) > 1:
        shown = " and ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(f"{shown}: give only one of them")
    from scepkit.conformance import challenges

    match given:
        case ["challenge_file"]:
            return challenges.Static(
                read_secret_file("--challenge-file", options["challenge_file"])
            )
        case ["challenge"]:
            return challenges.Static(options["challenge"])
        case ["challenge_command"]:
            return challenges.Command(options["challenge_command"])
        case ["challenge_step_ca"]:
            path, name = options["challenge_step_ca"], ""
            if not os.path.exists(path):
                path, _, name = path.rpartition(":")
            return challenges.step_ca_challenge(path or name, name if path else "")
        case ["challenge_ndes"]:
            return _ndes(options, stack)
        case _:
            kept = os.environ.get("SCEPKIT_CHALLENGE")
            return challenges.Static(kept) if kept else None


def _ndes(options: dict[str, Any], stack: ExitStack) -> ChallengeSource:
    from scepkit.conformance.challenges import NdesPage
    from scepkit.transport import HttpOptions, HttpTransport

    transport = HttpTransport(
        HttpOptions(
            timeout=options["timeout"],
            proxy=options["proxy"],
            ca_bundle=options["tls_ca"],
            basic_auth=basic_auth(options["challenge_auth_file"]),
        )
    )
    return NdesPage(options["challenge_ndes"], stack.enter_context(transport))


def _operator(options: dict[str, Any], name: str, variable: str) -> Callable[[str], object] | None:
    line = options[name]
    if line is None:
        return None
    from scepkit.conformance.challenges import run_command

    shown = "--" + name.replace("_", "-")
    return lambda value: run_command(line, {variable: value}, shown)
