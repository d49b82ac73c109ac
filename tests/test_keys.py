"""Making and loading keys, certificates and requests."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import example, given
from hypothesis import strategies as st

from scepkit import keys
from scepkit.core import asn1, cms
from scepkit.core.csr_builder import build_csr
from scepkit.core.pem import write_pem
from scepkit.errors import InputError, KeyLoadError, ScepError
from tests import pki

RSA = pki.rsa_key()
EC = pki.ec_key()
ROOT = pki.root()
DEVICE = pki.device(ROOT, key_name="rsa2048-a")
PASSWORD = b"geheim"
CSR = build_csr(EC, "CN=x")

# ------------------------------------------------------------------ making


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("rsa:2048", "rsa:2048"),
        ("rsa:3072", "rsa:3072"),
        ("RSA:4096", "rsa:4096"),
        ("rsa", "rsa:2048"),
        (" EC:P256 ", "ec:p256"),
        ("ec:p384", "ec:p384"),
        ("ec:p521", "ec:p521"),
        ("ec", "ec:p256"),
    ],
)
def test_key_types_are_read(text: str, spec: str) -> None:
    assert str(keys.parse_key_spec(text)) == spec


@pytest.mark.parametrize(
    "text", ["", "rsa:1024", "rsa:p256", "ec:2048", "dsa", "ed25519", "rsa:", "rsa2048", ":"]
)
def test_other_key_types_are_refused_with_a_list(text: str) -> None:
    with pytest.raises(InputError, match=r"rsa:2048, .*, ec:p521"):
        keys.parse_key_spec(text)


def test_the_default_is_rsa_of_2048_bits() -> None:
    key = keys.generate_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (2048, 65537)


@pytest.mark.parametrize("curve", ["p256", "p384", "p521"])
def test_keys_on_every_curve_are_made(curve: str) -> None:
    key = keys.generate_key(f"ec:{curve}")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == f"sec{curve}r1"


# ------------------------------------------------------------------ loading private keys

FORMATS = [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]


@pytest.mark.parametrize("name", ["rsa2048-a", "rsa1024", "rsa3072", "rsa4096", "ec256-a", "ec384"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_plain_keys_of_every_form_are_loaded(
    name: str, form: PrivateFormat, encoding: Encoding
) -> None:
    data = pki.key(name).private_bytes(encoding, form, NoEncryption())
    assert keys.load_key(data).public_key() == pki.key(name).public_key()


def test_ed25519_keys_are_loaded() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert keys.load_key(data).public_key() == key.public_key()


def encrypted(key: pki.PrivateKey, encoding: Encoding, form: PrivateFormat) -> bytes:
    return key.private_bytes(encoding, form, BestAvailableEncryption(PASSWORD))


def as_pkcs12(password: bytes | None = PASSWORD, **changes: Any) -> bytes:
    content: dict[str, Any] = {"key": RSA, "cert": DEVICE.certificate, "cas": [ROOT.certificate]}
    content |= changes
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", **content, encryption_algorithm=encryption)


ENCRYPTED = {
    "PEM": encrypted(RSA, Encoding.PEM, PrivateFormat.PKCS8),
    "PEM with headers": encrypted(RSA, Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
    "DER": encrypted(RSA, Encoding.DER, PrivateFormat.PKCS8),
    "EC PEM": encrypted(EC, Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
    "PKCS#12": as_pkcs12(),
}


@pytest.mark.parametrize("form", ENCRYPTED)
def test_the_password_opens_an_encrypted_key(form: str) -> None:
    expected = EC if form == "EC PEM" else RSA
    assert keys.load_key(ENCRYPTED[form], PASSWORD).public_key() == expected.public_key()


@pytest.mark.parametrize("form", ENCRYPTED)
@pytest.mark.parametrize("password", [None, b""])
def test_a_missing_password_is_said_to_be_missing(form: str, password: bytes | None) -> None:
    with pytest.raises(KeyLoadError, match="no password was given") as caught:
        keys.load_key(ENCRYPTED[form], password)
    assert caught.value.reason == "password-needed"
    assert caught.value.hint


@pytest.mark.parametrize("form", ENCRYPTED)
def test_a_wrong_password_is_said_to_be_wrong(form: str) -> None:
    with pytest.raises(KeyLoadError, match="not opened by the password") as caught:
        keys.load_key(ENCRYPTED[form], b"falsch")
    assert caught.value.reason == "password-wrong"
    assert "falsch" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        pki.key_pem("rsa2048-a"),
        RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        as_pkcs12(None),
    ],
    ids=["PEM", "DER", "PKCS#12"],
)
def test_a_password_for_a_plain_key_is_ignored(data: bytes) -> None:
    assert keys.load_key(data, PASSWORD).public_key() == RSA.public_key()


@pytest.mark.parametrize(
    ("load", "data", "said"),
    [
        (keys.load_key, keys.pem(ROOT.certificate), "is not a private key; it is "),
        (keys.load_certificates, pki.key_pem("rsa2048-a"), "is not a certificate; it is "),
        (keys.load_csr, keys.pem(ROOT.certificate), "is not a certification request; it is "),
    ],
)
def test_bytes_that_are_something_else_are_what_was_given(
    load: Callable[[bytes], object], data: bytes, said: str
) -> None:
    with pytest.raises(KeyLoadError, match=f"^what was given {said}"):
        load(data)


def test_a_password_that_is_text_is_an_input_error() -> None:
    with pytest.raises(InputError):
        keys.load_key(ENCRYPTED["PEM"], "geheim")  # type: ignore[arg-type]


def test_the_key_is_found_beside_other_blocks() -> None:
    parameters = write_pem("EC PARAMETERS", asn1.oid_der("1.2.840.10045.3.1.7"))
    plain = EC.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    certificate = keys.pem(ROOT.certificate)
    assert keys.load_key(certificate + parameters + plain).public_key() == EC.public_key()


def test_a_pem_key_in_utf_16_is_loaded() -> None:
    data = pki.key_pem("rsa2048-a").decode().encode("utf-16")
    assert keys.load_key(data).public_key() == RSA.public_key()


def spki(encoding: Encoding) -> bytes:
    return EC.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


OPENSSH = EC.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
SSH_PUBLIC = EC.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
BUNDLE = cms.certs_only([ROOT.der])


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (keys.pem(ROOT.certificate), "it is a certificate"),
        (ROOT.der, "it is a certificate"),
        (keys.pem(CSR), "it is a certification request"),
        (CSR.public_bytes(Encoding.DER), "it is a certification request"),
        (spki(Encoding.PEM), "it is a public key"),
        (spki(Encoding.DER), "it is a public key"),
        (OPENSSH, "it is an OpenSSH private key"),
        (SSH_PUBLIC, "it is an SSH public key"),
        (b"PuTTY-User-Key-File-3: ssh-rsa\n", "it is a PuTTY key"),
        (b"\xfe\xed\xfe\xed\0\0\0\2", "Java key store"),
        (BUNDLE, "it is a PKCS#7 bundle"),
        (write_pem("PKCS7", BUNDLE), "it is a PKCS#7 bundle"),
        (b"<!DOCTYPE html><title>401</title>", "HTML"),
        (b"secret", "neither PEM nor DER"),
        (b"0\x03\x02\x01\x05", "unknown or damaged"),
        (write_pem("PRIVATE KEY", b"0\x00"), "a private key that is damaged"),
        (write_pem("WHATEVER", b"0\x00"), "'WHATEVER'"),
        (b"-----BEGIN PRIVATE KEY-----\nMII\n", "damaged"),
        (as_pkcs12(key=None), "without a private key"),
        (write_pem("CERTIFICATE", b"") + write_pem("X509 CRL", b""), "a certificate and a CRL"),
    ],
)
def test_what_is_not_a_private_key_is_named(data: bytes, found: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        keys.load_key(data, PASSWORD, path="device.key")
    assert found in str(caught.value)
    assert str(caught.value).startswith("device.key ")
    assert caught.value.path == "device.key"


@pytest.mark.parametrize(
    "header", [b"", b"DEK-Info: AES-256-CBC", b"DEK-Info: AES-256-CBC,00", b"DEK-Info: DES-CBC,"]
)
def test_a_malformed_header_of_an_encrypted_key_is_refused(header: bytes) -> None:
    # `cryptography` panics over a short IV.
    data = re.sub(b"DEK-Info: .*", header, ENCRYPTED["PEM with headers"])
    with pytest.raises(KeyLoadError):
        keys.load_key(data, PASSWORD)


@pytest.mark.parametrize("cipher", ["-aes128", "-aes256", "-des3"])
def test_encrypted_keys_by_openssl_are_loaded(cipher: str) -> None:
    command = ["openssl", "rsa", "-traditional", cipher, "-passout", "pass:geheim"]
    made = subprocess.run(command, input=pki.key_pem("rsa2048-a"), capture_output=True, check=True)
    assert b"DEK-Info" in made.stdout
    assert keys.load_key(made.stdout, PASSWORD).public_key() == RSA.public_key()
    crlf = made.stdout.replace(b"\n", b"\r\n")
    assert keys.load_key(crlf, PASSWORD).public_key() == RSA.public_key()


def test_an_openssh_key_gets_a_hint_how_to_convert_it() -> None:
    with pytest.raises(KeyLoadError) as caught:
        keys.load_key(OPENSSH)
    assert "ssh-keygen -p -m PKCS8" in caught.value.hint


def test_keys_of_other_kinds_are_refused_by_name() -> None:
    for key in (ed448.Ed448PrivateKey.generate(), dsa.generate_private_key(2048)):
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(KeyLoadError, match=r"is a (Ed448|DSA) key, expected RSA or EC"):
            keys.load_key(data)


def rsa_der(**changes: int) -> bytes:
    """PKCS#1 of the key with some numbers changed."""
    numbers = RSA.private_numbers()
    values = {
        "n": numbers.public_numbers.n,
        "e": numbers.public_numbers.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dmp1": numbers.dmp1,
        "dmq1": numbers.dmq1,
        "iqmp": numbers.iqmp,
    } | changes
    return asn1.element(0x30, asn1.integer(0), *map(asn1.integer, values.values()))


