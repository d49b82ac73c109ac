"""Files that would keep the processor busy for minutes are refused before that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from scepkit.core.pem import write_pem
from scepkit.errors import KeyLoadError
from scepkit.keys import load_certificates, load_key
from scepkit.keys.deriving import MAX_ROUNDS, rounds
from tests import ber_writer, pki, vectors
from tests import cms_writer as w

PASSWORD = b"secret"
KEY = (vectors.FOLDER / "fuzz" / "many-rounds.key").read_bytes()
PKCS12 = (vectors.FOLDER / "fuzz" / "many-rounds.p12").read_bytes()


@pytest.mark.parametrize(
    ("load", "data"),
    [
        (load_key, KEY),
        (load_key, write_pem("ENCRYPTED PRIVATE KEY", KEY)),
        (load_key, PKCS12),
        (load_certificates, PKCS12),
    ],
    ids=["key", "key in PEM", "PKCS#12", "certificates in PKCS#12"],
)
def test_two_thousand_million_rounds_are_refused_at_once(
    load: Callable[..., Any], data: bytes
) -> None:
    began = time.process_time()
    with pytest.raises(KeyLoadError, match="asks for 2147483647 rounds") as caught:
        load(data, PASSWORD)
    assert time.process_time() - began < 5
    assert caught.value.reason == "unusable"
    assert caught.value.hint


def test_a_pkcs12_file_without_a_password_asks_for_them_too() -> None:
    with pytest.raises(KeyLoadError, match="asks for 2147483647 rounds"):
        load_certificates(PKCS12)


def test_usual_files_ask_for_less() -> None:
    locked = BestAvailableEncryption(PASSWORD)
    for name in ("rsa1024", "ec256-a"):
        der = pki.key(name).private_bytes(Encoding.DER, PrivateFormat.PKCS8, locked)
        assert 1000 <= rounds(der) <= MAX_ROUNDS
        assert load_key(der, PASSWORD).public_key() == pki.key(name).public_key()


def test_rounds_are_found_in_ber_and_in_octet_strings() -> None:
    parameters = w.seq(w.octets(b"salt"), w.integer(77), w.integer(32))
    inside = w.seq(w.octets(w.seq(w.octets(parameters))))
    assert rounds(inside) == 77
    assert rounds(b"\x30\x80" + inside[2:] + b"\0\0") == 77
    assert rounds(ber_writer.der(ber_writer.parse(inside))) == 77


def test_the_work_of_scrypt_is_the_product_of_its_costs() -> None:
    assert rounds(w.seq(w.octets(b"s"), w.integer(16384), w.integer(8), w.integer(2))) == 262144


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no ASN.1",
        w.seq(w.integer(5), w.octets(b"x")),
        w.octets(b"\x30"),
        w.octets(b"\x30\x05\x04\x01"),
        w.octets(b"\x30\x84\x00\x00\x00"),
    ],
    ids=["empty", "text", "no salt before it", "cut", "short", "no length"],
)
def test_what_asks_for_nothing_has_no_rounds(data: bytes) -> None:
    assert rounds(data) == 0


def test_what_nests_too_deep_is_not_followed() -> None:
    data = w.seq(w.octets(b"salt"), w.integer(77))
    for _ in range(60):
        data = w.octets(data)
    assert rounds(data) == 0
