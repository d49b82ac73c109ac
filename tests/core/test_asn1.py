"""Reading and writing ASN.1 elements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepkit.core import asn1
from scepkit.errors import DecodeError
from tests import ber_writer


@given(st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F), st.lists(st.binary()))
def test_element_is_der(tag: int, parts: list[bytes]) -> None:
    content = b"".join(parts)
    assert asn1.element(tag, *parts) == ber_writer.header(tag, len(content)) + content


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 65535, 65536, 1 << 24])
def test_element_of_every_length_of_length_is_der(length: int) -> None:
    assert asn1.element(0x04, bytes(length)) == ber_writer.header(0x04, length) + bytes(length)


@given(st.integers(-(2**200), 2**200))
def test_integer_is_read_back(value: int) -> None:
    assert asn1.integer_value(asn1.integer(value), "number") == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
    ],
)
def test_integer_is_minimal(value: int, encoded: str) -> None:
    assert asn1.integer(value).hex() == encoded


def test_integer_that_is_not_minimal_is_read() -> None:
    assert asn1.integer_value(bytes.fromhex("0203000005"), "number") == 5


@pytest.mark.parametrize("encoded", ["0200", "040105", "22030101ff", "5f81010105"])
def test_what_is_not_an_integer_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError, match="the number is not an INTEGER"):
        asn1.integer_value(bytes.fromhex(encoded), "number")


def test_huge_integer_is_read() -> None:
    assert asn1.integer_value(asn1.integer(1 << 100_000), "number") == 1 << 100_000


# ------------------------------------------------------------------ reading

PAIR = asn1.ISSUER_AND_SERIAL_NUMBER
NAME = b"\x30\x00"
#: INTEGER, [0] OPTIONAL, ANY OPTIONAL
ODD = (asn1.INTEGER, asn1.optional(0xA0), asn1.optional(asn1.ANY))
FIVE = asn1.integer(5)


def test_der_is_read() -> None:
    assert asn1.read(PAIR, asn1.element(0x30, NAME, FIVE), "pair") == [NAME, FIVE]


def test_ber_is_read() -> None:
    # Indefinite length, and a length in more bytes than needed.
    ber = bytes.fromhex("3080 3000 02810105 0000")
    assert asn1.read(PAIR, ber, "pair") == [NAME, FIVE]


def test_element_of_another_tag_is_read_when_it_is_expected() -> None:
    assert asn1.read(PAIR, asn1.element(0xA3, NAME, FIVE), "pair", tag=0xA3) == [NAME, FIVE]
    with pytest.raises(DecodeError, match="it has 0xa3 where the tag 0x30 is expected"):
        asn1.read(PAIR, asn1.element(0xA3, NAME, FIVE), "pair")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("020105", [FIVE, b"", b""]),
        ("020105 a000", [FIVE, b"\xa0\x00", b""]),
        ("020105 0500", [FIVE, b"", b"\x05\x00"]),
        ("020105 a000 a000", [FIVE, b"\xa0\x00", b"\xa0\x00"]),
    ],
)
def test_absent_fields_are_empty(content: str, found: list[bytes]) -> None:
    assert asn1.fields(asn1.element(0x30, bytes.fromhex(content)), ODD) == found


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "it has nothing where the tag 0x02 is expected"),
        ("a000", "it has 0xa0 where the tag 0x02 is expected"),
        ("020105 0500 0500", "something follows its last field"),
        ("020105 0000", "something follows its last field"),  # no element of any kind
        ("020105 1f0100", "something follows its last field"),  # a tag number above 30
        ("020105 05", "it is cut off"),
        ("020105 0501", "it is cut off"),
        ("0201", "it is cut off"),
        ("02820100", "it is cut off"),
        ("0282 01", "it is cut off"),
        ("0281", "it is cut off"),
        ("0280 05 0000", "not definite and minimal"),
        ("028105 0102030405", "not definite and minimal"),
        ("02820005 0102030405", "not definite and minimal"),
        ("02820080" + "00" * 128, "not definite and minimal"),
        ("028200ff" + "00" * 255, "not definite and minimal"),
        ("0283000100" + "00" * 256, "not definite and minimal"),
        ("02ff" + "01" * 127, "it is cut off"),
    ],
)
def test_what_is_not_exactly_the_fields_in_der_is_refused(content: str, fault: str) -> None:
    element = asn1.element(0x30, bytes.fromhex(content))
    with pytest.raises(asn1.NotDerError, match=fault):
        asn1.fields(element, ODD)


@given(st.lists(st.tuples(st.sampled_from([2, 4, 5, 0x30, 0x31, 0xA0]), st.integers(0, 70_000))))
@settings(max_examples=30)
def test_elements_of_every_length_are_split(shapes: list[tuple[int, int]]) -> None:
    parts = [asn1.element(tag, bytes(length)) for tag, length in shapes]
    assert asn1.split(asn1.element(0x31, *parts)) == parts
    assert asn1.fields(asn1.element(0x30, *parts), tuple(tag for tag, _ in shapes)) == parts


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("05", "it is cut off"),
        ("0501", "it is cut off"),
        ("0500 0000", "it has 0x00 where an element is expected"),
        ("0500 1f0100", "it has 0x1f where an element is expected"),
        ("0580 0000", "not definite and minimal"),
        ("05820000", "not definite and minimal"),
    ],
)
def test_what_is_not_a_row_of_elements_in_der_is_refused(content: str, fault: str) -> None:
    element = asn1.element(0x31, bytes.fromhex(content))
    with pytest.raises(asn1.NotDerError, match=fault):
        asn1.split(element)


def test_elements_of_another_tag_than_expected_are_refused() -> None:
    element = asn1.element(0x31, NAME, FIVE)
    with pytest.raises(asn1.NotDerError, match="it has 0x02 where the tag 0x30 is expected"):
        asn1.split(element, asn1.SEQUENCE)


@pytest.mark.parametrize(
    "data",
    ["", "30", "3001", "3000 00", "308000", "308100", "30820000", "1f0100", "0000", "3084ffffffff"],
)
def test_what_is_not_one_element_in_der_is_refused(data: str) -> None:
    with pytest.raises(asn1.NotDerError):
        asn1.only(bytes.fromhex(data))


def test_one_element_is_within_an_explicit_tag() -> None:
    assert asn1.within(asn1.element(0xA0, FIVE), asn1.INTEGER) == FIVE
    for content in (b"", FIVE + FIVE, NAME):
        with pytest.raises(asn1.NotDerError):
            asn1.within(asn1.element(0xA0, content), asn1.INTEGER)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x05\x30\x00",
        b"\xff" * 40,
        b"<html>",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x1f\x85\xff",
    ],
)
def test_bytes_that_are_no_asn1_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        asn1.read(PAIR, data, "thing")


def test_another_structure_is_refused_by_its_name() -> None:
    with pytest.raises(DecodeError, match=r"^this is not a thing: it has nothing where an element"):
        asn1.read(PAIR, b"\x30\x00", "thing")


def test_bytes_behind_an_element_are_refused() -> None:
    with pytest.raises(DecodeError):
        asn1.read(PAIR, asn1.element(0x30, NAME, FIVE) + b"\x00", "thing")


LAYOUTS = [value for value in vars(asn1).values() if isinstance(value, tuple)]


@given(st.binary(max_size=60), st.sampled_from(LAYOUTS))
def test_any_bytes_are_read_or_refused(data: bytes, layout: asn1.Layout) -> None:
    for encoded in (data, asn1.element(0x30, data)):
        try:
            found = asn1.read(layout, encoded, "thing")
        except DecodeError:
            continue
        assert len(found) == len(layout)


@given(st.binary(max_size=40))
def test_what_is_read_without_a_detour_is_der(content: bytes) -> None:
    """Our reader takes nothing that a second, plainer one writes otherwise."""
    element = asn1.element(0x30, content)
    try:
        found = asn1.split(element)
    except asn1.NotDerError:
        return
    for one in found:
        length = len(asn1.content_of(one))
        assert one == ber_writer.header(one[0], length) + asn1.content_of(one)
    assert b"".join(found) == content


@pytest.mark.parametrize("content", [b"", b"a", bytes(127), bytes(128), bytes(300), bytes(70_000)])
def test_content_of_an_element_is_what_was_put_in(content: bytes) -> None:
    assert asn1.content_of(asn1.element(0x04, content)) == content


# ------------------------------------------------------------------ OBJECT IDENTIFIERs


@given(
    st.one_of(
        st.tuples(st.integers(0, 1), st.integers(0, 39)),
        st.tuples(st.just(2), st.integers(0, 1 << 40)),
    ),
    st.lists(st.integers(0, 1 << 64), max_size=4),
)
def test_object_identifier_is_read_back(start: tuple[int, int], others: list[int]) -> None:
    dotted = ".".join(map(str, (*start, *others)))
    assert asn1.oid_text(asn1.oid_der(dotted)) == dotted


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("1.2.840.113549.1.7.2", "06092a864886f70d010702"),
        ("2.5.4.3", "0603550403"),
        ("2.999.3", "0603883703"),
        ("0.0", "060100"),
        ("2.16.840.1.101.3.4.2.1", "0609608648016503040201"),
    ],
)
def test_object_identifier_is_encoded_as_x690_has_it(dotted: str, encoded: str) -> None:
    assert asn1.oid_der(dotted).hex() == encoded
    assert asn1.oid_text(bytes.fromhex(encoded)) == dotted


@pytest.mark.parametrize(
    "encoded",
    [
        "0600",
        "060186",  # cut off within a number
        "06022a80",
        "06032a8003",  # a number with a leading zero
        "0602802a",
        "0640" + "01" * 64,  # longer than any there is
    ],
)
def test_malformed_object_identifier_is_refused(encoded: str) -> None:
    with pytest.raises(asn1.NotDerError, match="OBJECT IDENTIFIER"):
        asn1.oid_text(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "dotted", ["", "1", "a.b", "1.2.", "3.1", "1.40", "0.40.1", "1.2.-3", "-1.2", "1.-2", "1..2"]
)
def test_what_is_no_object_identifier_is_not_written(dotted: str) -> None:
    with pytest.raises(ValueError):
        asn1.oid_der(dotted)


# ------------------------------------------------------------------ times


@pytest.mark.parametrize(
    ("moment", "encoded"),
    [
        (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
        (datetime(2049, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(1949, 12, 31, tzinfo=UTC), b"\x18\x0f19491231000000Z"),
        (datetime(805, 1, 2, tzinfo=UTC), b"\x18\x0f08050102000000Z"),
    ],
)
def test_time_is_utc_time_until_2049(moment: datetime, encoded: bytes) -> None:
    assert asn1.signing_time(moment) == encoded


def test_time_of_another_zone_is_written_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 1, 1, 3, 0, 0, tzinfo=there)
    assert asn1.signing_time(moment) == b"\x17\x0d251231213000Z"


# ------------------------------------------------------------------ AlgorithmIdentifiers


def test_algorithm_is_split_into_oid_and_parameters() -> None:
    for parameters in (b"", asn1.NULL, asn1.element(0x30, asn1.integer(1))):
        encoded = asn1.algorithm("1.2.840.113549.1.1.7", parameters)
        found = asn1.split_algorithm(encoded, "algorithm")
        assert found == ("1.2.840.113549.1.1.7", parameters)


@pytest.mark.parametrize(
    "encoded",
    [
        "0500",
        "3000",
        "30020600",
        "3003020105",
        "31050603550403",
        "300506032a8003",  # an arc with a leading zero
        "30050601ff0000",
        "300406052a03",  # cut off
        "3081840681812a" + "81" * 127 + "01",  # an OID of 129 bytes
    ],
)
def test_what_is_no_algorithm_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError, match="the digest algorithm "):
        asn1.split_algorithm(bytes.fromhex(encoded), "digest algorithm")


# ------------------------------------------------------------------ Attributes


def attribute_set(pairs: list[tuple[str, list[bytes]]]) -> bytes:
    attributes = [
        asn1.element(0x30, asn1.oid_der(oid), asn1.element(0x31, *values)) for oid, values in pairs
    ]
    return asn1.element(0xA0, *attributes)


OIDS = st.sampled_from(["1.2.840.113549.1.9.3", "2.16.840.1.113733.1.9.7", "2.5.4.3"])
VALUES = st.builds(asn1.element, st.sampled_from([0x04, 0x13, 0x30]), st.binary(max_size=300))


@given(st.lists(st.tuples(OIDS, st.lists(VALUES, max_size=3)), max_size=30))
def test_attributes_of_any_length_and_number_are_read_back(
    pairs: list[tuple[str, list[bytes]]],
) -> None:
    assert asn1.attributes(attribute_set(pairs)) == pairs


@given(st.lists(st.tuples(OIDS, st.lists(VALUES, max_size=2)), max_size=4), st.data())
def test_damaged_attributes_are_never_read_as_something_that_is_not_there(
    pairs: list[tuple[str, list[bytes]]], drawn: st.DataObject
) -> None:
    damaged = bytearray(attribute_set(pairs))
    at = drawn.draw(st.integers(2, len(damaged) - 1)) if len(damaged) > 2 else 1
    damaged[at] = drawn.draw(st.integers(0, 0xFF))
    try:
        found = asn1.attributes(asn1.only(bytes(damaged)))
    except (asn1.NotDerError, DecodeError):
        return
    assert attribute_set(found) == bytes(damaged)


# ------------------------------------------------------------------ elements of a container


def test_elements_of_a_set_keep_their_order() -> None:
    container = asn1.element(0x31, asn1.integer(2), asn1.integer(1))
    found = asn1.elements(container, "values")
    assert [asn1.integer_value(one, "value") for one in found] == [2, 1]


def test_container_of_another_kind_is_refused() -> None:
    container = asn1.element(0x31)
    assert asn1.elements(container, "values", tag=0x31) == []
    with pytest.raises(DecodeError, match="the values is not a"):
        asn1.elements(container, "values", tag=0x30)
    with pytest.raises(DecodeError, match="the values is not a"):
        asn1.elements(b"\x05\x00", "values")


def test_container_of_garbage_is_refused() -> None:
    with pytest.raises(DecodeError, match="the values is malformed"):
        asn1.elements(b"\x30\x01\x02", "values")


def test_more_elements_than_any_message_has_are_refused_before_they_take_memory() -> None:
    many = asn1.element(asn1.SET, *[asn1.NULL] * (asn1.MAX_ELEMENTS + 1))
    with pytest.raises(DecodeError, match="more than 1000 elements"):
        asn1.split(many)
    assert len(asn1.split(many, limit=asn1.MAX_ELEMENTS + 1)) == asn1.MAX_ELEMENTS + 1


@pytest.mark.parametrize("size", [0, 1, 0x60, 0x6E, 0x6F, 0x70, 0x7D, 0x80, 0x200])
def test_an_attribute_is_read_back(size: int) -> None:
    value = asn1.element(asn1.OCTET_STRING, b"v" * size)
    encoded = asn1.attribute("1.2.840.113549.1.9.4", value)
    assert asn1.attributes(asn1.element(asn1.SET, encoded)) == [("1.2.840.113549.1.9.4", [value])]
