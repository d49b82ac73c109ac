"""`scepkit check`: is a SCEP server right?

The rule of this file: every option is read and checked before the first byte leaves, and nothing is
issued or loaded unless an option says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option, together
from scepkit.cli.options import http_options, profile_option, split_words, trust_options
from scepkit.cli.output import Output

if TYPE_CHECKING:
    from scepkit.conformance.registry import Check

_EXAMPLE = """
scepkit check http://scep.example.com/scep --insecure-trust-on-first-use
scepkit check http://scep.example.com/scep --ca-fingerprint sha256:2C:F2:4D:...:98:24 \\
    --challenge-command 'scepkit challenge new --quiet --config ca/scepkit.toml' \\
    --allow-issue --html report.html
scepkit check http://scep.example.com/scep --ca-cert ca.pem --only T01,T2* --class M
"""

_TESTS = "Tests"
_ALLOWED = "What may happen"
_CHALLENGE = "Challenge (for tests that enrol)"
_OPERATOR = "Operator"
_REPORT = "Report"

check_options = together(
    option("--allow-issue", is_flag=True, section=_ALLOWED,
           help="Run the tests that have certificates issued, too: about 100."),
    option("--intrusive", is_flag=True, section=_ALLOWED,
           help="Run the tests that send many requests, several at once, or messages at which a "
                "server may end, too. Not on a server that others are using."),
    option("--open", "open_enrolment", is_flag=True, section=_ALLOWED,
           help="The server asks for no challenge on purpose."),
    option("--only", metavar="TESTS", multiple=True, section=_TESTS,
           help="Run these tests only, such as T20,T5*. As often as needed."),
    option("--class", "classes", metavar="LETTERS", multiple=True, section=_TESTS,
           help="Run the tests of these classes only: M (required), X (security), S (recommended), "
                "O (optional), Q (quirks), as M,X."),
    option("--waive", "waived", metavar="TESTS", multiple=True, section=_TESTS,
           help="Accept that these tests fail, such as T33,T41."),
    option("--list", "list_only", is_flag=True, section=_TESTS,
           help="List the tests and do nothing."),
    option("--subject", metavar="NAME", section=_TESTS,
           help="The subject of requests; {run} and {n} make it unique. Default: "
                "CN=scepkit-check-{run}-{n}."),
    option("--key-type", metavar="TYPE", section=_TESTS,
           help="The type of requesters' keys: rsa:2048, rsa:3072 or rsa:4096. Default: rsa:2048."),
    option("--samples", type=click.IntRange(min=20), default=200, show_default=True,
           section=_TESTS, help="Answers that the timing tests take of each kind."),
)  # fmt: skip

source_options = together(
    option("--challenge-file", metavar="FILE", section=_CHALLENGE,
           help="The challenge in FILE, for all enrolments; `-` is stdin. SCEPKIT_CHALLENGE can "
                "hold it too."),
    option("--challenge", metavar="TEXT", environment=False, section=_CHALLENGE,
           help="TEXT, for all enrolments. Everyone on this machine can see it with `ps`."),
    option("--challenge-command", metavar="COMMAND", section=_CHALLENGE,
           help="What COMMAND prints, run for each enrolment; it finds the name in "
                "SCEPKIT_CHECK_SUBJECT and SCEPKIT_CHECK_SAN."),
    option("--challenge-ndes", metavar="URL", section=_CHALLENGE,
           help="The password on this mscep_admin page, fetched for each enrolment."),
    option("--challenge-auth-file", metavar="FILE", section=_CHALLENGE,
           help="Log in to that page with the user:password in FILE."),
    option("--challenge-step-ca", metavar="FILE[:NAME]", section=_CHALLENGE,
           help="The challenge of the SCEP provisioner (called NAME) in step-ca's ca.json."),
    option("--bound-challenges", is_flag=True, section=_CHALLENGE,
           help="A challenge is good for the name it was fetched for only."),
    option("--expired-challenge-file", metavar="FILE", section=_CHALLENGE,
           help="A challenge that has expired, which the server has to refuse."),
)  # fmt: skip

operator_options = together(
    option("--approve-command", metavar="COMMAND", section=_OPERATOR,
           help="Approves the request whose transactionID is in SCEPKIT_CHECK_TRANSACTION_ID."),
    option("--deny-command", metavar="COMMAND", section=_OPERATOR, help="Refuses it."),
    option("--revoke-command", metavar="COMMAND", section=_OPERATOR,
           help="Revokes the certificate whose serial number (hex) is in SCEPKIT_CHECK_SERIAL."),
)  # fmt: skip

report_options = together(
    option("--html", metavar="FILE", section=_REPORT,
           help="Write the report to FILE as one page, with all that was sent and received."),
    option("--junit", metavar="FILE", section=_REPORT, help="Write it to FILE as JUnit XML."),
    option("--json-file", metavar="FILE", section=_REPORT,
           help="Write it to FILE as JSON; --json writes the same to stdout."),
)  # fmt: skip


@command("check", example=_EXAMPLE)
@click.argument("url", required=False)
@check_options
@source_options
@operator_options
@report_options
@profile_option
@trust_options
@http_options
def check(out: Output, /, url: str | None, list_only: bool, **options: Any) -> int:
    """Test whether a SCEP server is right.

    Asks the server at URL what RFC 8894 requires and devices in the field need, and tries what an
    attacker would; says what is wrong and what to change on the server. Without --allow-issue no
    certificate is asked for, without --intrusive there is one request at a time and no load.

    Exit codes: 0 nothing failed; 10 something that RFC 8894 requires; 11 something about security;
    12 both. What is only recommended gives warnings, which do not count.
    """
    from scepkit.conformance.registry import all_checks, select

    checks = select(all_checks(), split_words(options["only"]), split_words(options["classes"]))
    if list_only:
        out.result({"tests": [_listed(one) for one in checks]}, lambda: _table(checks))
        return 0
    if url is None:
        raise click.UsageError("Missing argument 'URL'.")
    from scepkit.cli.checking import run

    return run(out, url, checks, options)


def _listed(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "class": check.cls.value,
        "theme": check.theme,
        "title": check.title,
        "section": check.section,
        "needs": sorted(one.value for one in check.needs),
        "disputed": check.disputed,
        "remedy": check.remedy,
    }


def _table(checks: tuple[Check, ...]) -> str:
    return "".join(f"{one.id:<5}{one.cls.value}  {one.title}\n" for one in checks)
