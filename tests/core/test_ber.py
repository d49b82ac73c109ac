from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core.ber import first_element, to_der
from scepkit.errors import DecodeError
from tests import ber_writer, pki
from tests.ber_writer import Node

VECTORS = Path(__file__).parent.parent / "vectors"
MESSAGES = sorted(VECTORS.rglob("*.der"))

EOC = b"\x00\x00"


def refused(data: bytes, **limits: int) -> DecodeError:
    """The error for `data`; its offset lies inside the data or at their end."""
    with pytest.raises(DecodeError) as caught:
        to_der(data, **limits)
    error = caught.value
    assert error.offset is not None
    assert 0 <= error.offset <= len(data)
    assert not re.match("[A-Z].*[.]$", str(error))
    return error


def seq(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return ber_writer.header(0x30, len(content)) + content


# ------------------------------------------------------------------ lengths


def test_der_comes_out_as_it_went_in() -> None:
    certificate = pki.root().der
    assert to_der(certificate) == certificate


def test_indefinite_length_is_made_definite() -> None:
    assert to_der(b"\x30\x80\x02\x01\x05" + EOC) == b"\x30\x03\x02\x01\x05"


def test_nested_indefinite_lengths_are_made_definite() -> None:
    assert to_der(b"\x30\x80\xa0\x80\x30\x80" + EOC * 3) == b"\x30\x04\xa0\x02\x30\x00"


def test_an_indefinite_length_inside_a_definite_one_is_made_definite() -> None:
    assert to_der(b"\x30\x07\x30\x80\x02\x01\x05" + EOC) == b"\x30\x05\x30\x03\x02\x01\x05"


@pytest.mark.parametrize("octets", [1, 2, 4, 8, 9, 126])
def test_a_longer_length_than_needed_is_shortened(octets: int) -> None:
    length = bytes([0x80 | octets]) + (3).to_bytes(octets, "big")
    assert to_der(b"\x04" + length + b"abc") == b"\x04\x03abc"
    assert to_der(b"\x30" + length + b"\x04\x01x") == b"\x30\x03\x04\x01x"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_every_size_gets_the_shortest_length(size: int) -> None:
    value = b"v" * size
    expected = ber_writer.header(0x04, size) + value
    assert to_der(b"\x04\x84" + size.to_bytes(4, "big") + value) == expected
    assert to_der(b"\x24\x80" + expected + EOC) == expected


# ------------------------------------------------------------------ strings


def test_chunks_of_an_octet_string_are_joined() -> None:
    assert to_der(b"\x24\x80\x04\x02ab\x04\x00\x04\x01c" + EOC) == b"\x04\x03abc"


def test_chunks_in_a_definite_length_are_joined() -> None:
    assert to_der(b"\x24\x07\x04\x02ab\x04\x01c") == b"\x04\x03abc"


def test_chunks_inside_chunks_are_joined() -> None:
    assert to_der(b"\x24\x80\x24\x80\x04\x01a" + EOC + b"\x24\x03\x04\x01b" + EOC) == b"\x04\x02ab"


def test_long_chunks_are_joined_without_their_lengths() -> None:
    chunk = b"\x04\x82\x01\x00" + b"a" * 256
    assert to_der(b"\x24\x80" + chunk + chunk + EOC) == b"\x04\x82\x02\x00" + b"a" * 512


def test_an_octet_string_without_chunks_is_empty() -> None:
    assert to_der(b"\x24\x80" + EOC) == b"\x04\x00"


@pytest.mark.parametrize("number", [12, 19, 22, 23, 24, 30])
def test_chunks_of_a_character_string_are_octet_strings_or_of_its_own_type(number: int) -> None:
    joined = bytes([number, 2]) + b"ab"
    assert to_der(bytes([0x20 | number, 0x80]) + b"\x04\x01a\x04\x01b" + EOC) == joined
    own = bytes([number, 1])
    assert to_der(bytes([0x20 | number, 0x06]) + own + b"a" + own + b"b") == joined


def test_chunks_of_a_bit_string_keep_the_unused_bits_of_the_last() -> None:
    assert to_der(b"\x23\x80\x03\x02\x00\xff\x03\x02\x04\xf0" + EOC) == b"\x03\x03\x04\xff\xf0"


def test_a_bit_string_without_chunks_is_empty() -> None:
    assert to_der(b"\x23\x00") == b"\x03\x01\x00"


@pytest.mark.parametrize("chunks", ["03020480 03020080", "0300", "0300 03020080"])
def test_a_bit_string_cut_inside_a_byte_is_refused(chunks: str) -> None:
    assert refused(b"\x23\x80" + bytes.fromhex(chunks) + EOC).offset == 0


@pytest.mark.parametrize("chunk", ["020105", "3000", "030100", "800161"])
def test_a_chunk_of_another_type_is_refused(chunk: str) -> None:
    error = refused(b"\x30\x80\x24\x80" + bytes.fromhex(chunk) + EOC + EOC)
    assert error.offset == 2
    assert f"0x{chunk[:2]}" in str(error)


def test_chunks_behind_a_context_tag_are_left_to_the_reader() -> None:
    assert (
        to_der(b"\xa0\x80\x04\x01a\x24\x80\x04\x01b" + EOC + EOC) == b"\xa0\x06\x04\x01a\x04\x01b"
    )


# ------------------------------------------------------------------ sets and booleans


def test_a_set_is_sorted_by_its_encodings() -> None:
    assert to_der(b"\x31\x09\x04\x02aa\x04\x01z\x02\x00") == b"\x31\x09\x02\x00\x04\x01z\x04\x02aa"


def test_a_set_is_sorted_after_its_members_are_der() -> None:
    unsorted = b"\x31\x80\x24\x80\x04\x01a" + EOC + b"\x04\x81\x00" + EOC
    assert to_der(unsorted) == b"\x31\x05\x04\x00\x04\x01a"


def test_a_set_behind_a_context_tag_keeps_its_order() -> None:
    signed_attributes = b"\xa0\x06\x04\x01z\x04\x01a"
    assert to_der(signed_attributes) == signed_attributes


def test_true_is_written_as_ff() -> None:
    assert to_der(seq(b"\x01\x01\x01", b"\x01\x01\x00", b"\x01\x81\x01\x80")) == seq(
        b"\x01\x01\xff", b"\x01\x01\x00", b"\x01\x01\xff"
    )


def test_a_boolean_of_another_length_is_left_to_the_reader() -> None:
    assert to_der(b"\x01\x02\x01\x01") == b"\x01\x02\x01\x01"


def unsorted_certificate() -> bytes:
    """A certificate whose subject is an unsorted set, signed like that."""
    return seq(
        seq(b"\x31\x06\x04\x01z\x04\x01a", b"\x01\x01\x01"), seq(b"\x06\x01\x2a"), b"\x03\x02\x00s"
    )


def test_what_an_issuer_signed_is_kept_as_it_was_signed() -> None:
    certificate = unsorted_certificate()
    assert to_der(b"\xa0\x80" + certificate + EOC) == ber_writer.header(0xA0, len(certificate)) + (
        certificate
    )


def test_a_signed_structure_in_ber_is_made_der_throughout() -> None:
    certificate = unsorted_certificate()
    in_der = seq(
        seq(b"\x31\x06\x04\x01a\x04\x01z", b"\x01\x01\xff"), seq(b"\x06\x01\x2a"), b"\x03\x02\x00s"
    )
    assert to_der(b"\x30\x80" + certificate[2:] + EOC) == in_der
    assert to_der(b"\x30\x81" + certificate[1:]) == in_der
    in_its_content = b"\x30\x80" + certificate[4:15] + EOC + certificate[15:]
    assert to_der(seq(in_its_content)) == in_der


# ------------------------------------------------------------------ what is refused


def test_nothing_is_refused() -> None:
    assert refused(b"").offset == 0


def test_bytes_behind_the_element_are_refused() -> None:
    error = refused(b"\x02\x01\x05\r\n")
    assert error.offset == 3
    assert "2 bytes follow" in str(error)


def test_first_element_gives_what_follows() -> None:
    assert first_element(b"\x30\x80\x02\x01\x05" + EOC + b"\r\n") == (
        b"\x30\x03\x02\x01\x05",
        b"\r\n",
    )


@pytest.mark.parametrize("tag", [0x1F, 0x3F, 0x9F, 0xBF])
def test_high_tag_numbers_are_refused(tag: int) -> None:
    assert refused(seq(bytes([tag, 0x21, 0x00]))).offset == 2


@pytest.mark.parametrize(
    "element",
    ["1000", "1100", "0800", "0b00", "1d00", "2103010101", "2203020105", "2500", "2600", "2d00"],
)
def test_a_universal_type_in_the_wrong_form_is_refused(element: str) -> None:
    assert refused(seq(b"\x05\x00", bytes.fromhex(element))).offset == 4


def test_types_that_are_always_constructed_are_taken() -> None:
    for tag in (0x28, 0x2B, 0x3D):
        assert to_der(bytes([tag, 0x80]) + EOC) == bytes([tag, 0])


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\x00\x00", 0),
        (b"\x30\x02\x00\x00", 2),
        (b"\x30\x80\x05\x00\x00\x01\x00" + EOC, 4),
        (b"\x20\x80" + EOC, 0),
        (b"\x20\x00", 0),
        (b"\x30\x80\x00\x81\x00" + EOC, 2),
    ],
)
def test_a_misused_end_of_contents_mark_is_refused(data: bytes, offset: int) -> None:
    assert refused(data).offset == offset


