"""The seven SCEP messages: values in, bytes out, and back (RFC 8894 sections 3.1 to 3.3).

values       what messages say
attributes   the signed attributes that carry the protocol
requester    `encode_request`, `open_reply`
authority    `read_request`, `decrypt_request`, `seal_reply`
"""

from scepkit.core.messages.attributes import (
    ID_FAIL_INFO,
    ID_FAIL_INFO_TEXT,
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_SIGNING_TIME,
    ID_TRANSACTION_ID,
    MAX_TRANSACTION_ID,
    NONCE_BYTES,
)
from scepkit.core.messages.authority import (
    DecryptedRequest,
    Request,
    decrypt_request,
    read_request,
    seal_reply,
)
from scepkit.core.messages.requester import (
    encode_request,
    new_nonce,
    new_transaction_id,
    open_reply,
)
from scepkit.core.messages.values import (
    CertPoll,
    CertRep,
    Failure,
    GetCert,
    GetCrl,
    MessageData,
    MessageType,
    PkcsReq,
    PkiStatus,
    Protection,
    RenewalReq,
    StillPending,
    Success,
    decode_data,
    encode_data,
    message_type_of,
)

__all__ = [
    "ID_FAIL_INFO",
    "ID_FAIL_INFO_TEXT",
    "ID_MESSAGE_TYPE",
    "ID_PKI_STATUS",
    "ID_RECIPIENT_NONCE",
    "ID_SENDER_NONCE",
    "ID_SIGNING_TIME",
    "ID_TRANSACTION_ID",
    "MAX_TRANSACTION_ID",
    "NONCE_BYTES",
    "CertPoll",
    "CertRep",
    "DecryptedRequest",
    "Failure",
    "GetCert",
    "GetCrl",
    "MessageData",
    "MessageType",
    "PkcsReq",
    "PkiStatus",
    "Protection",
    "RenewalReq",
    "Request",
    "StillPending",
    "Success",
    "decode_data",
    "decrypt_request",
    "encode_data",
    "encode_request",
    "message_type_of",
    "new_nonce",
    "new_transaction_id",
    "open_reply",
    "read_request",
    "seal_reply",
]
