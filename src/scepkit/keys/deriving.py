"""How much work the file of an encrypted key asks for, before any of it is done.

A password becomes a key by many rounds of a hash, and the file says by how many: up to two thousand
million, which keep a processor busy for minutes and cannot be interrupted.  The rule of this file:
nothing is decrypted, and nothing raises.
"""

from __future__ import annotations

from scepkit.core.ber import first_element
from scepkit.errors import DecodeError

#: OpenSSL writes 2048 rounds, careful programs about a million; this many take some seconds.
MAX_ROUNDS = 10_000_000

_INTEGER, _OCTET_STRING, _SEQUENCE, _CONSTRUCTED = 0x02, 0x04, 0x30, 0x20
_SCRYPT_COSTS = 3  # N, r and p, whose product is the work
_DEEPEST = 40


def rounds(data: bytes) -> int:
    """The most rounds that something in `data` (PKCS#8 or PKCS#12, DER or BER) asks for, or 0.

    Looks for what PBKDF2 and scrypt have for parameters, and the MAC of PKCS#12: a salt, and an
    INTEGER behind it.  What is itself encrypted is not seen.
    """
    try:
        der, _ = first_element(data)
    except DecodeError:
        return 0
    return _most(der, 0, len(der), 0)


def _most(data: bytes, at: int, end: int, depth: int) -> int:
    """The most rounds among the elements between two positions; 0 if these are no elements."""
    most, salted, costs = 0, False, list[int]()
    while at < end:
        if end - at < 2 or depth > _DEEPEST:
            return 0
        tag, length, content = data[at], data[at + 1], at + 2
        if length & 0x80:
            content += length & 0x7F
            length = int.from_bytes(data[at + 2 : content], "big")
        if content + length > end:
            return 0
        if tag == _INTEGER and salted:
            costs.append(int.from_bytes(data[content : content + min(length, 9)], "big"))
        elif tag == _OCTET_STRING:
            salted = True
        if tag & _CONSTRUCTED or tag == _OCTET_STRING:
            most = max(most, _most(data, content, content + length, depth + 1))
        at = content + length
    if len(costs) >= _SCRYPT_COSTS:
        costs = [costs[0] * costs[1] * costs[2]]
    return max([most, *costs[:1]])
