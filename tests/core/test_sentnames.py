"""Names as devices send them."""

from __future__ import annotations

import warnings

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from scepkit.core import asn1
from scepkit.core.sentnames import encode_rdns, plain_name, read_encoded, read_name

UTF8, NUMERIC, PRINTABLE, T61, IA5, UNIVERSAL, BMP = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1C, 0x1E


def attribute(oid: x509.ObjectIdentifier, tag: int, value: bytes) -> bytes:
    encoded = asn1.oid_der(oid.dotted_string) + asn1.element(tag, value)
    return asn1.element(0x30, encoded)


def name(*attributes: bytes) -> bytes:
    return asn1.element(0x30, b"".join(asn1.element(0x31, a) for a in attributes))


def attribute_set(oid: x509.ObjectIdentifier, tag: int, value: bytes) -> bytes:
    return asn1.element(0x31, attribute(oid, tag, value))


def values(der: bytes) -> list[str | bytes]:
    read = read_name(der)
    assert read is not None
    return [attribute.value for attribute in read]


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (UTF8, "é_".encode(), "é_"),
        (PRINTABLE, b"router 1", "router 1"),
        (PRINTABLE, b"router_1@a", "router_1@a"),
        (PRINTABLE, "é_".encode(), "é_"),
        (IA5, b"\xe9", "é"),
        (T61, b"\xe9_", "é_"),
        (T61, "é_".encode(), "é_"),
        (NUMERIC, b"1a", "1a"),
        (BMP, "é_".encode("utf-16-be"), "é_"),
        (UNIVERSAL, "é_".encode("utf-32-be"), "é_"),
    ],
)
def test_every_string_type_is_read(tag: int, value: bytes, text: str) -> None:
    assert values(name(attribute(NameOID.COMMON_NAME, tag, value))) == [text]


def test_a_wrong_string_is_a_right_one_in_the_object() -> None:
    wrong = name(
        attribute(NameOID.COUNTRY_NAME, PRINTABLE, b"US"),
        attribute(NameOID.EMAIL_ADDRESS, IA5, b"a@b"),
        attribute(NameOID.SERIAL_NUMBER, PRINTABLE, b"A_1"),
    )
    read = read_name(wrong)
    assert read is not None
    assert read.public_bytes() == wrong.replace(b"\x13\x03A_1", b"\x0c\x03A_1")


def test_a_right_name_stays_as_it_is() -> None:
    right = x509.Name.from_rfc4514_string("CN=x+OU=y,O=Acme,C=US").public_bytes()
    read = read_name(right)
    assert read is not None
    assert read.public_bytes() == right


def test_an_unsorted_set_is_sorted() -> None:
    pair = (
        attribute(NameOID.ORGANIZATION_NAME, UTF8, b"y"),
        attribute(NameOID.COMMON_NAME, UTF8, b"x"),
    )
    assert set(values(name(b"".join(pair)))) == {"x", "y"}


def test_the_empty_name_is_a_name() -> None:
    assert read_name(b"0\x00") == x509.Name([])


COMMON, COUNTRY, ORG = NameOID.COMMON_NAME, NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME
JURISDICTION = NameOID.JURISDICTION_COUNTRY_NAME


@pytest.mark.parametrize(
    "der",
    [
        name(attribute(COMMON, UTF8, b"a" * 65)),
        name(attribute(COMMON, UTF8, b"a" * 300)),
        name(attribute(COMMON, BMP, "é".encode("utf-16-be") * 33)),
        name(attribute(COMMON, T61, b"\xe9" * 33)),
        name(attribute(COMMON, UTF8, b"")),
        name(attribute(COUNTRY, PRINTABLE, b"USA")),
        name(attribute(COUNTRY, BMP, b"\x00U")),
        name(attribute(NameOID.JURISDICTION_COUNTRY_NAME, PRINTABLE, b"USA")),
        name(attribute(COMMON, 0x02, b"\x01")),
        name(attribute(COMMON, 0x03, b"\x00a")),
        name(attribute(COMMON, UTF8, b"\xff")),
        name(attribute(COMMON, BMP, b"\xd8\x00")),
        name(attribute(COMMON, BMP, b"\x00")),
        name(b""),
        name(attribute(ORG, PRINTABLE, b"a_") + attribute(ORG, UTF8, b"a_")),
        name(attribute(ORG, 0x03, b"\x00a")),
        b"",
        b"0",
        b"1\x00",
        b"0\x02\x05\x00",
        name(attribute(COMMON, UTF8, b"a")) + b"\x00",
    ],
)  # fmt: skip
def test_what_cannot_be_issued_is_none(der: bytes) -> None:
    assert read_name(der) is None


