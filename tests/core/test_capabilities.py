"""core.capabilities: reading any GetCACaps answer, choosing from it, writing one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import (
    Capabilities,
    Capability,
    format_capabilities,
    parse_capabilities,
)

ALL = (
    b"AES\nDES3\nGetNextCACert\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-384\nSHA-512\n"
    b"SCEPStandard\n"
)


@pytest.mark.parametrize(
    "body",
    [
        b"AES\nSHA-256\nPOSTPKIOperation\n",
        b"AES\r\nSHA-256\r\nPOSTPKIOperation",
        b"AES\rSHA-256\rPOSTPKIOperation\r",
        b"\r\n\nAES  \n\tSHA-256 \n POSTPKIOperation",
        b"aes\nSha-256\nPostPKIoperation",
        b"\xef\xbb\xbfAES\nSHA-256\nPOSTPKIOperation",
        "AES\nSHA-256\nPOSTPKIOperation".encode("utf-16"),
        b"AES\nSHA-256\nPOSTPKIOperation\n\x00",
        b"AES SHA-256\nPOSTPKIOperation AES",
    ],
)
def test_keywords_are_read_however_they_are_laid_out(body: bytes) -> None:
    capabilities = parse_capabilities(body)
    assert capabilities.words == {
        Capability.AES,
        Capability.SHA256,
        Capability.POST_PKI_OPERATION,
    }
    assert capabilities.unknown == ()
    assert capabilities.source == "announced"


def test_unknown_words_are_kept_apart_in_order() -> None:
    capabilities = parse_capabilities(b"Zeta\nAES\nUpdate\nZeta\n")
    assert capabilities.words == {Capability.AES}
    assert capabilities.unknown == ("Zeta", "Update")


def test_only_unknown_words_still_count_as_announced() -> None:
    assert parse_capabilities(b"Update").source == "announced"


def test_prose_does_not_become_a_capability() -> None:
    capabilities = parse_capabilities(b"we support AES and SHA-256")
    assert capabilities.words == frozenset()
    assert capabilities.unknown == ("we support AES and SHA-256",)


def test_the_sha2_of_cisco_ios_means_sha_256() -> None:
    capabilities = parse_capabilities(b"GetNextCACert Renewal SHA2\n")
    assert capabilities.preferred_digest is Digest.SHA256
    assert capabilities.renewal
    assert capabilities.next_ca


@pytest.mark.parametrize("body", [b"", b"\r\n \n", b"\xef\xbb\xbf", b"\x00"])
def test_an_empty_body_means_no_capability(body: bytes) -> None:
    assert parse_capabilities(body) == Capabilities(source="none")


def test_a_web_page_means_no_capability() -> None:
    page = b"\n<html>\nAES\nSHA-256\n</html>"
    assert parse_capabilities(page) == Capabilities(source="html")


def test_the_title_of_a_web_page_is_kept() -> None:
    page = b"<html><head><title>Log in</title></head>AES</html>"
    assert parse_capabilities(page) == Capabilities(source="html", title="Log in")


def test_only_the_first_4096_bytes_are_read_and_no_cut_word() -> None:
    body = b"AES\n" + b"x" * 4084 + b"\nSHA-1" + b"999\nSHA-512\n"
    capabilities = parse_capabilities(body)
    assert capabilities.words == {Capability.AES}
    assert len(capabilities.unknown) == 1


def test_unknown_words_are_made_printable_and_short() -> None:
    capabilities = parse_capabilities(b"evil\x1b[31m\n" + b"y" * 100)
    assert capabilities.unknown == ("evil?[31m", "y" * 61 + "...")


@given(st.binary())
def test_any_bytes_are_capabilities(body: bytes) -> None:
    capabilities = parse_capabilities(body)
    assert all(word.isprintable() for word in capabilities.unknown)
    assert not capabilities.strongest_cipher.legacy
    assert not capabilities.strongest_digest.legacy
    assert not capabilities.preferred_digest.legacy
    json.dumps(capabilities.to_words())


@given(st.frozensets(st.sampled_from(Capability)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_what_is_written_is_read_back(words: frozenset[Capability], line_end: bytes) -> None:
    body = format_capabilities(words).replace(b"\n", line_end)
    assert parse_capabilities(body).words == words


@given(st.frozensets(st.sampled_from(Capability)))
def test_words_survive_json(words: frozenset[Capability]) -> None:
    capabilities = parse_capabilities(format_capabilities(words) + b"Other\n")
    restored = json.loads(json.dumps(capabilities.to_words()))
    assert parse_capabilities("\n".join(restored).encode()) == capabilities


def test_writing_uses_the_rfc_spelling_each_word_once_and_lf() -> None:
    assert format_capabilities([*Capability, Capability.AES]) == ALL
    assert format_capabilities([]) == b""


def test_words_are_in_rfc_order_with_unknown_ones_last() -> None:
    capabilities = parse_capabilities(b"Zeta\nSCEPStandard\nAES\n")
    assert capabilities.to_words() == ("AES", "SCEPStandard", "Zeta")


def test_scep_standard_implies_aes_post_and_sha_256_and_nothing_else() -> None:
    capabilities = parse_capabilities(b"SCEPStandard")
    implied = {word for word in Capability if capabilities.supports(word)}
    assert implied == {
        Capability.SCEP_STANDARD,
        Capability.AES,
        Capability.POST_PKI_OPERATION,
        Capability.SHA256,
    }
    assert capabilities.words == {Capability.SCEP_STANDARD}
    assert capabilities.scep_standard
    assert capabilities.post
    assert not capabilities.renewal
    assert not capabilities.next_ca


@pytest.mark.parametrize(
    ("body", "cipher", "strongest", "preferred"),
    [
        (b"", Cipher.DES_EDE3_CBC, Digest.SHA1, Digest.SHA1),
        (b"DES3\nSHA-1", Cipher.DES_EDE3_CBC, Digest.SHA1, Digest.SHA1),
        (b"AES\nDES3\nSHA-1", Cipher.AES128_CBC, Digest.SHA1, Digest.SHA1),
        (b"AES\nSHA-1\nSHA-256\nSHA-512", Cipher.AES128_CBC, Digest.SHA512, Digest.SHA256),
        (b"AES\nSHA-512", Cipher.AES128_CBC, Digest.SHA512, Digest.SHA512),
        (b"SHA-384\nSHA-1", Cipher.DES_EDE3_CBC, Digest.SHA384, Digest.SHA384),
        (b"SCEPStandard", Cipher.AES128_CBC, Digest.SHA256, Digest.SHA256),
    ],
)
def test_algorithms_are_chosen_from_the_words(
    body: bytes, cipher: Cipher, strongest: Digest, preferred: Digest
) -> None:
    capabilities = parse_capabilities(body)
    assert capabilities.strongest_cipher is cipher
    assert capabilities.strongest_digest is strongest
    assert capabilities.preferred_digest is preferred
    assert capabilities.strongest_signature == f"{strongest.name}withRSA"
