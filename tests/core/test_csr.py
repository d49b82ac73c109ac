"""Certification requests: built, read, and signed with for the first time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID
from hypothesis import example, given
from hypothesis import strategies as st

from scepkit.core import asn1
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import PrivateKey, public_key_der
from scepkit.core.csr import (
    ID_CHALLENGE_PASSWORD,
    ID_EXTENSION_REQUEST,
    ID_MS_EXTENSION_REQUEST,
    read_csr,
    unread_csr,
)
from scepkit.core.csr_builder import build_csr, renewal_csr, self_signed_certificate
from scepkit.core.messages import MessageType, decode_data
from scepkit.core.names import parse_subject
from scepkit.errors import AlgorithmError, DecodeError, InputError, ScepError, SignatureError
from tests import ber_writer, odd_certificates, pki

EC = pki.key("ec256-a")
RSA = pki.key("rsa2048-a")
SAN = x509.SubjectAlternativeName([x509.DNSName("a.example")])


class TokenRsaKey(rsa.RSAPrivateKey):
    """A key that does no more than one in a token can."""

    def __init__(self, inner: rsa.RSAPrivateKey) -> None:
        self._inner = inner

    def sign(self, *args: Any, **kwargs: Any) -> bytes:
        return self._inner.sign(*args, **kwargs)

    def public_key(self) -> rsa.RSAPublicKey:
        return self._inner.public_key()

    def decrypt(self, *args: Any) -> bytes:
        raise NotImplementedError

    @property
    def key_size(self) -> int:
        raise NotImplementedError

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        raise NotImplementedError

    def private_bytes(self, *args: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> TokenRsaKey:
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenRsaKey:
        raise NotImplementedError


class TokenEcKey(ec.EllipticCurvePrivateKey):
    """The same on a curve."""

    def __init__(self, inner: ec.EllipticCurvePrivateKey) -> None:
        self._inner = inner

    def sign(self, *args: Any) -> bytes:
        return self._inner.sign(*args)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._inner.public_key()

    def exchange(self, *args: Any) -> bytes:
        raise NotImplementedError

    @property
    def curve(self) -> ec.EllipticCurve:
        raise NotImplementedError

    @property
    def key_size(self) -> int:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(self, *args: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> TokenEcKey:
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenEcKey:
        raise NotImplementedError


def der(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_bytes(Encoding.DER)


def spki(key: PrivateKey = EC) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def attribute(oid: str, *values: bytes) -> bytes:
    return asn1.element(0x30, asn1.oid_der(oid), asn1.element(0x31, *values))


def request(
    *attributes: bytes,
    subject: bytes = b"0\x00",
    version: bytes = b"\x02\x01\x00",
    key: PrivateKey = EC,
    without_attributes: bool = False,
) -> bytes:
    """A request put together by hand, rightly signed."""
    tail = b"" if without_attributes else asn1.element(0xA0, *attributes)
    info = asn1.element(0x30, version, subject, spki(key), tail)
    algorithm = asn1.algorithm("1.2.840.10045.4.3.2")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(info, ec.ECDSA(hashes.SHA256()))
    return asn1.element(0x30, info, algorithm, asn1.element(0x03, b"\0", signature))


# ------------------------------------------------------------------ building


@pytest.mark.parametrize("name", ["rsa2048-a", "rsa1024", "ec256-a", "ec384"])
@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_every_key_and_digest_makes_a_valid_request(name: str, digest: Digest) -> None:
    csr = build_csr(pki.key(name), "CN=router1,O=Acme", digest=digest)
    assert csr.signature_hash_algorithm is not None
    assert csr.signature_hash_algorithm.name == digest.value
    assert csr.subject.rfc4514_string() == "CN=router1,O=Acme"
    read_csr(der(csr)).check_signature()


def test_an_ed25519_key_makes_a_valid_request() -> None:
    csr = build_csr(ed25519.Ed25519PrivateKey.generate(), "CN=x")
    assert csr.is_signature_valid
    read_csr(der(csr)).check_signature()


@pytest.mark.parametrize("key", [TokenRsaKey(pki.rsa_key()), TokenEcKey(pki.ec_key())])
def test_a_key_in_a_token_makes_a_valid_request(key: PrivateKey) -> None:
    csr = build_csr(key, "CN=x")
    assert csr.is_signature_valid
    certificate = self_signed_certificate(csr, key, now=pki.NOW)
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize(
    ("challenge", "tag"),
    [("Secret-1", 0x13), ("", 0x13), ("s_ecret", 0x0C), ("pässword", 0x0C), ("a@b", 0x0C)],
)
def test_the_challenge_is_a_printable_string_where_it_can_be(challenge: str, tag: int) -> None:
    encoded = der(build_csr(EC, "CN=x", challenge=challenge))
    value = asn1.element(tag, challenge.encode())
    assert attribute(ID_CHALLENGE_PASSWORD, value) in encoded
    assert read_csr(encoded).challenge == challenge


def test_without_a_challenge_there_is_no_attribute() -> None:
    csr = build_csr(EC, "CN=x")
    assert len(csr.attributes) == 0
    assert read_csr(der(csr)).challenge is None


def test_long_challenges_are_sent_whole() -> None:
    assert read_csr(der(build_csr(EC, "CN=x", challenge="x" * 5000))).challenge == "x" * 5000


def test_all_wanted_extensions_are_requested() -> None:
    usage = pki.usage("digital_signature", "key_encipherment")
    template = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    csr = build_csr(
        EC,
        "CN=x",
        san=["dns:a.example", x509.DNSName("b.example")],
        eku=["clientAuth", x509.ObjectIdentifier("1.2.3")],
        key_usage=usage,
        extensions=[
            (template, True),
            x509.Extension(ExtensionOID.OCSP_NO_CHECK, False, x509.OCSPNoCheck()),
        ],
    )
    found = [(extension.value, extension.critical) for extension in csr.extensions]
    assert found == [
        (
            x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.DNSName("b.example")]),
            False,
        ),
        (usage, True),
        (
            x509.ExtendedKeyUsage(
                [x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2"), x509.ObjectIdentifier("1.2.3")]
            ),
            False,
        ),
        (template, True),
        (x509.OCSPNoCheck(), False),
    ]
    assert list(read_csr(der(csr)).extensions or ()) == list(csr.extensions)


def test_alternative_names_are_critical_without_a_subject() -> None:
    csr = build_csr(EC, "", san=["dns:a.example"])
    assert csr.extensions[0].critical


def test_the_attributes_are_sorted_as_der_demands() -> None:
    encoded = der(build_csr(EC, "CN=x", challenge="x" * 300, san=["dns:a.example"]))
    assert ber_writer.der(ber_writer.parse(encoded)) == encoded
    info = ber_writer.parse(encoded).children[0]
    attributes = [ber_writer.der(child) for child in info.children[3].children]
    assert attributes == sorted(attributes)


def test_the_request_is_the_one_cryptography_builds() -> None:
    ours = build_csr(RSA, "CN=x,O=y", san=["dns:a.example"])
    theirs = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(parse_subject("CN=x,O=y"))
        .add_extension(SAN, critical=False)
        .sign(RSA, hashes.SHA256())
    )
    assert der(ours) == der(theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        {"digest": Digest.MD5},
        {"san": "dns:a.example"},
        {"eku": "clientAuth"},
        {"san": ["a.example"]},
        {"eku": ["nonsense"]},
        {"san": ["dns:a.example"], "extensions": [(SAN, False)]},
        {"challenge": "\udc80"},
        {"subject": "router1"},
        {"subject": x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "a_b")])},
        {"subject": x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "a\udc80")])},
        {"key": x25519.X25519PrivateKey.generate()},
    ],
)
def test_what_cannot_be_encoded_is_an_input_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        build_csr(**({"key": EC, "subject": "CN=x"} | arguments))


def test_no_error_holds_the_challenge() -> None:
    with pytest.raises(InputError) as caught:
        build_csr(EC, "CN=x", challenge="geheim\udc80")
    assert "geheim" not in repr(caught.value)
    assert caught.value.__cause__ is None


@given(
    challenge=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    names=st.lists(st.sampled_from(["dns:a.example", "ip:::1", "upn:ü@b", "rid:1.2"]), unique=True),
    purposes=st.lists(st.sampled_from(["clientAuth", "1.2.3", "kdc"]), unique=True),
    subject=st.sampled_from(["", "CN=x", "CN=x+OU=é,O=y", "serialNumber=1,emailAddress=a@b"]),
    digest=st.sampled_from([Digest.SHA1, Digest.SHA256, Digest.SHA512]),
)
def test_what_is_built_is_read_back(
    challenge: str | None, names: list[str], purposes: list[str], subject: str, digest: Digest
) -> None:
    csr = build_csr(EC, subject, challenge=challenge, san=names, eku=purposes, digest=digest)
    read = read_csr(der(csr))
    read.check_signature()
    assert read.der == der(csr)
    assert read.request_info_der == csr.tbs_certrequest_bytes
    assert (read.subject, read.challenge) == (csr.subject, challenge)
    assert read.public_key == EC.public_key()
    assert list(read.extensions or []) == list(csr.extensions)


# ------------------------------------------------------------------ renewing


def test_a_renewal_asks_for_what_the_certificate_has() -> None:
    old = pki.device(pki.root(), san=[x509.DNSName("a.example")], key_name="rsa2048-c").certificate
    csr = renewal_csr(old, EC)
    assert csr.subject == old.subject
    assert csr.public_key() == EC.public_key()
    assert {extension.oid for extension in csr.extensions} == {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
    }
    assert read_csr(der(csr)).challenge is None


def test_a_renewal_can_have_a_challenge() -> None:
    csr = renewal_csr(pki.self_signed().certificate, EC, challenge="")
    assert read_csr(der(csr)).challenge == ""


# ------------------------------------------------------------------ reading


def test_pem_is_read() -> None:
    csr = build_csr(EC, "CN=x")
    pem = csr.public_bytes(Encoding.PEM)
    for data in (
        pem,
        b"text before\n" + pem,
        pem.replace(b"CERTIFICATE REQ", b"NEW CERTIFICATE REQ"),
    ):
        assert read_csr(data).der == der(csr)


@pytest.mark.parametrize("seed", range(20))
def test_ber_is_read(seed: int) -> None:
    encoded = der(build_csr(EC, "CN=x,O=y", challenge="secret", san=["dns:a.example"]))
    read = read_csr(ber_writer.ber(ber_writer.parse(encoded), random.Random(seed)))
    assert read.challenge == "secret"
    assert read.subject == parse_subject("CN=x,O=y")


def test_of_ber_that_was_encrypted_120_elements_are_looked_at() -> None:
    """Reading more would take milliseconds, and tell a server's good padding from bad (A2)."""
    for message_type in (None, MessageType.CERT_POLL, MessageType.GET_CERT, MessageType.GET_CRL):
        for elements, text in ((119, "this is not a "), (120, "too many elements")):
            content = b"\x30\x80" + b"\x05\x00" * elements + b"\x00\x00"
            with pytest.raises(DecodeError, match=text):
                decode_data(message_type, content) if message_type else read_csr(content)