def test_unchanged_rsa_numbers_are_accepted() -> None:
    assert keys.load_key(rsa_der()).public_key() == RSA.public_key()


@pytest.mark.parametrize("number", ["n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp"])
@pytest.mark.parametrize("change", ["add 2", "zero", "one", "negative"])
def test_a_damaged_rsa_key_is_refused(number: str, change: str) -> None:
    numbers = RSA.private_numbers()
    old = getattr(numbers, number, None) or getattr(numbers.public_numbers, number)
    new = {"add 2": old + 2, "zero": 0, "one": 1, "negative": -old}[change]
    with pytest.raises(KeyLoadError):
        keys.load_key(rsa_der(**{number: new}))


def test_a_small_rsa_key_is_refused() -> None:
    p, q, e = 2**127 - 1, 2**61 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    small = {"n": p * q, "e": e, "d": d, "p": p, "q": q, "dmp1": d % (p - 1), "dmq1": d % (q - 1)}
    with pytest.raises(KeyLoadError):
        keys.load_key(rsa_der(**small, iqmp=pow(q, -1, p)))


@pytest.mark.parametrize("arguments", [["-legacy"], ["-descert", "-legacy"], ["-nomac"]])
def test_pkcs12_by_openssl_is_loaded(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "pair.pem").write_bytes(pki.key_pem("rsa2048-a") + keys.pem(DEVICE.certificate))
    command = ["openssl", "pkcs12", "-export", "-in", "pair.pem", "-passout", "pass:geheim"]
    made = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, check=True)
    assert keys.load_key(made.stdout, PASSWORD).public_key() == RSA.public_key()
    assert keys.load_certificates(made.stdout, PASSWORD) == (DEVICE.certificate,)