def test_an_end_of_contents_mark_does_not_reach_over_the_end_around_it() -> None:
    assert refused(b"\x30\x03\x30\x80\x00\x00").offset == 4


def test_a_second_end_of_contents_mark_is_trailing_data() -> None:
    assert refused(b"\x30\x80" + EOC + EOC).offset == 4


def test_a_primitive_of_indefinite_length_is_refused() -> None:
    assert refused(b"\x30\x80\x04\x80ab" + EOC + EOC).offset == 2


def test_the_reserved_length_is_refused() -> None:
    assert refused(b"\x04\xff" + bytes(200)).offset == 1


@pytest.mark.parametrize("tag", ["04", "30", "a0"])
def test_a_length_of_2_to_the_63_is_refused_at_once(tag: str) -> None:
    assert refused(bytes.fromhex(tag + "88 8000000000000000") + b"abc").offset == 0


def test_a_length_with_its_own_length_cut_off_is_refused() -> None:
    assert refused(b"\x30\x03\x04\x82\x01" + b"a" * 300).offset == 2


def test_an_element_that_is_longer_than_its_parent_is_refused() -> None:
    assert refused(b"\x30\x03\x04\x02a" + b"b" * 10).offset == 2


def test_nesting_of_5000_levels_is_refused_at_once() -> None:
    started = time.process_time()
    assert refused(b"\x30\x80" * 5000).offset == 64
    assert refused(b"\x24\x80" * 5000 + EOC * 5000, max_depth=10_000).offset == 200
    assert time.process_time() - started < 0.5  # in time that does not grow with the square


