"""Decrypting a request when several keys or passwords may fit.

The rule of this file: a key that the request names goes first; then the others, as clients encrypt
to the wrong certificate (Q40), and the last error is the one reported.  Single DES is read here, so
that a test CA can serve clients that know nothing else (Q37); `state.Policy.ciphers` decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from scepkit.core import envelope, key_transport
from scepkit.core.certificates import read_identifier
from scepkit.core.csr import read_csr
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages import (
    DecryptedRequest,
    PkcsReq,
    Protection,
    RenewalReq,
    Request,
    decode_data,
)
from scepkit.errors import DecodeError, DecryptError, ProtocolError

_PASSWORD = 0xA3


def open_request(
    request: Request, keys: Sequence[DecryptionKey], passwords: Sequence[Password]
) -> tuple[DecryptedRequest, DecryptionKey | Password]:
    """Decrypt a request; also says with what.

    :raises ProtocolError: nothing fits, or what it says is malformed.
    """
    if request.message_type is None:
        raise ProtocolError(f"messageType {request.message_type_text!r} is not a request")
    if not request.content:
        raise DecodeError("the pkiMessage holds no pkcsPKIEnvelope")
    enveloped = envelope.read_envelope(request.content, allow_legacy=True)
    by_password = any(info[0] == _PASSWORD for info in enveloped.recipients)
    candidates: Sequence[DecryptionKey | Password]
    candidates = passwords if by_password else _named_first(enveloped.recipients, keys)
    fault: ProtocolError = DecryptError("the message is not for any key of this CA")
    for candidate in candidates:
        try:
            decrypted = envelope.decrypt(enveloped, candidate)
            data = decode_data(request.message_type, decrypted.content)
            if isinstance(data, PkcsReq | RenewalReq):
                # A wrong key gives garbage that is well padded once in 256 times.
                read_csr(data.csr)
        except ProtocolError as error:
            fault = error
            continue
        protection = Protection(decrypted.cipher, request.digest, decrypted.key_transport)
        return DecryptedRequest(data, protection), candidate
    raise fault


def _named_first(recipients: Sequence[bytes], keys: Sequence[DecryptionKey]) -> list[DecryptionKey]:
    named = {serial for info in recipients if (serial := _serial(info)) is not None}
    return sorted(keys, key=lambda key: key.certificate.serial_number not in named)


def _serial(info: bytes) -> int | None:
    try:
        rid, _, _ = key_transport.read_recipient(info)
        identifier = read_identifier(rid)
    except DecodeError:
        return None
    return None if isinstance(identifier, bytes) else identifier[1]
