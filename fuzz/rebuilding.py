"""Damage behind the cryptography: a message is opened, changed at one layer, and sealed again.

A change that is only made on the wire is found by the first comparison of a digest, and nothing
behind that is ever reached.  The rule of this file: whatever else is wrong with a message, its
signature is right, and so is its encryption; a layer that cannot be read any more is replaced.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fuzz import grammar
from scepkit.core import cms, envelope
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.asn1 import split
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.signed import signed
from scepkit.errors import ScepError
from tests import cms_writer, pki
from tests.mutations import elements
from tests.pki import Identity

_MESSAGE_DIGEST = cms_writer.oid(cms_writer.MESSAGE_DIGEST)
_CIPHERS = (Cipher.AES128_CBC, Cipher.AES256_CBC, Cipher.DES_EDE3_CBC)
# Longer digests do not fit into the small keys of the harnesses.
_TRANSPORTS = (KeyTransport.RSA_PKCS1V15, KeyTransport.RSA_OAEP_SHA1, KeyTransport.RSA_OAEP_SHA256)


def view(identity: Identity) -> CertificateView:
    """A certificate of the tests as our own code has it."""
    return view_of(identity.certificate)


def key_of(identity: Identity) -> DecryptionKey:
    """Its key, to decrypt with."""
    return DecryptionKey(view(identity), identity.key)


@dataclass(frozen=True)
class Sealing:
    """Who signs the messages of a harness, and who can read them.

    Attributes:
        signer: signs what is sealed again.
        recipients: those it may be encrypted to.
        keys: to decrypt what is to be changed.
        change: changes what was encrypted; by default as ASN.1.
        plain: what is encrypted where nothing could be decrypted.
    """

    signer: Identity
    recipients: Sequence[CertificateView | Password]
    keys: Sequence[DecryptionKey | Password]
    plain: bytes
    change: Callable[[bytes, random.Random], bytes] = grammar.mutate


def mutate_signed(data: bytes, chance: random.Random, sealing: Sealing) -> bytes:
    """A pkiMessage, changed on the wire or at one of its layers and signed again."""
    if chance.random() < 0.25:
        return grammar.mutate(data, chance)
    try:
        message = cms.read_signed(data)
        info = message.signers[0]
    except (ScepError, IndexError):
        return grammar.mutate(data, chance)
    content = message.content
    certificates = list(message.certificates) or [sealing.signer.der]
    attributes = split(info.signed_attrs) if info.signed_attrs else []
    match chance.randrange(6):
        case 0 | 1:
            attributes = _attributes_changed(attributes, chance)
        case 2:
            certificates = [
                grammar.mutate(one, chance) if chance.random() < 0.6 else one
                for one in certificates
            ]
        case 3 if content:
            content = grammar.mutate(content, chance)
        case _:
            content = _sealed_anew(content, chance, sealing)
    if chance.random() < 0.95:
        attributes = _with_digest(attributes, content)
    sort = chance.random() < 0.9
    signature = cms_writer.signer_info(sealing.signer, attributes, sid=info.sid, sort=sort)
    infos = [signature] * chance.choice((1, 1, 1, 1, 1, 1, 1, 1, 0, 2))
    return cms_writer.signed_data(content, infos, certificates, crls=message.crls)


def mutate_enveloped(data: bytes, chance: random.Random, sealing: Sealing) -> bytes:
    """An EnvelopedData, changed on the wire, or inside and encrypted again."""
    if chance.random() < 0.5:
        return grammar.mutate(data, chance)
    return _sealed_anew(data, chance, sealing) or data


def _sealed_anew(content: bytes | None, chance: random.Random, sealing: Sealing) -> bytes:
    plain = sealing.plain
    for key in sealing.keys:
        try:
            found = envelope.read_envelope(content or b"", allow_legacy=True)
            plain = envelope.decrypt(found, key).content
            break
        except ScepError:
            continue
    changed = sealing.change(plain, chance)
    to = chance.choice(sealing.recipients)
    return envelope.encrypt(changed, to, chance.choice(_CIPHERS), chance.choice(_TRANSPORTS))


def _attributes_changed(attributes: list[bytes], chance: random.Random) -> list[bytes]:
    if not attributes:
        return attributes
    at = chance.randrange(len(attributes))
    match chance.randrange(8):
        case 0:
            return attributes[:at] + attributes[at + 1 :]
        case 1:
            return [*attributes, attributes[at]]
        case 2:
            return [*attributes, grammar.mutate(attributes[at], chance)]
        case _:
            changed = grammar.mutate(attributes[at], chance)
            return [*attributes[:at], changed, *attributes[at + 1 :]]


def _with_digest(attributes: list[bytes], content: bytes | None) -> list[bytes]:
    """The attributes with the messageDigest of the content, if they have one."""
    digest = cms_writer.cms_attributes(content)["messageDigest"]
    return [digest if _MESSAGE_DIGEST in one[:16] else one for one in attributes]


# ------------------------------------------------------------------ requests, certificates, CRLs


def signed_changer(key: pki.PrivateKey) -> Callable[[bytes, random.Random], bytes]:
    """Changes what X.509 calls SIGNED, mostly so that the signature is right: of this key."""

    def change(data: bytes, chance: random.Random) -> bytes:
        content = first_part(data)
        if not content or chance.random() < 0.3:
            return grammar.mutate(data, chance)
        return signed(grammar.mutate(content, chance), key, Digest.SHA256)

    return change


def first_part(data: bytes) -> bytes:
    """What is signed of a request, certificate or CRL; b"" when there is nothing like it."""
    known = elements(data)
    return data[known[1].start : known[1].end] if len(known) > 1 else b""
