"""`scepkit challenge`: one-time challenges for requesters."""

from __future__ import annotations

from typing import Any

import click

from scepkit.cli.command import command, group, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import ROW, in_profile_option, office_options, page_options

challenge = group(
    "challenge",
    help="Hand out one-time challenges.\n\nA challenge is a secret that lets its owner enrol: "
    "once, for a limited time, and if you say so for one subject only. The database has no copy "
    "that anybody could use.",
    example="""
scepkit challenge new --subject CN=router1,O=Acme --san dns:router1.acme.test
scepkit challenge list --usable
""",
)

_WHOM = "Whom it is for"
_LIFE = "How long it is good"


@command(
    "new",
    within=challenge,
    example="""
scepkit challenge new --subject CN=router1,O=Acme --san dns:router1.acme.test > challenge.txt
scepkit challenge new --count 100 --ttl 7d --label 'branch office'
""",
)
@option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="NUMBER",
        section=_WHOM, help="Make so many.")  # fmt: skip
@option("--profile", metavar="NAME", section=_WHOM,
        help="The profile to enrol in. Default: the one at /scep.")  # fmt: skip
@option("--subject", metavar="NAME", section=_WHOM,
        help="Good for this subject only, as CN=router1,O=Acme.")  # fmt: skip
@option("--san", "san", metavar="NAME", multiple=True, section=_WHOM,
        help="Good for this alternative name only, as dns:router1.acme.test. As often as needed. "
        "With --subject and without this: none, or the common name as a DNS name. Without "
        "--subject any subject goes with it.")  # fmt: skip
@option("--label", metavar="TEXT", default="", section=_WHOM,
        help="What people call it: shown in lists and in the audit trail.")  # fmt: skip
@option("--ttl", metavar="DURATION", section=_LIFE,
        help="Good for this long: 90s, 15m, 1h, 30d. Default: as the profile says.")  # fmt: skip
@option("--uses", type=click.IntRange(1, 1_000_000), metavar="NUMBER", section=_LIFE,
        help="Good for so many enrolments. Default: as the profile says.")  # fmt: skip
@office_options
def new(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """Make challenges; prints the secrets, one a line.

    They are shown now and never again.
    """
    from scepkit.cli.describe import rfc3339
    from scepkit.cli.server.office import open_office, profile_name
    from scepkit.config import parse_duration
    from scepkit.server import admin

    ttl = None if options["ttl"] is None else parse_duration(options["ttl"])
    with open_office(out, config, actor) as office:
        minted = admin.mint_challenges(
            office.store,
            office.settings,
            profile_name(office.settings, options["profile"]),
            count=options["count"],
            subject=options["subject"] or "",
            san=options["san"],
            ttl=ttl,
            uses=options["uses"],
            label=options["label"],
            actor=office.actor,
            now=office.now,
        )
    values = [
        {"id": one.id, "profile": one.profile, "secret": one.secret,
         "expires": rfc3339(one.expires_at)}
        for one in minted
    ]  # fmt: skip
    if options["san"] and not options["subject"]:
        out.warn(
            "--san alone leaves the subject to whoever has the challenge, also somebody else's "
            "common name; --subject binds it"
        )
    first = values[0]
    out.note(f"good in profile {first['profile']} until {first['expires']}")
    out.result({"challenges": values}, lambda: "".join(f"{one.secret}\n" for one in minted))


@command(
    "list",
    within=challenge,
    example="scepkit challenge list --usable --profile routers",
)
@option("--usable", is_flag=True, section="List", help="Show those that can still be used.")
@in_profile_option
@page_options
@office_options
def list_challenges(
    out: Output, /, config: str, actor: str | None, profile: str | None, **options: Any
) -> None:
    """List challenges, newest first; without their secrets, which nobody has."""
    from scepkit.cli.server.listing import challenge_values, last_of, more, table, when
    from scepkit.cli.server.office import open_office
    from scepkit.server import admin
    from scepkit.store.rows import milliseconds

    with open_office(out, config, actor) as office:
        now = milliseconds(office.now)
        rows = admin.list_challenges(
            office.store,
            profile=profile,
            usable_at=office.now if options["usable"] else None,
            before=options["before"],
            limit=options["limit"],
        )
    values = [challenge_values(row, now) for row in rows]
    following = last_of(rows, options["limit"])

    def text() -> str:
        return table(
            ("id", "state", "profile", "uses left", "expires", "subject", "label"),
            [
                (str(row.id), one["state"], row.profile, f"{row.uses_left}/{row.uses}",
                 when(row.expires_at), one["subject"] or "", row.label)
                for row, one in zip(rows, values, strict=True)
            ],
        )  # fmt: skip

    out.result({"challenges": values, "before": following}, text)
    more(out, following)


@command("revoke", within=challenge, example="scepkit challenge revoke 17")
@click.argument("numbers", metavar="ID...", type=ROW, nargs=-1, required=True)
@office_options
def revoke(out: Output, /, config: str, actor: str | None, numbers: tuple[int, ...]) -> None:
    """Let challenges be used no more.

    ID is the number that `scepkit challenge list` shows. What was enrolled with them stays.
    """
    from scepkit.cli.server.listing import challenge_values
    from scepkit.cli.server.office import each, open_office
    from scepkit.server import admin
    from scepkit.store.rows import milliseconds

    with open_office(out, config, actor) as office:
        rows = each(
            out,
            numbers,
            lambda number: admin.revoke_challenge(
                office.store, number, actor=office.actor, now=office.now
            ),
            done="revoked",
        )
    now = milliseconds(office.now)
    values = [challenge_values(row, now) for row in rows]
    out.result({"challenges": values}, lambda: "".join(f"revoked {row.id}\n" for row in rows))
