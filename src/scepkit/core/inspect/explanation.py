"""What an explanation is made of: checks, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from cryptography import x509

from scepkit.core.certificates import PrivateKey
from scepkit.core.inspect.render import shown
from scepkit.core.inspect.values import Inspection, Oddity
from scepkit.values import field, frozen

#: ``fails``: every right reader refuses it; ``risk``: RFC 8894 allows it or right readers bear it,
#: and some peers do not; ``unseen``: something is missing that would tell.
Verdict = Literal["ok", "fails", "risk", "unseen"]


@frozen
class Check:
    """One thing that a reader looks at.

    Attributes:
        step: what it looks at.
        found: what is there, as a sentence without capital and full stop.
        answer: what a strict reader answers or does when it fails, or "".
        remedy: what to change, and where, or "".
        code: of the oddity or the section behind it, or "".
    """

    step: str
    verdict: Verdict
    found: str
    answer: str = ""
    remedy: str = ""
    code: str = ""


@frozen
class Explanation:
    """The checks that a message meets.

    Attributes:
        reader: who makes them: ``server`` for a request, ``client`` for a reply or for what else
            a server sends.
        checks: in order.
        habits: who has probably written it, by what only some do.
    """

    reader: Literal["server", "client"]
    checks: tuple[Check, ...]
    habits: tuple[Oddity, ...] = ()

    @property
    def stops_at(self) -> Check | None:
        """The first check that fails: further ones are never made by a strict reader."""
        return next((one for one in self.checks if one.verdict == "fails"), None)


@frozen
class Known:
    """What is known besides the message.

    Attributes:
        request: the request that a reply answers.
        authorities: the certificates of the CA and its RAs.
        key: the recipient's private key.
    """

    request: Inspection | None = None
    authorities: tuple[x509.Certificate, ...] = ()
    key: PrivateKey | None = field(default=None, repr=False)


def odd(found: Inspection, *codes: str) -> str:
    """The texts of the oddities with one of these codes, as one; "" for none.

    A code may have a word behind a colon that the text must have: ``A16:signatures``.
    """
    texts = []
    for one in found.oddities:
        for code in codes:
            wanted, _, word = code.partition(":")
            if one.code == wanted and word in one.text:
                texts.append(one.text)
    return "; ".join(dict.fromkeys(texts))


def noted(
    found: Inspection, step: str, verdict: Verdict, codes: tuple[str, ...], answer: str, remedy: str
) -> Iterator[Check]:
    """The check that oddities of these codes make fail; nothing when there are none."""
    text = odd(found, *codes)
    if text:
        yield Check(step, verdict, text, answer, remedy, codes[0].partition(":")[0])


# ------------------------------------------------------------------ showing


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as a JSON object."""
    stop = explanation.stops_at
    return {
        "reader": explanation.reader,
        "checks": [
            {
                "step": one.step,
                "verdict": one.verdict,
                "found": one.found,
                "answer": one.answer or None,
                "remedy": one.remedy or None,
                "code": one.code or None,
            }
            for one in explanation.checks
        ],
        "stopsAt": stop.step if stop else None,
        "habits": [{"code": one.code, "text": one.text} for one in explanation.habits],
    }


def explanation_text(explanation: Explanation) -> str:
    """The explanation for a terminal: a line a check, and where a strict reader stops."""
    lines = [f"What a strict {explanation.reader} checks, in its order:"]
    width = max(len(one.step) for one in explanation.checks)
    for one in explanation.checks:
        word = "FAILS" if one.verdict == "fails" else one.verdict
        code = f" ({one.code})" if one.code else ""
        lines.append(f"  {word:<6}  {one.step:<{width}}  {shown(one.found)}{code}")
        lines += [
            f"  {'':<6}  {'':<{width}}  {name}: {text}"
            for name, text in (("then", one.answer), ("change", one.remedy))
            if text
        ]
    lines += [f"Probably: {one.text} ({one.code})." for one in explanation.habits]
    lines.append(_last_line(explanation))
    return "\n".join(lines) + "\n"


def _last_line(explanation: Explanation) -> str:
    who, stop = f"A strict {explanation.reader}", explanation.stops_at
    if stop is not None:
        return f"{who} stops at: {stop.step}."
    unseen = any(one.verdict == "unseen" for one in explanation.checks)
    return f"{who} finds nothing wrong{' in what can be seen' if unseen else ''}."