def test_of_attributes_64_are_looked_at() -> None:
    one = asn1.element(0x30, asn1.oid_der("1.2.3"), asn1.element(0x31))
    assert len(unread_csr(request(*[one] * 64)).attributes) == 64
    with pytest.raises(DecodeError, match="more than 64 elements"):
        read_csr(request(*[one] * 65))


def test_a_request_is_verified_before_its_attributes_are_read() -> None:
    malformed = asn1.element(0x30, asn1.oid_der(ID_CHALLENGE_PASSWORD), asn1.element(0x04))
    data = request(malformed)
    unread = unread_csr(data)
    unread.check_signature(EC.public_key())
    with pytest.raises(DecodeError):
        unread.read(EC.public_key())
    with pytest.raises(SignatureError):
        unread.check_signature(pki.ec_key("ec256-b").public_key())


def test_an_underscore_in_a_printable_string_is_read() -> None:
    subject = b"0\x101\x0e0\x0c\x06\x03U\x04\x03\x13\x05rt_01"
    data = request(subject=subject)
    with pytest.raises(ValueError, match="PrintableString"):
        x509.load_der_x509_csr(data)
    read = read_csr(data)
    read.check_signature()
    assert read.subject_der == subject
    assert read.subject == parse_subject("CN=rt_01")