# ------------------------------------------------------------------ loading certificates

TWO = (DEVICE.certificate, ROOT.certificate)


@pytest.mark.parametrize(
    "data",
    [
        keys.pem(*TWO),
        b"subject=x\n" + keys.pem(TWO[0]) + pki.key_pem("ec256-a") + keys.pem(TWO[1]),
        cms.certs_only([DEVICE.der, ROOT.der]),
        write_pem("PKCS7", cms.certs_only([DEVICE.der, ROOT.der])),
        write_pem("X509 CERTIFICATE", DEVICE.der) + write_pem("CERTIFICATE", ROOT.der),
        write_pem("TRUSTED CERTIFICATE", DEVICE.der + b"0\x00") + keys.pem(ROOT.certificate),
        as_pkcs12(),
    ],
    ids=["PEM", "mixed PEM", "PKCS#7", "PKCS#7 PEM", "X509", "TRUSTED", "PKCS#12"],
)
def test_certificates_are_loaded_in_their_order(data: bytes) -> None:
    assert set(keys.load_certificates(data, PASSWORD)) == set(TWO)
    assert keys.load_certificates(data, PASSWORD)[0] in TWO
    if not data.startswith(cms.certs_only([DEVICE.der, ROOT.der])[:1]):
        assert keys.load_certificates(data, PASSWORD) == TWO


