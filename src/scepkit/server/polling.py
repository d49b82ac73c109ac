"""CertPoll: how does my request stand?

The rules of this file:

* A transactionID leads to a request only together with the key that signed it (attack A22).
* What the poll holds does not matter (RFC 8894 section 3.3.3), nor whether it can be decrypted: an
  answer that depended on it would tell whoever sends somebody else's ciphertext with an IV of his
  own whether its padding is good (A2).
"""

from __future__ import annotations

from scepkit.errors import AlgorithmError, FailInfo
from scepkit.server import auditing, keeping
from scepkit.server.case import Answer, Case, Refusal, recipient_for
from scepkit.server.opening import Sealed
from scepkit.server.standing import as_it_stands
from scepkit.store import operations

UNKNOWN = "there is no request with this transactionID and key"


def poll(case: Case, sealed: Sealed) -> Answer:
    """Answer a CertPoll."""
    case.record.replay = "poll"
    with case.record.timed("claim"):
        operation = case.store.read(
            lambda tx: operations.by_alias(
                tx, case.profile.name, case.request.transaction_id, case.signer_spki
            )
        )
    if operation is None:
        refusal = Refusal(UNKNOWN, UNKNOWN, FailInfo.BAD_CERT_ID, "poll.deny")
        auditing.refuse(case, refusal, enrolling=False)
        return refusal.answer()
    secret = keeping.kept_secret(operation.csr, case.desk.deployment.pepper)
    try:
        recipient = recipient_for(case.request.signer, sealed.protection, secret)
    except AlgorithmError as error:
        refusal = Refusal(str(error), str(error), FailInfo.BAD_ALG, "poll.deny")
        auditing.refuse(case, refusal, enrolling=False)
        return refusal.answer()
    return as_it_stands(case, operation, recipient)