def test_a_subject_that_cannot_be_issued_is_none() -> None:
    value = asn1.element(0x0C, b"a" * 65)
    name = asn1.element(
        0x30, asn1.element(0x31, asn1.element(0x30, asn1.oid_der("2.5.4.3"), value))
    )
    read = read_csr(request(subject=name))
    assert read.subject is None
    assert read.subject_der == name


@pytest.mark.parametrize(
    ("tag", "encoded"),
    [
        (0x0C, "pässword".encode()),
        (0x13, "pässword".encode()),
        (0x14, b"p\xe4ssword"),
        (0x16, "pässword".encode()),
        (0x1A, b"p\xe4ssword"),
        (0x1C, "pässword".encode("utf-32-be")),
        (0x1E, "pässword".encode("utf-16-be")),
    ],
)
def test_the_challenge_is_read_from_any_string_type(tag: int, encoded: bytes) -> None:
    data = request(attribute(ID_CHALLENGE_PASSWORD, asn1.element(tag, encoded)))
    assert read_csr(data).challenge == "pässword"


def test_an_empty_set_of_values_counts_as_absent() -> None:
    read = read_csr(request(attribute(ID_CHALLENGE_PASSWORD), attribute(ID_EXTENSION_REQUEST)))
    assert (read.challenge, read.extensions) == (None, None)


