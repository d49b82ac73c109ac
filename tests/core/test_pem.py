"""PEM blocks in files of every sort."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scepkit.core.pem import is_pem, pem_blocks, write_pem
from scepkit.errors import DecodeError

ONE = write_pem("CERTIFICATE", b"one")
TWO = write_pem("PRIVATE KEY", b"two" * 50)


@given(st.binary(max_size=300))
def test_what_is_written_is_read_back(der: bytes) -> None:
    (block,) = pem_blocks(write_pem("CERTIFICATE", der))
    assert (block.label, block.der) == ("CERTIFICATE", der)


@given(st.binary(min_size=1, max_size=300))
def test_what_is_written_is_what_python_writes(der: bytes) -> None:
    assert write_pem("CERTIFICATE", der).decode() == ssl.DER_cert_to_PEM_cert(der)


def test_text_around_the_blocks_is_skipped() -> None:
    blocks = pem_blocks(b"subject=x\n" + ONE + b"\nissuer=y\n" + TWO + b"end")
    assert [block.label for block in blocks] == ["CERTIFICATE", "PRIVATE KEY"]
    assert blocks[1].text == TWO.strip()


@pytest.mark.parametrize(
    "data",
    [
        ONE.replace(b"\n", b"\r\n"),
        ONE.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + ONE,
        ONE.decode().encode("utf-16"),
        b"\xfe\xff" + ONE.decode().encode("utf-16-be"),
        ONE.replace(b"\n", b" \n\n"),
        ONE.replace(b"\n", b""),
    ],
    ids=["crlf", "cr", "utf-8 mark", "utf-16", "utf-16-be", "blanks", "one line"],
)
def test_line_ends_and_encodings_do_not_matter(data: bytes) -> None:
    assert is_pem(data)
    assert [block.der for block in pem_blocks(data)] == [b"one"]


def test_a_block_with_headers_is_left_encoded() -> None:
    text = (
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nQUJD\n"
        b"-----END RSA PRIVATE KEY-----"
    )
    (block,) = pem_blocks(text)
    assert (block.label, block.der, block.text) == ("RSA PRIVATE KEY", b"", text)


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN CERTIFICATE-----\nQUJD\n",
        b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END PRIVATE KEY-----",
        b"-----BEGIN A-----\nQUJD\n-----BEGIN B-----\nQUJD\n-----END B-----\n-----END A-----",
        b"-----BEGIN CERTIFICATE-----\nQUJ\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nQU*D\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE\nQUJD",
        b"-----BEGIN -----\nQUJD\n-----END -----",
        b"-----BEGIN \xff-----\nQUJD\n-----END \xff-----",
    ],
)
def test_a_damaged_block_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        pem_blocks(data)


def test_a_file_without_blocks_has_none() -> None:
    assert not is_pem(b"0\x00")
    assert pem_blocks(b"0\x00") == ()


@given(
    st.lists(st.sampled_from([b"-----BEGIN ", b"-----END ", b"-----", b"A", b"QUJD", b"\n", b":"]))
)
@example([b"\xff\xfe-"])
def test_anything_is_read_or_refused(pieces: list[bytes]) -> None:
    with contextlib.suppress(DecodeError):
        pem_blocks(b"".join(pieces))


def test_the_content_is_in_no_repr() -> None:
    (block,) = pem_blocks(ONE)
    assert repr(block) == "PemBlock(label='CERTIFICATE')"