def test_nesting_up_to_the_limit_is_read() -> None:
    data = b"\x30\x80" * 32 + b"\x05\x00" + EOC * 32
    assert to_der(data).endswith(b"\x30\x02\x05\x00")
    assert refused(data, max_depth=31).offset == 62
    assert "31 levels" in str(refused(data, max_depth=31))


def test_more_bytes_than_allowed_are_refused() -> None:
    assert to_der(b"\x04\x02ab", max_size=4) == b"\x04\x02ab"
    error = refused(b"\x04\x03abc", max_size=4)
    assert error.offset == 4
    assert "5 bytes" in str(error)


def test_more_elements_than_allowed_are_refused() -> None:
    data = b"\x30\x80" + b"\x05\x00" * 9 + EOC
    assert len(to_der(data, max_elements=10)) == 20
    assert refused(data, max_elements=9).offset == 18


def test_a_bomb_of_tiny_elements_is_refused_early() -> None:
    assert refused(b"\x30\x80" + b"\x05\x00" * 2_000_000).offset == 2 + 2 * 999_999


def test_100_000_chunks_are_joined_in_linear_time() -> None:
    def seconds(chunks: int) -> float:
        data = b"\x24\x80" + b"\x04\x01a" * chunks + EOC
        started = time.process_time()
        assert to_der(data) == ber_writer.header(0x04, chunks) + b"a" * chunks
        return time.process_time() - started

    small, large = min(seconds(10_000) for _ in range(3)), min(seconds(100_000) for _ in range(3))
    # 0.08 s where it was measured; a coverage run on a busy machine takes several times as long.
    assert large < 2
    assert large < 40 * small


# ------------------------------------------------------------------ real messages


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: str(path.relative_to(VECTORS)))
def test_every_recorded_message_becomes_der(path: Path) -> None:
    in_der = to_der(path.read_bytes())
    assert to_der(in_der) == in_der
    assert in_der[1] != 0x80


@pytest.mark.parametrize("name", ["scep_req2.der", "scep_resp2.der", "scep_req1.der"])
def test_the_messages_of_the_rfc_are_der_already(name: str) -> None:
    data = (VECTORS / "rfc8894" / name).read_bytes()
    assert to_der(data) == data


