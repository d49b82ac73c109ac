"""What server and client check alike: encoding, algorithms, signed attributes.

The rule of this file: the same as in `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator

from scepkit.core.inspect.explanation import Check, noted, odd
from scepkit.core.inspect.values import EnvelopeInfo, Inspection

BAD_ALG = "FAILURE badAlg (0)"
BAD_CHECK = "FAILURE badMessageCheck (1)"
BAD_REQUEST = "FAILURE badRequest (2)"
UNREADABLE = "HTTP 400 of a server, an error of a client"

_WANTED = (
    "contentType",
    "messageDigest",
    "messageType",
    "transactionID",
    "senderNonce",
    "recipientNonce",
    "pkiStatus",
    "failInfo",
)
_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_CUT = "look for what cuts, packs or changes it on its way"


def encoding(found: Inspection) -> Iterator[Check]:
    """How the message is written, down to base64."""
    step = "encoding"
    faults = [
        *noted(found, "HTTP body", "fails", ("RFC 9112 8",), UNREADABLE, _CUT),
        *noted(found, "HTTP body", "risk", ("RFC 9110 8.4",), UNREADABLE, _CUT),
        *noted(found, step, "fails", ("RFC 8894 4.3",), UNREADABLE, "send the message alone"),
        *noted(
            found,
            "base64",
            "risk",
            ("Q08", "Q02", "Q09", "Q10"),
            "HTTP 400 from servers that read what a framework has decoded",
            "escape +, / and = as %2B, %2F and %3D, without line breaks; or use POST",
        ),
        *noted(
            found,
            step,
            "risk",
            ("Q16",),
            "HTTP 400 from readers of DER alone",
            "write DER: definite lengths, strings in one piece, sets in order",
        ),
    ]
    yield from faults or [Check(step, "ok", "DER")]


def signed_right(found: Inspection, weak: str, broken: str) -> Iterator[Check]:
    """Digest and signature; who made it is another question.

    :param weak, broken: what a strict reader does about an algorithm that is not allowed, and about
        a signature that is broken.
    """
    info = found.signature
    assert info is not None  # noqa: S101 - what is signed has one
    step = "signature"
    yield from noted(found, step, "fails", ("A16:signatures",), UNREADABLE, "sign once")
    # Looked at before the signature, which with these could be one over something else.
    once = "put each attribute among the signed ones, once, with one value"
    for code in ("A17", "A16:attribute", "A16:values"):
        yield from noted(found, "signed attributes", "fails", (code,), UNREADABLE, once)
    yield _digest(info.digest, weak)
    if info.state == "valid":
        yield Check(step, "ok", f"made with the key of {info.signer_id}")
        return
    text = f"it is {info.state}: {info.explanation}"
    remedy = f"send the signer's certificate along, and {_CUT}"
    yield Check(step, "fails", text, broken, remedy, "RFC 8894 3.1")


def _digest(name: str, weak: str) -> Check:
    if name in _DIGESTS:
        return Check("digest", "ok", name)
    if name == "sha1":
        remedy = "use SHA-256; where the device has no choice, let the server take SHA-1"
        text = "the message is signed with SHA-1"
        return Check("digest", "risk", text, weak, remedy, "RFC 8894 7.9")
    remedy = "use SHA-256, which SCEPStandard or SHA-256 in GetCACaps announces"
    text = f"the message is signed with {name.upper()}, which RFC 8894 does not allow"
    return Check("digest", "fails", text, weak, remedy, "RFC 8894 2.9")


def attributes_right(found: Inspection, *optional: str) -> Iterator[Check]:
    """Whether the signed attributes are there, and of the right form.

    :param optional: those that the reader can do without, although RFC 8894 wants them.
    """
    step = "signed attributes"
    needed = [f"RFC 8894 3.2.1:no {name} " for name in _WANTED if name not in optional]
    grave = [
        *noted(found, step, "fails", tuple(needed), UNREADABLE, "add what is missing"),
        *noted(found, "transactionID", "fails", ("A18",), UNREADABLE, "use 1 to 255 characters"),
    ]
    yield from grave or [Check(step, "ok", "all are there that must be")]
    for name in optional:
        code = f"RFC 8894 3.2.1:no {name} "
        yield from noted(found, step, "risk", (code,), UNREADABLE, "add what is missing")
    yield from noted(
        found,
        step,
        "risk",
        ("Q19", "Q18", "Q23", "RFC 8894 3.2.1.1", "RFC 8894 3.2.1:a request has no"),
        BAD_CHECK,
        "write PrintableStrings, nonces of 16 bytes, and the set in DER's order",
    )


def cipher(found: Inspection, info: EnvelopeInfo, weak: str) -> Iterator[Check]:
    """How the content and its key are encrypted."""
    step = "cipher"
    pieces = odd(found, "Q17")
    if odd(found, "RFC 8894 2.9:cipher", "RFC 8894 2.9:single DES"):
        text = f"the content is encrypted with {info.cipher}, which RFC 8894 does not allow"
        remedy = "use AES where GetCACaps has AES or SCEPStandard, else 3DES"
        yield Check(step, "fails", text, weak, remedy, "Q37")
    else:
        yield Check(step, "ok", info.cipher)
    if pieces:
        remedy = "write the encryptedContent in one piece"
        yield Check(step, "risk", pieces, "an error of strict readers", remedy, "Q17")
    yield from noted(
        found,
        "key transport",
        "risk",
        ("Q26", "Q27"),
        weak,
        "use PKCS #1 v1.5, or a server and a client that read RSA-OAEP",
    )
