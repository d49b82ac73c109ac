"""Making the CertRep that leaves the server.

The rule of this file: the answer is protected like the request, within what the profile accepts, so
that whoever could ask can read it; single DES and MD5 are never written.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from scepkit.core import cms, messages
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.envelope import Password
from scepkit.core.messages import Failure, PkiStatus, Protection, StillPending
from scepkit.errors import FailInfo, KeyUnavailable, ScepError
from scepkit.server import tokens
from scepkit.server.case import Answer, Case
from scepkit.store import turns

log = logging.getLogger("scepkit.server")


def seal(case: Case, answer: Answer, protection: Protection, signer: cms.Signer) -> bytes:
    """Encrypt and sign an answer.

    :param protection: that of the request, as far as it is known.
    :raises KeyUnavailable: the key that signs is not to be had now.
    """
    if protection.digest not in case.profile.digests:
        protection = replace(protection, digest=Digest.SHA256)
    if protection.cipher.legacy:
        protection = replace(protection, cipher=Cipher.AES128_CBC)
    match answer.reply:
        case Failure(fail_info):
            name = fail_info.rfc_name if isinstance(fail_info, FailInfo) else str(fail_info)
            case.record.ended(PkiStatus.FAILURE, name)
        case StillPending():
            case.record.ended(PkiStatus.PENDING)
        case _:
            case.record.ended(PkiStatus.SUCCESS)

    def sealed() -> bytes:
        return messages.seal_reply(
            answer.reply,
            case.request,
            signer=signer,
            protection=protection,
            signing_time=case.now,
            recipient=answer.recipient,
            empty_content=True,
        )

    try:
        if isinstance(answer.recipient, Password):  # deriving a key from it takes long
            return turns.elsewhere(sealed)
        return tokens.signing(signer.key, sealed)
    except ScepError:
        raise
    except Exception as error:  # a token may raise anything
        log.warning("the key that signs replies cannot be used: %r", error)
        raise KeyUnavailable("the key that signs replies cannot be used now") from error