@pytest.mark.parametrize("name", ["rfc8894/scep_req2.der", "openssl/stream-signed.der"])
def test_a_message_cut_at_any_byte_is_refused(name: str) -> None:
    data = (VECTORS / name).read_bytes()
    for end in range(0, len(data), 7 if len(data) > 5000 else 1):
        refused(data[:end])


def test_a_streamed_signed_message_becomes_the_der_that_means_the_same() -> None:
    streamed = (VECTORS / "openssl" / "stream-signed.der").read_bytes()
    content = (VECTORS / "openssl" / "stream-enveloped.der").read_bytes()
    signed_data = ber_writer.parse(to_der(streamed)).children[1].children[0]
    encapsulated = signed_data.children[2]
    assert encapsulated.children[1].children == (Node(0x04, content),)


def openssl(*arguments: str | Path, stdin: bytes) -> bytes:
    if not shutil.which("openssl") and os.environ.get("SCEPKIT_REQUIRE_INTEROP") != "1":
        pytest.skip("openssl is not installed")
    command = ["openssl", "cms", *map(str, arguments), "-outform", "DER"]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def rewritten(data: bytes) -> bytes:
    """What OpenSSL writes after reading `data`: DER."""
    return openssl("-cmsout", "-inform", "DER", stdin=data)


CMS_MESSAGES = [
    path
    for path in MESSAGES
    if re.search("PKIOperation-re|stream|scep_re.*[12]", path.name) and "layer3" not in path.name
]


@pytest.mark.interop
@pytest.mark.parametrize("path", CMS_MESSAGES, ids=lambda path: str(path.relative_to(VECTORS)))
def test_openssl_reads_the_same_out_of_our_der(path: Path) -> None:
    data = path.read_bytes()
    assert rewritten(to_der(data)) == rewritten(data)


@pytest.mark.interop
def test_what_openssl_streams_now_becomes_der(tmp_path: Path) -> None:
    signer = pki.self_signed()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(pki.key_pem("rsa2048-c"))
    options = ("-sign", "-stream", "-nodetach", "-binary", "-signer", certificate, "-inkey", key)
    streamed = openssl(*options, stdin=b"SCEP" * 5000)
    assert streamed[:2] == b"\x30\x80"
    in_der = to_der(streamed)
    assert ber_writer.der(ber_writer.parse(in_der)) == in_der
    assert signer.der in in_der


# ------------------------------------------------------------------ any input


def leaves() -> st.SearchStrategy[Node]:
    strings = st.builds(Node, st.sampled_from(ber_writer.STRINGS), st.binary(max_size=300))
    bits = st.builds(Node, st.just(0x03), st.binary(max_size=20).map(lambda value: b"\0" + value))
    booleans = st.builds(Node, st.just(0x01), st.sampled_from([b"\x00", b"\xff"]))
    others = st.builds(Node, st.sampled_from([0x02, 0x05, 0x06, 0x80, 0x9E]), st.binary(max_size=9))
    return strings | bits | booleans | others


TREES = st.recursive(
    leaves(),
    lambda children: st.builds(
        lambda tag, nodes: Node(tag, children=tuple(nodes)),
        st.sampled_from([0x30, 0x31, 0xA0, 0xA3, 0x7E]),
        st.lists(children, max_size=5),
    ),
    max_leaves=25,
)


@given(TREES, st.integers())
def test_every_ber_encoding_of_a_tree_becomes_its_der(tree: Node, seed: int) -> None:
    in_der = ber_writer.der(tree)
    assert to_der(in_der) == in_der
    assert to_der(ber_writer.ber(tree, random.Random(seed))) == in_der


@given(st.integers())
def test_a_certificate_survives_whatever_carries_it(seed: int) -> None:
    certificate = pki.root().der
    certificates = Node(0xA0, children=(ber_writer.parse(certificate),))
    tree = Node(0x30, children=(Node(0x04, b"content"), certificates))
    in_der = to_der(ber_writer.ber(tree, random.Random(seed)))
    assert x509.load_der_x509_certificate(in_der[-len(certificate) :]) == pki.root().certificate


def check_any(data: bytes) -> None:
    """`data` become DER, which stays as it is, or are refused with an offset."""
    try:
        in_der = to_der(data)
    except DecodeError:
        refused(data)
    else:
        assert to_der(in_der) == in_der


@given(st.binary(max_size=200))
def test_any_bytes_are_der_or_refused(data: bytes) -> None:
    check_any(data)


@given(
    st.sampled_from([path for path in MESSAGES if path.stat().st_size < 6000]),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_any_mutation_of_a_message_is_der_or_refused(
    path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    check_any(bytes(data))
