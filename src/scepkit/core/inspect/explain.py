"""Why a message is refused: what a strict reader checks, in the order in which it does.

The rules of this file and of those that it asks: a check looks at an `Inspection` and at nothing
else; what it could not see is said to be unseen, never to be good; and the order is that of the
work itself: HTTP, encoding, signature, attributes, envelope, content, policy.
"""

from __future__ import annotations

from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.inspect import explain_answer, explain_reply, explain_request, habits
from scepkit.core.inspect.explanation import Explanation, Known
from scepkit.core.inspect.values import Inspection


def explain(found: Inspection, known: Known | None = None) -> Explanation:
    """Say which checks a message passes, and which not.

    :param found: what `inspect_message` gave, with the keys that there are.
    :param known: what else there is to compare it with.
    """
    known = known or Known()
    if is_request(found):
        return Explanation("server", tuple(explain_request.checks(found)), habits.of(found))
    if found.kind == "pkiMessage" or known.request is not None or _is_meant_as_reply(found):
        return Explanation("client", tuple(explain_reply.checks(found, known)), habits.of(found))
    return Explanation("client", tuple(explain_answer.checks(found)), habits.of(found))


def is_request(found: Inspection) -> bool:
    """Whether it is something that a client sends."""
    if found.http is not None and found.http.method:
        return True
    if found.attributes is not None:
        status, kind = found.attributes.pki_status, found.attributes.message_type
        return status is None and (kind is None or kind.number != _CERT_REP)
    return found.kind in _SENT_BY_CLIENTS


def _is_meant_as_reply(found: Inspection) -> bool:
    kind = found.http.content_type if found.http is not None else ""
    if found.kind == "HTTP":
        return not kind.startswith("application/x-x509")
    return kind == PKI_MESSAGE_TYPE


_CERT_REP = 3
_SENT_BY_CLIENTS = {"CertificationRequest", "IssuerAndSubject", "IssuerAndSerialNumber"}