def test_missing_attributes_and_odd_versions_are_tolerated() -> None:
    read = read_csr(request(without_attributes=True, version=b"\x02\x01\x02"))
    read.check_signature()
    assert (read.challenge, read.extensions) == (None, None)


def test_unknown_attributes_and_unsorted_ones_are_tolerated() -> None:
    odd = attribute("1.2.3", b"\x30\x01\xff", b"\x02\x01\x00")
    challenge = attribute(ID_CHALLENGE_PASSWORD, b"\x13\x01x")
    assert read_csr(request(challenge, odd)).challenge == "x"


def test_microsofts_request_for_extensions_is_read() -> None:
    extension = asn1.element(
        0x30, asn1.oid_der("2.5.29.17"), asn1.element(0x04, SAN.public_bytes())
    )
    read = read_csr(request(attribute(ID_MS_EXTENSION_REQUEST, asn1.element(0x30, extension))))
    assert read.extensions is not None
    assert read.extensions.get_extension_for_oid(SAN.oid).value == SAN


PASSWORD = attribute(ID_CHALLENGE_PASSWORD, b"\x13\x01x")
NO_EXTENSIONS = b"0\x00"
ONE_SAN = asn1.element(
    0x30, asn1.element(0x30, asn1.oid_der("2.5.29.17"), b"\x04\x05\x30\x03\x82\x01a")
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (request(PASSWORD, PASSWORD), "more than one challengePassword"),
        (request(attribute(ID_CHALLENGE_PASSWORD, b"\x13\x01x", b"\x13\x01y")), "more than one"),
        (request(attribute(ID_CHALLENGE_PASSWORD, b"\x02\x01x")), "not a character string"),
        (request(attribute(ID_CHALLENGE_PASSWORD, b"\x0c\x01\xff")), "not valid utf-8"),
        (request(attribute(ID_CHALLENGE_PASSWORD, b"\x1e\x01x")), "not valid utf-16"),
        (request(asn1.element(0x30, asn1.oid_der(ID_CHALLENGE_PASSWORD), b"\x13\x01x")), "SET"),
        (
            request(
                attribute(ID_EXTENSION_REQUEST, NO_EXTENSIONS),
                attribute(ID_MS_EXTENSION_REQUEST, NO_EXTENSIONS),
            ),
            "more than one extensionRequest",
        ),
        (request(attribute(ID_EXTENSION_REQUEST, b"\x13\x01x")), "extensions are malformed"),
        (
            request(
                attribute(ID_EXTENSION_REQUEST, ONE_SAN.replace(b"\x82\x01a", b"\x82\x01\xff"))
            ),
            "extensions are malformed",
        ),
        (
            request(attribute(ID_EXTENSION_REQUEST, asn1.element(0x30, ONE_SAN[2:] * 2))),
            "extensions are malformed",
        ),
        (request(b"\x02\x01\x00"), "attribute of a request"),
        (request(subject=b"\x05\x00"), "it has 0x05 where the tag 0x30 is expected"),
        (request() + b"\x00", "follow"),
        (request()[:-1], "cut off"),
        (b"", "ends"),
        (pki.root().der, "certification request"),
        (b"<html>", "html|ASN.1|byte"),
        (pki.root().certificate.public_bytes(Encoding.PEM), "0 certification requests"),
        (build_csr(EC, "").public_bytes(Encoding.PEM) * 2, "2 certification requests"),
    ],
)
def test_what_is_not_a_request_is_a_decode_error(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_csr(data)


def test_a_public_key_of_an_unknown_kind_is_an_algorithm_error() -> None:
    data = request().replace(asn1.oid_der("1.2.840.10045.2.1"), asn1.oid_der("1.2.840.10045.2.9"))
    with pytest.raises(AlgorithmError):
        read_csr(data)


def test_the_challenge_is_in_no_repr() -> None:
    read = read_csr(der(build_csr(EC, "CN=x", challenge="geheim")))
    assert "geheim" not in repr(read)
    assert "geheim" not in str(read)
    assert b"geheim".hex() not in repr(read)


# ------------------------------------------------------------------ its signature


def test_a_changed_request_has_a_wrong_signature() -> None:
    data = der(build_csr(RSA, "CN=router1"))
    with pytest.raises(SignatureError):
        read_csr(data.replace(b"router1", b"router2")).check_signature()


def test_a_valid_signature_gives_no_truth_value() -> None:
    assert read_csr(request()).check_signature() is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("salt", [20, 32])
def test_rsa_pss_is_checked(salt: int) -> None:
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(pki.name("router1"))
        .sign(
            pki.rsa_key(),
            hashes.SHA256(),
            rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), salt),
        )
    )
    read_csr(der(csr)).check_signature()
    with pytest.raises(SignatureError):
        read_csr(der(csr).replace(b"router1", b"router2")).check_signature()


