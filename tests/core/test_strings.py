"""Character strings of every type (Q19)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import asn1, strings
from scepkit.errors import DecodeError

#: Text that is written as UTF-8 whatever its characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
UTF8, NUMERIC, PRINTABLE, T61, IA5, VISIBLE, UNIVERSAL, BMP = (
    0x0C,
    0x12,
    0x13,
    0x14,
    0x16,
    0x1A,
    0x1C,
    0x1E,
)


@given(TEXTS)
def test_text_is_read_back(text: str) -> None:
    encoded = strings.printable_or_utf8(text)
    assert strings.text_value(encoded, "text") == text
    assert encoded[0] == (PRINTABLE if strings.is_printable(text) else UTF8)


@pytest.mark.parametrize("text", ["", "abc XYZ 019", "'()+,-./:=?", "7XXEY-ERLPU-2JDR9"])
def test_text_of_the_printable_alphabet_is_a_printable_string(text: str) -> None:
    assert strings.is_printable(text)
    assert strings.printable_or_utf8(text) == asn1.element(PRINTABLE, text.encode())


@pytest.mark.parametrize("text", ["_", "@", "*", "&", "!", "ä", "a\x00", "a\n"])
def test_other_text_is_a_utf8_string(text: str) -> None:
    assert not strings.is_printable(text)
    assert strings.printable_or_utf8(text) == asn1.element(UTF8, text.encode())


@pytest.mark.parametrize(
    ("tag", "content", "text"),
    [
        (UTF8, "ä€".encode(), "ä€"),
        (NUMERIC, b"12 3", "12 3"),
        (PRINTABLE, b"a_b@c", "a_b@c"),
        (PRINTABLE, "ä".encode("latin-1"), "ä"),
        (PRINTABLE, "ä".encode(), "ä"),
        (T61, "ü".encode("latin-1"), "ü"),
        (IA5, b"a@b", "a@b"),
        (VISIBLE, b"x", "x"),
        (UNIVERSAL, "a€".encode("utf-32-be"), "a€"),
        (BMP, "a€".encode("utf-16-be"), "a€"),
        (BMP, b"", ""),
        (PRINTABLE, b"x" * 300, "x" * 300),
    ],
)
def test_string_of_any_type_is_read(tag: int, content: bytes, text: str) -> None:
    assert strings.text_value(asn1.element(tag, content), "text") == text


@pytest.mark.parametrize(
    ("tag", "content", "why"),
    [
        (UTF8, b"\xff", "utf-8"),
        (NUMERIC, b"\xb2", "ascii"),
        (BMP, b"a", "utf-16-be"),
        (BMP, b"\xd8\x00", "utf-16-be"),
        (UNIVERSAL, b"\x00\x11\x00\x00", "utf-32-be"),
        (UNIVERSAL, b"abc", "utf-32-be"),
    ],
)
def test_string_that_is_not_in_its_encoding_is_refused(tag: int, content: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=f"the text is not valid {why}"):
        strings.text_value(asn1.element(tag, content), "text")


@pytest.mark.parametrize("tag", [0x02, 0x04, 0x30, 0x80, 0x33, 0x1F])
def test_what_is_no_string_is_refused(tag: int) -> None:
    with pytest.raises(DecodeError, match=f"its tag is 0x{tag:02x}"):
        strings.text_value(asn1.element(tag, b"\x05"), "text")
