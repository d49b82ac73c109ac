"""Which keys are certified (A24)."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scepkit.ca import KeyRules
from scepkit.ca.keys import has_roca_shape, key_fault
from scepkit.errors import FailInfo, InputError
from tests import pki


def rsa_public(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    """A public key of this size that nobody has the private key of."""
    return rsa.RSAPublicNumbers(exponent, (1 << bits) - 159).public_key()


@pytest.mark.parametrize("name", ["rsa2048-a", "rsa4096", "ec256-a", "ec384"])
def test_ordinary_keys_are_accepted(name: str) -> None:
    assert key_fault(pki.key(name).public_key(), KeyRules()) is None


def test_a_short_rsa_key_is_refused_as_a_bad_request() -> None:
    fault = key_fault(pki.key("rsa1024").public_key(), KeyRules())
    assert fault is not None
    assert fault.fail_info is FailInfo.BAD_REQUEST
    assert "1024 bits" in fault.reason


def test_a_huge_rsa_key_is_refused() -> None:
    assert key_fault(rsa_public(16384), KeyRules()) is not None


def test_a_small_public_exponent_is_refused() -> None:
    fault = key_fault(rsa_public(2048, exponent=3), KeyRules())
    assert fault is not None
    assert "exponent" in fault.reason


def test_a_curve_that_is_not_listed_is_a_bad_algorithm() -> None:
    fault = key_fault(pki.key("ec384").public_key(), KeyRules(curves=frozenset({"p256"})))
    assert fault is not None
    assert fault.fail_info is FailInfo.BAD_ALG


def test_rsa_can_be_ruled_out() -> None:
    fault = key_fault(pki.key().public_key(), KeyRules(min_rsa_bits=0))
    assert fault is not None
    assert fault.fail_info is FailInfo.BAD_ALG


def test_ed25519_is_accepted_only_when_listed() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert key_fault(key, KeyRules(ed25519=True)) is None
    fault = key_fault(key, KeyRules())
    assert fault is not None
    assert fault.reason == "Ed25519 keys are not certified here"


def test_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256K1()).public_key()
    assert key_fault(key, KeyRules()) is not None


def test_something_that_is_no_key_is_refused() -> None:
    assert key_fault(None, KeyRules()) is not None


def test_an_unknown_curve_name_is_an_input_error() -> None:
    with pytest.raises(InputError, match="p192"):
        KeyRules(curves=frozenset({"p192"}))


def test_the_shape_of_the_faulty_generator_is_recognised() -> None:
    primes = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
    assert has_roca_shape(pow(65537, 12345, math.prod(primes)))


@pytest.mark.parametrize("name", ["rsa2048-a", "rsa2048-b", "rsa2048-c", "rsa3072", "rsa4096"])
def test_sound_moduli_do_not_have_that_shape(name: str) -> None:
    assert not has_roca_shape(pki.rsa_key(name).public_key().public_numbers().n)