def test_one_certificate_in_der_is_loaded() -> None:
    assert keys.load_certificates(ROOT.der) == (ROOT.certificate,)


def test_a_bundle_in_ber_is_loaded() -> None:
    der = cms.certs_only([ROOT.der])
    content = der[4:] if der[1] == 0x82 else der[2:]
    assert keys.load_certificates(b"0\x80" + content + b"\0\0") == (ROOT.certificate,)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (pki.key_pem("rsa2048-a"), "it is a private key"),
        (RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), "a private key"),
        (ENCRYPTED["DER"], "an encrypted private key"),
        (ENCRYPTED["PEM"], "it is a private key"),
        (keys.pem(CSR), "it is a certification request"),
        (cms.certs_only([]), "it is a PKCS#7 bundle"),
        (write_pem("CERTIFICATE", ROOT.der[:-1]), "malformed certificate"),
        (write_pem("TRUSTED CERTIFICATE", b""), "TRUSTED CERTIFICATE"),
        (write_pem("PKCS7", b"0\x00"), "PKCS#7"),
        (asn1.element(0x30, asn1.oid_der("1.2.3")), "PKCS#7"),
        (ROOT.der + b"\0", "unknown or damaged"),
        (ROOT.der[:-1], "unknown or damaged"),
        (b"-----BEGIN CERTIFICATE-----\n", "damaged"),
        (as_pkcs12(b"other"), "password"),
        (as_pkcs12(cert=None, cas=None), "without a certificate"),
    ],
)
def test_what_is_not_a_certificate_is_named(data: bytes, found: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        keys.load_certificates(data, PASSWORD, path="ca.pem")
    assert found in str(caught.value)
    assert caught.value.path == "ca.pem"
    assert caught.value.reason == ("password-wrong" if found == "password" else "unusable")


def negative_serial() -> bytes:
    serial = ROOT.certificate.serial_number.to_bytes(15, "big")
    return ROOT.der.replace(serial, b"\x80" + serial[1:])


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_negative_serial_number_is_tolerated() -> None:
    (certificate,) = keys.load_certificates(negative_serial())
    assert certificate.serial_number < 0


def test_where_warnings_are_errors_they_are_errors_of_ours() -> None:
    for data in (negative_serial(), write_pem("CERTIFICATE", negative_serial())):
        with pytest.raises(KeyLoadError, match="serial number"):
            keys.load_certificates(data)


def test_an_unknown_version_is_refused() -> None:
    data = ROOT.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x4f", 1)
    for load in (keys.load_certificates, keys.load_key, keys.load_csr):
        with pytest.raises(KeyLoadError):
            load(data)


# ------------------------------------------------------------------ loading requests


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_requests_are_loaded(encoding: Encoding) -> None:
    assert keys.load_csr(CSR.public_bytes(encoding)) == CSR


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (ROOT.der, "it is a certificate"),
        (keys.pem(ROOT.certificate), "it is a certificate"),
        (pki.key_pem("ec256-a"), "it is a private key"),
        (keys.pem(CSR, CSR), "a certification request that is damaged"),
        (
            CSR.public_bytes(Encoding.DER).replace(b"\x02\x01\x00", b"\x02\x01\x4f", 1),
            "not a valid CSR version",
        ),
        (
            build_csr(EC, "O=#130161")
            .public_bytes(Encoding.DER)
            .replace(b"\x13\x01a", b"\x13\x01_"),
            "PrintableString",
        ),
    ],
)
def test_what_is_not_a_request_is_named(data: bytes, found: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        keys.load_csr(data, path="x.csr")
    assert found in str(caught.value)
    assert caught.value.path == "x.csr"


# ------------------------------------------------------------------ files


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(ENCRYPTED["DER"])
    (tmp_path / "certificates").write_bytes(keys.pem(*TWO))
    (tmp_path / "request").write_bytes(keys.pem(CSR))
    assert keys.read_key_file(tmp_path / "key", PASSWORD).public_key() == RSA.public_key()
    assert keys.read_certificates_file(str(tmp_path / "certificates")) == TWO
    assert keys.read_csr_file(tmp_path / "request") == CSR


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyLoadError, match="there is no file") as caught:
        keys.read_key_file(tmp_path / "absent")
    assert caught.value.path == str(tmp_path / "absent")
    assert caught.value.reason == "missing"