@pytest.mark.parametrize(
    ("oid", "error"),
    [
        ("1.2.840.113549.1.1.4", AlgorithmError),  # MD5
        ("1.2.840.113549.1.1.2", AlgorithmError),  # MD2
        ("1.2.3", AlgorithmError),
        ("1.2.840.10045.4.3.2", SignatureError),  # ECDSA, with an RSA key
        ("1.3.101.112", SignatureError),
        ("1.2.840.113549.1.1.10", SignatureError),  # PSS without its parameters
        ("1.2.840.113549.1.1.12", SignatureError),  # another digest
    ],
)
def test_another_signature_algorithm_is_refused(oid: str, error: type[ScepError]) -> None:
    data = der(build_csr(RSA, "CN=x"))
    info, _, signature = asn1.read(asn1.CERTIFICATION_REQUEST, data, "request")
    changed = asn1.element(0x30, info, asn1.algorithm(oid, asn1.NULL), signature)
    with pytest.raises(error):
        read_csr(changed).check_signature()


# ------------------------------------------------------------------ bytes from anywhere

_REQUEST = der(
    build_csr(EC, "CN=x+OU=y,O=z", challenge="secret", san=["dns:a.b", "dirname:CN=x"], eku=["kdc"])
)


@given(st.binary(max_size=200))
@example(b"-----BEGIN ")
def test_any_bytes_are_a_request_or_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(ScepError):
        read_csr(data)


# ------------------------------------------------------------------ the certificate to sign with


