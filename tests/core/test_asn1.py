"""Reading and writing ASN.1 elements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import asn1
from scepkit.errors import DecodeError
from tests import ber_writer

IA = asn1.IssuerAndSerialNumber
NAME = b"\x30\x00"


@given(st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F), st.lists(st.binary()))
def test_element_is_der(tag: int, parts: list[bytes]) -> None:
    content = b"".join(parts)
    assert asn1.element(tag, *parts) == ber_writer.header(tag, len(content)) + content


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 65535, 65536, 1 << 24])
def test_element_of_every_length_of_length_is_der(length: int) -> None:
    assert asn1.element(0x04, bytes(length)) == ber_writer.header(0x04, length) + bytes(length)


@given(st.integers(-(2**200), 2**200))
def test_integer_is_read_back(value: int) -> None:
    assert asn1.integer_value(asn1.tlv(asn1.integer(value)), "number") == value


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
    assert asn1.integer_value(asn1.tlv(bytes.fromhex("0203000005")), "number") == 5


@pytest.mark.parametrize("encoded", ["0200", "040105", "22030101ff", "5f81010105"])
def test_what_is_not_an_integer_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError, match="the number is not an INTEGER"):
        asn1.integer_value(asn1.tlv(bytes.fromhex(encoded)), "number")


def test_huge_integer_is_read() -> None:
    assert asn1.integer_value(asn1.tlv(asn1.integer(1 << 100_000)), "number") == 1 << 100_000


def test_der_is_read() -> None:
    found = asn1.read(IA, asn1.issuer_and_serial(NAME, 5), "name and number")
    assert asn1.whole(found.issuer) == NAME


def test_ber_is_read() -> None:
    # Indefinite length, and a length in more bytes than needed.
    ber = bytes.fromhex("3080 3000 02810105 0000".replace(" ", ""))
    found = asn1.read(IA, ber, "name and number")
    assert asn1.integer_value(found.serial_number, "number") == 5


def test_ber_within_der_is_read() -> None:
    outer = asn1.tlv(bytes.fromhex("3006 3080 0000 0500".replace(" ", "")))
    found = asn1.read_tlv(asn1.IssuerAndSubject, outer, "two things")
    assert asn1.whole(found.issuer) == NAME


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
        asn1.read(IA, data, "thing")


def test_another_structure_is_refused_by_its_name() -> None:
    with pytest.raises(DecodeError, match=r"^this is not a thing: "):
        asn1.read(IA, b"\x30\x00", "thing")
    with pytest.raises(DecodeError, match=r"^this is not a thing: "):
        asn1.read_tlv(IA, asn1.tlv(b"\x30\x00"), "thing")


def test_bytes_behind_an_element_are_refused() -> None:
    with pytest.raises(DecodeError):
        asn1.read(IA, asn1.issuer_and_serial(NAME, 5) + b"\x00", "thing")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in (asn1.ContentInfo, asn1.Certificate, asn1.SignedData, asn1.Pbkdf2Parameters):
        try:
            asn1.read(kind, data, "thing")
        except DecodeError:
            continue


@pytest.mark.parametrize("content", [b"", b"a", bytes(127), bytes(128), bytes(300), bytes(70_000)])
def test_content_of_an_element_is_its_data(content: bytes) -> None:
    element = asn1.tlv(asn1.element(0x04, content))
    assert asn1.content_of(element) == content
    assert asn1.tag_of(element) == 0x04


def test_retagged_element_has_the_same_content() -> None:
    element = asn1.tlv(asn1.element(0x30, asn1.integer(7)))
    assert asn1.retag(element, 0xA3) == asn1.element(0xA3, asn1.integer(7))


def test_written_structure_is_read_back() -> None:
    encoded = asn1.element(0x30, asn1.oid_der("1.2.3"), asn1.element(0x31, asn1.integer(5)))
    assert asn1.write(asn1.read(asn1.Attribute, encoded, "attribute")) == encoded


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
        found = asn1.split_algorithm(asn1.tlv(encoded), "algorithm")
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
        asn1.split_algorithm(asn1.tlv(bytes.fromhex(encoded)), "digest algorithm")


# ------------------------------------------------------------------ elements of a container


def test_elements_of_a_set_keep_their_order() -> None:
    container = asn1.tlv(asn1.element(0x31, asn1.integer(2), asn1.integer(1)))
    found = asn1.elements(container, "values")
    assert [asn1.integer_value(one, "value") for one in found] == [2, 1]


def test_container_of_another_kind_is_refused() -> None:
    container = asn1.tlv(asn1.element(0x31))
    assert asn1.elements(container, "values", tag=0x31) == []
    with pytest.raises(DecodeError, match="the values is not a"):
        asn1.elements(container, "values", tag=0x30)
    with pytest.raises(DecodeError, match="the values is not a"):
        asn1.elements(asn1.tlv(b"\x05\x00"), "values")


def test_container_of_garbage_is_refused() -> None:
    with pytest.raises(DecodeError, match="the values is malformed"):
        asn1.elements(asn1.tlv(b"\x30\x01\x02"), "values")
