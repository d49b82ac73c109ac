"""Invariant: an answer to GetCACert is certificates, some of them authenticated, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

from cryptography.hazmat.primitives.serialization import Encoding

from fuzz import grammar, rebuilding
from scepkit.core import ca_replies
from scepkit.core.ca_certificates import authenticate
from scepkit.core.cms import certs_only
from scepkit.core.pem import write_pem
from scepkit.core.trust import CaOffer
from scepkit.errors import ScepError
from tests import ber_writer, pki, vectors

MEASURED = (
    "scepkit.core.ca_replies",
    "scepkit.core.ca_certificates",
    "scepkit.core.ca_roles",
    "scepkit.core.chains",
    "scepkit.core.pem",
    "scepkit.core.trust",
)

_ROOT = pki.root("ec256-a", "Fuzz Root")
_ISSUING = pki.intermediate(_ROOT, "ec256-b")
_RA = pki.ra(_ISSUING, "rsa1024")
_ALL = [_RA.der, _ISSUING.der, _ROOT.der]


def run(data: bytes) -> None:
    found = ca_replies.read_ca_certificates(data, "application/x-x509-ca-ra-cert")
    offer = CaOffer("http://ca.example/scep", None, found)
    offer.ca  # noqa: B018 - computed, and may fail
    for anchor in {_ROOT.certificate, _ISSUING.certificate, offer.ca}:
        with suppress(ScepError):
            known = authenticate(offer, anchor, pki.NOW)
            assert set(known.signers) <= set(known.certificates)
            for certificate in found:
                with suppress(ScepError):
                    known.chain_for(certificate, found)


def seeds() -> Iterator[bytes]:
    yield _ROOT.der
    yield certs_only(_ALL)
    yield certs_only([_ISSUING.der, pki.device(_ISSUING, key_name="ec256-a").der])
    yield ber_writer.ber(ber_writer.parse(certs_only(_ALL)), random.Random(3))
    yield b"".join(write_pem("CERTIFICATE", one) for one in _ALL)
    yield write_pem("PKCS7", certs_only(_ALL))
    yield b"<html><head><title>NDES</title></head></html>"
    yield vectors.conversation("ra/getcacert").steps[-1].response.wire


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Most changes are to one of the certificates of a bundle, with the bundle kept whole."""
    if chance.random() < 0.5:
        return grammar.mutate(data, chance)
    certificates = list(_ALL)
    with suppress(ScepError):
        certificates = [
            one.public_bytes(Encoding.DER) for one in ca_replies.read_ca_certificates(data)
        ] or certificates
    at = chance.randrange(len(certificates))
    certificates[at] = chance.choice(_CHANGERS)(certificates[at], chance)
    if chance.random() < 0.3:
        chance.shuffle(certificates)
    return certs_only(certificates)


_CHANGERS = tuple(rebuilding.signed_changer(one.key) for one in (_ROOT, _ISSUING))