def test_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyLoadError, match="is a directory"):
        keys.read_key_file(tmp_path)


def test_a_name_no_file_can_have_is_refused() -> None:
    with pytest.raises(KeyLoadError, match="cannot be read"):
        keys.read_file("a\0b")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(KeyLoadError, match="larger"):
        keys.read_file("/dev/zero")


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_file_is_said_to_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x")
    path.chmod(0)
    with without_privileges(), pytest.raises(KeyLoadError, match="may not be read") as caught:
        keys.read_key_file(path)
    assert caught.value.path == str(path)


# ------------------------------------------------------------------ anything at all

_SAMPLES = [
    pki.key_pem("ec256-a"),
    RSA.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ENCRYPTED["EC PEM"],
    ROOT.der,
    BUNDLE,
    CSR.public_bytes(Encoding.DER),
    as_pkcs12(None, key=EC, cert=None, cas=None),
]


@given(st.binary(max_size=120))
@example(b"0\x80\x02\x01\x030")
@example(b"-----BEGIN ")
@example(b"\xff\xfe-")
def test_any_bytes_are_loaded_or_an_error_of_ours(data: bytes) -> None:
    for load in (keys.load_key, keys.load_certificates, keys.load_csr):
        with pytest.raises(ScepError):
            load(data)


@given(
    st.sampled_from(_SAMPLES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_damaged_files_are_loaded_or_an_error_of_ours(
    sample: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(sample)
    for at, value in changes:
        data[at % len(data)] = value
    for load in (keys.load_key, keys.load_certificates):
        with contextlib.suppress(ScepError):
            load(bytes(data), PASSWORD)
    with contextlib.suppress(ScepError):
        keys.load_csr(bytes(data))


# ------------------------------------------------------------------ PKCS#12 and PEM


def test_pkcs12_is_read_back() -> None:
    data = keys.to_pkcs12("Gerät 1", RSA, DEVICE.certificate, [ROOT.certificate], PASSWORD)
    assert keys.load_key(data, PASSWORD).public_key() == RSA.public_key()
    assert keys.load_certificates(data, PASSWORD) == TWO
    content = pkcs12.load_pkcs12(data, PASSWORD)
    assert content.cert is not None
    assert content.cert.friendly_name == "Gerät 1".encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": b""}, "needs a password"),
        ({"key": EC}, "does not belong"),
        ({"name": "\udc80"}, "cannot be made"),
    ],
)
def test_a_pkcs12_file_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "x",
        "key": RSA,
        "certificate": DEVICE.certificate,
        "chain": [],
        "password": PASSWORD,
    }
    with pytest.raises(InputError, match=message):
        keys.to_pkcs12(**(arguments | change))


def test_pem_takes_everything_that_is_public() -> None:
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.name)
        .last_update(pki.NOW)
        .next_update(pki.NOW)
        .sign(ROOT.key, DEVICE.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    )
    text = keys.pem(ROOT.certificate, CSR, crl).decode()
    assert [line for line in text.splitlines() if line.startswith("-----BEGIN")] == [
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE REQUEST-----",
        "-----BEGIN X509 CRL-----",
    ]


def test_importing_keys_does_not_import_what_is_seldom_needed() -> None:
    program = (
        "import sys, scepkit.keys; "
        "print(sorted({'pathlib', 'tempfile', 'secrets', 'logging', 'json', 'subprocess'}"
        " & set(sys.modules)), [m for m in sys.modules if 'pkcs' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"[]", b"[]"]
