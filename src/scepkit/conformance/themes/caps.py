"""GetCACaps: what the server says of itself (RFC 8894 section 3.5).

The rule of this file: words are compared as they were sent, since old devices do the same.
"""

from __future__ import annotations

from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, check
from scepkit.conformance.verdicts import Verdict, failed, inconclusive, passed, together, warned
from scepkit.core.capabilities import Capability, parse_capabilities
from scepkit.core.http import html_title, media_type

_WORDS = {one.value.lower(): one.value for one in Capability}
#: What devices look for by its own name, even where SCEPStandard says it all.
_LEGACY = ("AES", "DES3", "SHA-1", "SHA-256", "POSTPKIOperation", "Renewal")
#: Words of drafts and of vendors.
_LONGEST_WORD = 64


def _words(body: bytes) -> list[str]:
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return [line for line in text.split("\n") if line]


@check(
    "T01",
    Class.MUST,
    "GetCACaps is answered with a list of words",
    section="RFC 8894 3.5.1",
    remedy="answer GET ?operation=GetCACaps with HTTP 200 and one word on each line",
)
def caps_answered(probe: Probe) -> Verdict:
    """200 and a list; nothing at all counts as "no capabilities"."""
    found = probe.operation("GetCACaps")
    if found.response is None:
        return failed(f"{found.error}, expected an answer; clients take this for no capabilities")
    if found.status != 200:
        return warned(f"{found.answer_text}: clients take this for a server that can do nothing")
    if html_title(found.body) is not None:
        return failed(f"a web page ({found.answer_text}), expected a list of words")
    if b"\0" in found.body or len(found.body) > 4096:
        return failed(f"{len(found.body)} bytes that are no list of words")
    words = _words(found.body)
    odd = [one for one in words if not one.isascii() or len(one) > _LONGEST_WORD]
    if odd:
        return failed(f"the line {odd[0][:80]!r} is not a word")
    if not words:
        return warned("the list is empty: clients will use GET, triple DES and SHA-1")
    return passed(", ".join(words))


@check(
    "T02",
    Class.SHOULD,
    "GetCACaps is answered as text/plain, without parameters",
    section="RFC 8894 3.5.2",
    remedy="send `Content-Type: text/plain`; old clients stumble over `; charset=...`",
)
def caps_type(probe: Probe) -> Verdict:
    """The Content-Type (Q12)."""
    found = probe.operation("GetCACaps")
    if found.status != 200:
        return inconclusive(f"there is no list: {found.answer_text}")
    if media_type(found.content_type) != "text/plain":
        return failed(f"Content-Type {found.content_type!r}, expected text/plain")
    if ";" in found.content_type:
        return failed(f"Content-Type {found.content_type!r}, expected it without parameters")
    return passed(found.content_type)


@check(
    "T03",
    Class.MUST,
    "known words are spelt as RFC 8894 spells them",
    section="RFC 8894 3.5.2",
    remedy="send the words in the RFC's own upper and lower case",
)
def caps_case(probe: Probe) -> Verdict:
    """Upper and lower case."""
    found = probe.operation("GetCACaps")
    if found.status != 200:
        return inconclusive(f"there is no list: {found.answer_text}")
    wrong = [
        f"{word.strip()!r} instead of {_WORDS[word.strip().lower()]!r}"
        for word in _words(found.body)
        if word.strip().lower() in _WORDS and word != _WORDS[word.strip().lower()]
    ]
    if wrong:
        return failed("; ".join(wrong))
    return passed("all known words are exact")


@check(
    "T04",
    Class.SHOULD,
    "SCEPStandard is announced, and what it promises works",
    section="RFC 8894 3.5.2",
    remedy="implement AES, SHA-256 and POST, then announce SCEPStandard",
)
def scep_standard(probe: Probe) -> Verdict:
    """SCEPStandard, and a plain enrolment by POST with AES-128 and SHA-256."""
    found = probe.operation("GetCACaps")
    announced = found.status == 200 and parse_capabilities(found.body).scep_standard
    if not announced:
        return failed("SCEPStandard is not among the words")
    if not probe.settings.allow_issue or probe.session.ca is None:
        return passed("it is announced; whether it holds was not tried (--allow-issue)")
    answer = probe.baseline()
    if answer.success or answer.pending:
        return passed("it is announced, and holds")
    return failed(f"it is announced, but POST with AES and SHA-256 gives {answer.said}")


@check(
    "T05",
    Class.QUIRK,
    "the words that old devices look for are listed one by one",
    section="RFC 8894 3.5.2",
    remedy="list AES, DES3, SHA-1, SHA-256, POSTPKIOperation and Renewal beside SCEPStandard, "
    "as far as they are true",
    disputed="a server that refuses 3DES and SHA-1 on purpose is right not to list them",
)
def legacy_words(probe: Probe) -> Verdict:
    """Words for Apple, IOS and jscep (Q01, Q22)."""
    found = probe.operation("GetCACaps")
    if found.status != 200:
        return inconclusive(f"there is no list: {found.answer_text}")
    listed = {word.strip().lower() for word in _words(found.body)}
    missing = [word for word in _LEGACY if word.lower() not in listed]
    if missing:
        return failed(f"not listed: {', '.join(missing)}")
    return passed(", ".join(_LEGACY))


@check(
    "T06",
    Class.QUIRK,
    "GetCACaps with a message parameter, or an empty one, is answered the same",
    section="RFC 8894 3.5.1",
    remedy="ignore `message=` in GetCACaps unless it names a profile that you have",
)
def caps_with_message(probe: Probe) -> Verdict:
    """Cisco IOS sends the name of its trustpoint (Q02)."""
    plain = probe.get("operation=GetCACaps")

    def verdict(query: str) -> Verdict:
        found = probe.get(f"operation=GetCACaps&{query}")
        if found.status != 200:
            return failed(f"{found.answer_text}, expected the list")
        if sorted(_words(found.body)) != sorted(_words(plain.body)):
            return failed("another list")
        return passed("the same list")

    return together((query, verdict(query)) for query in ("message=x", "message="))