@pytest.mark.parametrize("size", [1, 2, 63, 64])
def test_a_common_name_may_have_up_to_64_bytes(size: int) -> None:
    assert values(name(attribute(COMMON, UTF8, b"a" * size))) == ["a" * size]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([COMMON, COUNTRY, ORG, NameOID.X500_UNIQUE_IDENTIFIER, JURISDICTION]),
            st.sampled_from([UTF8, PRINTABLE, T61, IA5, BMP, UNIVERSAL, NUMERIC, 2, 3, 0x33]),
            st.binary(max_size=70),
        ),
        max_size=3,
    )
)
def test_any_name_is_read_without_a_warning(
    parts: list[tuple[x509.ObjectIdentifier, int, bytes]],
) -> None:
    encoded = name(*(attribute(*part) for part in parts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_encoded(encoded)
    if read is not None:
        assert x509.Name.from_bytes(read[1]) == read[0]
        assert read[0].public_bytes() == read[1]
    plain = plain_name(encoded)
    if plain is not None:
        assert read is not None
        assert read[1] == encoded
        assert [(one.oid.dotted_string, one.value) for one in read[0]] == list(plain)


@given(st.binary(max_size=60))
@example(b"0\x80\x00\x00")
def test_any_bytes_are_a_name_or_none(data: bytes) -> None:
    read_name(data)
    plain_name(asn1.element(0x30, data))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([COMMON, ORG, NameOID.EMAIL_ADDRESS]),
            st.sampled_from([UTF8, PRINTABLE, IA5]),
            st.text("aZ09 '()+,-./:=?", min_size=1, max_size=64),
        ),
        max_size=20,
    )
)
def test_a_usual_name_is_plain(parts: list[tuple[x509.ObjectIdentifier, int, str]]) -> None:
    encoded = name(*(attribute(oid, tag, value.encode()) for oid, tag, value in parts))
    assert plain_name(encoded) == tuple((oid.dotted_string, value) for oid, _, value in parts)
    assert read_encoded(encoded) == (x509.Name.from_bytes(encoded), encoded)


PLAIN = asn1.oid_der(ORG.dotted_string) + b"\x0c\x01x"
PAIR = asn1.element(0x30, PLAIN)


@pytest.mark.parametrize(
    "part",
    [
        asn1.element(0x31, PAIR, asn1.element(0x30, asn1.oid_der(COMMON.dotted_string), PLAIN[5:])),
        asn1.element(0x30, PAIR),
        asn1.element(0x31, asn1.element(0x31, PLAIN)),
        asn1.element(0x31, asn1.element(0x30, PLAIN, b"\x05\x00")),
        asn1.element(0x31, PAIR, b"\x05\x00"),
        asn1.element(0x31, PAIR)[:-1],
        asn1.element(0x31, PAIR) + b"\x31",
        asn1.element(0x31),
        asn1.element(0x31, asn1.element(0x30)),
        asn1.element(0x31, asn1.element(0x30, b"\x06\x01\x80\x0c\x01x")),
        asn1.element(0x31, asn1.element(0x30, b"\x05" + PLAIN[1:])),
        attribute_set(ORG, UTF8, b""),
        attribute_set(ORG, UTF8, b"\xff"),
        attribute_set(ORG, PRINTABLE, b"a_b"),
        attribute_set(ORG, IA5, "é".encode()),
        attribute_set(ORG, BMP, b"\0a"),
        attribute_set(ORG, UTF8, b"x" * 200),
        attribute_set(COMMON, UTF8, b"x" * 65),
    ],
)
def test_a_name_with_anything_unusual_is_not_plain(part: bytes) -> None:
    usual = asn1.element(0x31, PAIR)
    assert plain_name(asn1.element(0x30, usual)) == ((ORG.dotted_string, "x"),)
    assert plain_name(asn1.element(0x30, usual, part)) is None


def test_an_encoded_name_is_sorted_within_its_parts() -> None:
    pair = [(asn1.oid_der(oid.dotted_string), b"\x0c\x01x") for oid in (ORG, COMMON)]
    assert x509.Name.from_bytes(encode_rdns([pair])).rfc4514_string() == "CN=x+O=x"