def test_the_self_signed_certificate_is_what_rfc_8894_asks_for() -> None:
    csr = build_csr(RSA, "CN=router1,O=Acme", challenge="secret")
    certificate = self_signed_certificate(csr, RSA, now=pki.NOW)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject == certificate.issuer == csr.subject
    assert certificate.public_key() == csr.public_key()
    assert certificate.version is x509.Version.v3
    assert certificate.not_valid_before_utc == pki.NOW - timedelta(days=1)
    assert certificate.not_valid_after_utc == pki.NOW + timedelta(days=7)
    (extension,) = certificate.extensions
    assert extension.critical
    assert extension.value == pki.usage("digital_signature", "key_encipherment")


def test_an_ec_key_can_only_sign() -> None:
    certificate = self_signed_certificate(build_csr(EC, "CN=x"), EC, now=pki.NOW)
    (extension,) = certificate.extensions
    assert extension.value == pki.usage("digital_signature")


def test_the_subject_is_that_of_the_request_byte_for_byte() -> None:
    name = b"0\x0d1\x0b0\t\x06\x03U\x04\x03\x1e\x02\x00x"
    csr = x509.load_der_x509_csr(request(subject=name))
    certificate = self_signed_certificate(csr, EC, now=pki.NOW)
    assert certificate.tbs_certificate_bytes.count(name) == 2


def test_a_parsed_request_gives_the_same_certificate() -> None:
    csr = build_csr(EC, "CN=x+OU=y,O=z")
    certificate = self_signed_certificate(read_csr(der(csr)), EC, now=pki.NOW)
    assert certificate.subject.public_bytes() == csr.subject.public_bytes()
    certificate.verify_directly_issued_by(certificate)


def test_a_request_that_cryptography_refuses_can_be_signed_for() -> None:
    subject = b"0\x101\x0e0\x0c\x06\x03U\x04\x03\x13\x05rt_01"
    parsed = read_csr(request(subject=subject))
    certificate = self_signed_certificate(parsed, EC, now=pki.NOW)
    assert certificate.subject == parse_subject("CN=rt_01")


def test_a_subject_that_cannot_be_in_a_certificate_is_refused() -> None:
    country = b"0\x0e1\x0c0\n\x06\x03U\x04\x06\x13\x03USA"
    with pytest.raises(InputError, match="subject"):
        self_signed_certificate(read_csr(request(subject=country)), EC, now=pki.NOW)


def test_an_empty_subject_is_allowed() -> None:
    certificate = self_signed_certificate(build_csr(EC, ""), EC, now=pki.NOW)
    assert certificate.subject == x509.Name([])


@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA384])
def test_the_digest_can_be_chosen(digest: Digest) -> None:
    certificate = self_signed_certificate(build_csr(RSA, "CN=x"), RSA, now=pki.NOW, digest=digest)
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == digest.value


def test_the_lifetime_can_be_chosen_beyond_2049() -> None:
    now = datetime(2049, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-5)))
    certificate = self_signed_certificate(
        build_csr(EC, "CN=x"), EC, now=now, lifetime=timedelta(hours=1)
    )
    assert certificate.not_valid_before_utc == datetime(2049, 12, 31, 4, 59, 59, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2050, 1, 1, 5, 59, 59, tzinfo=UTC)


def test_two_certificates_have_different_serial_numbers() -> None:
    csr = build_csr(EC, "CN=x")
    serials = {self_signed_certificate(csr, EC, now=pki.NOW).serial_number for _ in range(10)}
    assert len(serials) == 10


