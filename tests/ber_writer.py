"""ASN.1 trees, written as DER or as any of the BER encodings that mean the same.

A second, plainer implementation for the tests to hold scepkit's own against.

    tree = ber_writer.parse(der)
    assert ber_writer.der(tree) == der
    ber_writer.ber(tree, random.Random(1))      # indefinite lengths, chunks, shuffled sets, ...
"""

from __future__ import annotations

import random
from dataclasses import dataclass

BOOLEAN, BIT_STRING, OCTET_STRING, SEQUENCE, SET = 0x01, 0x03, 0x04, 0x30, 0x31
STRINGS = (OCTET_STRING, 12, 18, 19, 20, 22, 23, 24, 26, 28, 30)


@dataclass(frozen=True)
class Node:
    """One element: `children` when its tag says constructed, else `value`."""

    tag: int
    value: bytes = b""
    children: tuple[Node, ...] = ()


def header(tag: int, length: int) -> bytes:
    """Identifier octet and minimal length."""
    if length < 128:
        return bytes([tag, length])
    octets = length.to_bytes(4, "big").lstrip(b"\0")
    return bytes([tag, 128 + len(octets)]) + octets


def der(node: Node) -> bytes:
    """The node in DER."""
    if node.tag & 0x20:
        parts = [der(child) for child in node.children]
        content = b"".join(sorted(parts) if node.tag == SET else parts)
    else:
        content = node.value
    return header(node.tag, len(content)) + content


def parse(data: bytes) -> Node:
    """The tree of one DER element."""
    (node,) = _parse_all(data)
    return node


def _parse_all(data: bytes) -> list[Node]:
    nodes = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        content, data = data[start : start + length], data[start + length :]
        assert len(content) == length
        if tag & 0x20:
            nodes.append(Node(tag, children=tuple(_parse_all(content))))
        else:
            nodes.append(Node(tag, content))
    return nodes


def is_signed(node: Node) -> bool:
    """Whether the node looks like a certificate, CRL or PKCS#10 request."""
    return [node.tag, *(child.tag for child in node.children)] == [0x30, 0x30, 0x30, 0x03]


def ber(node: Node, rng: random.Random) -> bytes:
    """One of the BER encodings of the node, as `rng` decides."""
    if not node.tag & 0x20:
        return _primitive(node, rng)
    children = node.children
    if node.tag == SET:
        children = tuple(rng.sample(children, len(children)))
    if is_signed(node):
        # A signature covers these bytes; no encoder changes them.
        return der(node)
    return _constructed(node.tag, b"".join(ber(child, rng) for child in children), rng)


def _primitive(node: Node, rng: random.Random) -> bytes:
    if node.tag in (BIT_STRING, *STRINGS) and node.value and rng.random() < 0.5:
        return _chunked(node.tag, node.value, rng, 0)
    if node.tag == BOOLEAN and node.value == b"\xff":
        return _definite(BOOLEAN, bytes([rng.randint(1, 255)]), rng)
    return _definite(node.tag, node.value, rng)


def _chunked(tag: int, value: bytes, rng: random.Random, depth: int) -> bytes:
    """A constructed string whose chunks may be constructed themselves."""
    unused, value = (value[:1], value[1:]) if tag == BIT_STRING else (b"", value)
    chunk_tag = BIT_STRING if tag == BIT_STRING else rng.choice([OCTET_STRING, tag])
    cuts = sorted(rng.randint(0, len(value)) for _ in range(rng.randint(0, 3)))
    pieces = [value[a:b] for a, b in zip([0, *cuts], [*cuts, len(value)], strict=True)]
    chunks = b""
    for number, piece in enumerate(pieces, 1):
        prefix = b""
        if tag == BIT_STRING:
            prefix = unused if number == len(pieces) else b"\0"
        if depth < 2 and rng.random() < 0.2:
            chunks += _chunked(chunk_tag, prefix + piece, rng, depth + 1)
        else:
            chunks += _definite(chunk_tag, prefix + piece, rng)
    return _constructed(tag | 0x20, chunks, rng)


def _constructed(tag: int, content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return bytes([tag, 0x80]) + content + b"\0\0"
    return _definite(tag, content, rng)


def _definite(tag: int, content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        return header(tag, len(content)) + content
    octets = rng.randint(4, 9)
    return bytes([tag, 0x80 | octets]) + len(content).to_bytes(octets, "big") + content
