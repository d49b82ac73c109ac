"""Certificates as CMS sees them, also those that `cryptography` does not load."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ObjectIdentifier

from scepkit.core import certificates
from scepkit.core.certificates import (
    keep_view,
    load_certificate,
    load_public_key,
    public_key_der,
    view,
    view_of,
)
from scepkit.errors import AlgorithmError, DecodeError
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki, vectors

ROOT = pki.root()
DEVICE = pki.device(ROOT)
CERTIFICATES = [ROOT, DEVICE, pki.self_signed(), pki.root("ec384", "EC"), odd.version1(ROOT)]


def with_key_identifier(value: bytes) -> pki.Identity:
    """A certificate whose SubjectKeyIdentifier extension holds these bytes."""
    parts = odd.children(odd.extensions(ROOT))
    identifier = w.oid("2.5.29.14")
    kept = [part for part in parts if identifier not in part]
    changed = w.tlv(0xA3, w.seq(*kept, w.seq(identifier, w.octets(value))))
    return odd.with_part(ROOT, odd.EXTENSIONS, changed)


@pytest.mark.parametrize("identity", CERTIFICATES)
def test_view_has_what_the_certificate_has(identity: pki.Identity) -> None:
    certificate = identity.certificate
    seen = view(identity.der)
    assert seen == view_of(certificate)
    assert seen.der == identity.der
    assert seen.issuer == certificate.issuer.public_bytes()
    assert seen.subject == certificate.subject.public_bytes()
    assert seen.serial_number == certificate.serial_number
    assert seen.public_key() == certificate.public_key()
    assert seen.spki == certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def test_recorded_certificates_are_viewed() -> None:
    for conversation in vectors.conversations():
        for certificate in (conversation.server.ca_certificate, *conversation.issued):
            assert view_of(certificate).serial_number == certificate.serial_number


def test_view_has_the_subject_key_identifier() -> None:
    extension = ROOT.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert view(ROOT.der).subject_key_identifier == extension.value.digest


@pytest.mark.parametrize(
    ("value", "identifier"),
    [(w.octets(b"abc"), b"abc"), (b"", None), (b"abc", None), (b"\x04", b"")],
)
def test_odd_subject_key_identifier_is_no_error(value: bytes, identifier: bytes | None) -> None:
    assert view(with_key_identifier(value).der).subject_key_identifier == identifier


def test_certificate_without_a_subject_key_identifier_has_none() -> None:
    assert view(odd.version1(ROOT).der).subject_key_identifier is None


def test_certificate_whose_extensions_are_no_list_has_no_subject_key_identifier() -> None:
    for malformed in (w.tlv(0xA3, w.NULL), w.tlv(0xA3, w.seq(w.NULL[:1]))):
        changed = replace(view(ROOT.der), _extensions=malformed)
        assert changed.subject_key_identifier is None


def test_malformed_extension_is_passed_over() -> None:
    identifier = view(ROOT.der).subject_key_identifier
    malformed = w.tlv(0xA3, w.seq(w.seq(w.integer(5)), *odd.children(odd.extensions(ROOT))))
    assert view(odd.der_with_part(ROOT, odd.EXTENSIONS, malformed)).subject_key_identifier == (
        identifier
    )


@pytest.mark.parametrize(
    ("serial", "number"),
    [
        ("020200ff", 255),
        ("02030000ff", 255),
        ("020100", 0),
        ("0201ff", -1),
        ("0221" + "7f" * 33, int("7f" * 33, 16)),
    ],
)
def test_serial_number_of_any_form_is_read(serial: str, number: int) -> None:
    seen = view(odd.der_with_part(DEVICE, odd.SERIAL, bytes.fromhex(serial)))
    assert seen.serial_number == number


def test_name_that_cryptography_refuses_is_read() -> None:
    name = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("dev_1@acme"))))
    der = odd.der_with_part(DEVICE, odd.SUBJECT, name)
    with pytest.raises(DecodeError):
        load_certificate(der)
    assert view(der).subject == name


def test_certificate_in_ber_is_read_and_kept_as_it_is() -> None:
    ber = b"\x30\x80" + b"".join(odd.children(DEVICE.der)) + b"\x00\x00"
    seen = view(ber)
    assert seen.der == ber
    assert seen.spki == view(DEVICE.der).spki


@pytest.mark.parametrize(
    "data",
    [b"", b"\x30\x00", b"<html></html>", DEVICE.der[:-1], DEVICE.der + b"\x00", b"\x00" * 50],
)
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        view(data)
    with pytest.raises(DecodeError, match="a certificate cannot be read"):
        load_certificate(data)


def test_serial_number_that_is_no_integer_is_refused() -> None:
    with pytest.raises(DecodeError, match="serial number is not an INTEGER"):
        view(odd.der_with_part(DEVICE, odd.SERIAL, w.octets(b"5")))


def test_certificate_of_an_unknown_version_is_refused() -> None:
    der = odd.der_with_part(DEVICE, odd.VERSION, w.tlv(0xA0, w.integer(7)))
    assert view(der).serial_number == DEVICE.certificate.serial_number
    with pytest.raises(DecodeError):
        load_certificate(der)


def test_certificate_with_a_serial_number_below_one_is_refused_only_where_warnings_are_errors() -> (
    None
):
    der = odd.der_with_part(DEVICE, odd.SERIAL, w.integer(-5))
    with pytest.raises(DecodeError, match="wasn't positive"):
        load_certificate(der)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_certificate(der).serial_number == -5


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "spki",
    [
        b"",
        b"\x30\x00",
        odd.UNKNOWN_KEY,
        w.seq(w.algorithm(w.RSA, w.NULL), w.tlv(3, b"\0", w.seq(w.integer(15), w.integer(1)))),
        w.seq(
            w.algorithm("1.2.840.10045.2.1", w.oid("1.2.840.10045.3.1.7")),
            w.tlv(3, b"\0\x04" + bytes(64)),  # not on the curve
        ),
    ],
)
def test_malformed_key_is_refused(spki: bytes) -> None:
    with pytest.raises(AlgorithmError) as caught:
        load_public_key(spki)
    assert caught.value.algorithm == "public key"
    der = odd.der_with_part(DEVICE, odd.SPKI, spki or b"\x30\x00")
    with pytest.raises(AlgorithmError):
        view(der).public_key()


def test_key_has_one_encoding_whatever_it_came_in() -> None:
    ec_key = pki.ec_key().public_key()
    assert isinstance(ec_key, ec.EllipticCurvePublicKey)
    point = ec_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = w.seq(
        w.algorithm("1.2.840.10045.2.1", w.oid("1.2.840.10045.3.1.7")), w.tlv(3, b"\0", point)
    )
    assert public_key_der(load_public_key(compressed)) == public_key_der(ec_key)
    rsa_key = pki.rsa_key().public_key()
    assert isinstance(rsa_key, rsa.RSAPublicKey)
    bits = odd.children(odd.spki(rsa_key))[1]
    without_null = w.seq(w.algorithm(w.RSA), bits)
    assert public_key_der(load_public_key(without_null)) == public_key_der(rsa_key)


def test_view_of_a_certificate_is_made_once() -> None:
    assert view_of(ROOT.certificate) is view_of(ROOT.certificate)
    assert hash(view(ROOT.der)) == hash(view_of(ROOT.certificate))
    assert view(ROOT.der) != view(DEVICE.der)


def test_view_shows_only_the_serial_number() -> None:
    assert repr(view(ROOT.der)) == (
        f"CertificateView(serial_number={ROOT.certificate.serial_number})"
    )
    assert ObjectIdentifier("2.5.29.14").dotted_string not in repr(view(ROOT.der))


def test_the_views_that_are_kept_do_not_become_more_and_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificates, "_views", {})
    monkeypatch.setattr(certificates, "_MOST_VIEWS", 2)
    for identity in CERTIFICATES:
        assert keep_view(identity.certificate, identity.der).der == identity.der
        assert len(certificates._views) <= 2
    assert view_of(ROOT.certificate).der == ROOT.der