def test_the_key_of_another_request_is_refused() -> None:
    with pytest.raises(InputError, match="does not belong"):
        self_signed_certificate(build_csr(EC, "CN=x"), pki.key("ec256-b"), now=pki.NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        self_signed_certificate(build_csr(EC, "CN=x"), EC, now=datetime(2026, 6, 1))  # noqa: DTZ001


def test_rsa_pss_with_an_unknown_digest_is_refused() -> None:
    info, _, signature = asn1.read(
        asn1.CERTIFICATION_REQUEST, der(build_csr(RSA, "CN=x")), "request"
    )
    unknown = asn1.element(0x30, asn1.element(0xA0, asn1.algorithm("1.2.3.4")))
    algorithm = asn1.element(0x30, asn1.oid_der("1.2.840.113549.1.1.10"), unknown)
    changed = asn1.element(0x30, info, algorithm, signature)
    with pytest.raises(AlgorithmError, match="cannot be checked"):
        read_csr(changed).check_signature()


def test_signature_that_is_not_whole_bytes_is_refused() -> None:
    info, algorithm, _ = asn1.read(
        asn1.CERTIFICATION_REQUEST, der(build_csr(RSA, "CN=x")), "request"
    )
    changed = asn1.element(0x30, info, algorithm, asn1.element(0x03, b"\x01\x00"))
    with pytest.raises(DecodeError, match="not whole bytes"):
        read_csr(changed)


def test_extension_that_cannot_be_encoded_is_refused() -> None:
    class Unwritten(x509.ExtensionType):
        oid = x509.ObjectIdentifier("1.2.3")

    with pytest.raises(InputError, match=r"the extension 1\.2\.3 cannot be encoded"):
        build_csr(RSA, "CN=x", extensions=[(Unwritten(), False)])


def test_certificate_with_malformed_extensions_is_not_renewed() -> None:
    twice = odd_certificates.children(odd_certificates.extensions(pki.self_signed()))[0]
    malformed = odd_certificates.with_extension(pki.self_signed(), twice)
    with pytest.raises(InputError, match="the certificate to renew is malformed"):
        renewal_csr(malformed.certificate, EC)


# ------------------------------------------------------------------ the encoding of its key


def with_key(key: bytes) -> bytes:
    """A request for this SubjectPublicKeyInfo, wrongly signed."""
    info = asn1.element(0x30, b"\x02\x01\x00", b"0\x00", key, asn1.element(0xA0))
    algorithm = asn1.algorithm("1.2.840.10045.4.3.2")
    return asn1.element(0x30, info, algorithm, asn1.element(0x03, b"\0"))


RSA_ALGORITHM, RSA_BITS = asn1.fields(spki(RSA), asn1.SUBJECT_PUBLIC_KEY_INFO)
MODULUS, EXPONENT = asn1.fields(asn1.content_of(RSA_BITS)[1:], (asn1.INTEGER, asn1.INTEGER))
COMPRESSED = asn1.element(
    0x30,
    asn1.fields(spki(EC), asn1.SUBJECT_PUBLIC_KEY_INFO)[0],
    asn1.element(
        0x03,
        b"\0",
        pki.ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
    ),
)


def rsa_spki(*integers: bytes, algorithm: bytes = RSA_ALGORITHM, before: bytes = b"\0") -> bytes:
    key = asn1.element(0x30, *integers)
    return asn1.element(0x30, algorithm, asn1.element(0x03, before, key))


@pytest.mark.parametrize(
    "sent",
    [
        *(spki(pki.key(name)) for name in ("rsa2048-a", "rsa1024", "rsa4096", "ec256-a", "ec384")),
        rsa_spki(MODULUS, EXPONENT, algorithm=asn1.algorithm("1.2.840.113549.1.1.1")),
        COMPRESSED,
    ],
)
def test_whatever_the_encoding_of_a_key_there_is_one_to_compare(sent: bytes) -> None:
    csr = read_csr(with_key(sent))
    assert csr.spki_der == sent
    assert csr.public_key_der == public_key_der(csr.public_key)


@pytest.mark.parametrize(
    "sent",
    [
        rsa_spki(asn1.element(0x02, b"\0", asn1.content_of(MODULUS)), EXPONENT),
        rsa_spki(asn1.element(0x02, asn1.content_of(MODULUS)[1:]), EXPONENT),
        rsa_spki(MODULUS, asn1.element(0x02, b"\0", asn1.content_of(EXPONENT))),
        rsa_spki(MODULUS, b"\x02\x81\x03" + asn1.content_of(EXPONENT)),
        rsa_spki(MODULUS, EXPONENT, asn1.NULL),
        rsa_spki(MODULUS, EXPONENT, before=b"\x01"),
        asn1.element(0x30, RSA_ALGORITHM, RSA_BITS, asn1.NULL),
    ],
)
def test_an_rsa_key_in_any_other_encoding_is_refused(sent: bytes) -> None:
    with pytest.raises(AlgorithmError, match="public key"):
        read_csr(with_key(sent))
