"""Requests, certificates and keys: ours read by `openssl`, and what it makes read by us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core.algorithms import Digest
from scepkit.core.csr import read_csr
from scepkit.core.csr_builder import build_csr, self_signed_certificate
from scepkit.errors import KeyLoadError
from scepkit.keys import load_certificates, load_key, private_key_pem, to_pkcs12
from tests import pki
from tests.interop import foreign

pytestmark = pytest.mark.interop

OpenSsl = Callable[..., bytes]
KEYS = ["rsa2048-a", "rsa3072", "ec256-a", "ec384"]
DIGESTS = [Digest.SHA1, Digest.SHA256, Digest.SHA384, Digest.SHA512]
NAMES = ("dns:router1.acme.test", "ip:192.0.2.7", "email:a@acme.test", "upn:u@acme.test")


@pytest.fixture(scope="module")
def openssl() -> OpenSsl:
    """Runs ``openssl ARGUMENTS``."""
    path = foreign.program("openssl", "openssl")

    def run(*arguments: str | Path, stdin: bytes = b"") -> bytes:
        return foreign.run([path, *arguments], stdin=stdin)

    return run


# ------------------------------------------------------------------ ours, read by openssl


@pytest.mark.parametrize("key_name", KEYS)
@pytest.mark.parametrize("digest", DIGESTS)
def test_our_request_is_verified_by_openssl(
    openssl: OpenSsl, key_name: str, digest: Digest
) -> None:
    csr = build_csr(pki.key(key_name), "CN=router1,O=Acme", challenge="secret", digest=digest)
    der = csr.public_bytes(Encoding.DER)
    # -verify says so on stderr and ends with an error when the signature is wrong.
    again = openssl("req", "-verify", "-inform", "DER", "-outform", "DER", stdin=der)
    assert again == der


def test_our_request_is_shown_by_openssl_with_names_and_challenge(openssl: OpenSsl) -> None:
    csr = build_csr(
        pki.key(),
        "CN=router1,O=Acme",
        challenge="secret challenge",
        san=NAMES,
        eku=["clientAuth", "eapOverLAN"],
    )
    shown = openssl(
        "req", "-text", "-noout", "-inform", "DER", stdin=csr.public_bytes(Encoding.DER)
    ).decode()
    assert "Subject: O = Acme, CN = router1" in shown
    assert "challengePassword        :secret challenge" in shown
    assert "DNS:router1.acme.test, IP Address:192.0.2.7, email:a@acme.test" in shown
    assert "othername: UPN::u@acme.test" in shown
    assert "TLS Web Client Authentication, 1.3.6.1.5.5.7.3.14" in shown


@pytest.mark.parametrize("key_name", KEYS)
def test_our_self_signed_certificate_is_verified_by_openssl(
    openssl: OpenSsl, key_name: str, tmp_path: Path
) -> None:
    key = pki.key(key_name)
    assert isinstance(key, pki.PrivateKey)
    csr = build_csr(key, "CN=router1")
    certificate = self_signed_certificate(csr, key, now=pki.NOW)
    path = tmp_path / "self.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    moment = str(int(pki.NOW.timestamp()))
    said = openssl("verify", "-attime", moment, "-check_ss_sig", "-CAfile", path, path)
    assert said.endswith(b"self.pem: OK\n")


@pytest.mark.parametrize("key_name", ["rsa2048-a", "ec256-a"])
@pytest.mark.parametrize("password", [None, b"a password"])
def test_our_key_is_read_by_openssl(
    openssl: OpenSsl, key_name: str, password: bytes | None
) -> None:
    written = private_key_pem(pki.key(key_name), password)
    phrase = ("-passin", f"pass:{(password or b'').decode()}")
    public = openssl("pkey", "-pubout", "-outform", "DER", *phrase, stdin=written)
    plain = openssl("pkey", "-pubout", "-outform", "DER", stdin=pki.key_pem(key_name))
    assert public == plain


@pytest.mark.parametrize("key_name", ["rsa2048-c", "ec256-a"])
def test_our_pkcs12_is_read_by_openssl(openssl: OpenSsl, key_name: str) -> None:
    ca = pki.root("rsa2048-a")
    device = pki.device(ca, "router1", key_name)
    p12 = to_pkcs12("router1", device.key, device.certificate, (ca.certificate,), b"a password")
    phrase = ("-passin", "pass:a password", "-nodes")
    shown = openssl("pkcs12", *phrase, stdin=p12)
    found = load_certificates(shown)
    assert set(found) == {device.certificate, ca.certificate}
    assert load_key(shown).public_key() == device.key.public_key()


# ------------------------------------------------------------------ openssl's, read by us


@pytest.mark.parametrize("form", ["DER", "PEM"])
def test_a_request_of_openssl_is_read(openssl: OpenSsl, tmp_path: Path, form: str) -> None:
    settings = tmp_path / "req.cnf"
    settings.write_text(
        "[req]\nprompt = no\ndistinguished_name = dn\nattributes = attributes\n"
        "req_extensions = extensions\n"
        "[dn]\nO = Acme\nCN = router1\n"
        "[attributes]\nchallengePassword = a secret\n"
        "[extensions]\nsubjectAltName = DNS:router1.acme.test\n"
    )
    key = tmp_path / "key.pem"
    key.write_bytes(pki.key_pem("rsa2048-c"))
    wire = openssl("req", "-new", "-config", settings, "-key", key, "-outform", form)
    found = read_csr(wire)
    found.check_signature()
    assert found.challenge == "a secret"
    assert found.subject == pki.name("router1")
    assert found.public_key == pki.key("rsa2048-c").public_key()
    assert found.extensions is not None
    assert len(found.extensions) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("rsa", "-traditional"),
        ("rsa", "-traditional", "-aes128", "-passout", "pass:a password"),
        ("rsa", "-traditional", "-des3", "-passout", "pass:a password"),
        ("pkcs8", "-topk8", "-nocrypt"),
        ("pkcs8", "-topk8", "-nocrypt", "-outform", "DER"),
        ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:a password"),
        ("pkcs8", "-topk8", "-v2", "aes128", "-scrypt", "-passout", "pass:a password"),
        ("pkcs8", "-topk8", "-v2", "des3", "-outform", "DER", "-passout", "pass:a password"),
    ],
    ids=" ".join,
)
def test_a_key_of_openssl_is_loaded(openssl: OpenSsl, command: tuple[str, ...]) -> None:
    wire = openssl(*command, stdin=pki.key_pem("rsa2048-c"))
    password = b"a password" if "-passout" in command else None
    assert load_key(wire, password).public_key() == pki.key("rsa2048-c").public_key()
    if password:
        with pytest.raises(KeyLoadError):
            load_key(wire, b"another password")
        with pytest.raises(KeyLoadError):
            load_key(wire)


@pytest.mark.parametrize(
    "old_style", [(), ("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1")]
)
def test_a_pkcs12_of_openssl_is_loaded(
    openssl: OpenSsl, tmp_path: Path, old_style: tuple[str, ...]
) -> None:
    ca = pki.root("rsa2048-a")
    device = pki.device(ca, "router1", "rsa2048-c")
    pems = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (device, ca))
    both = tmp_path / "both.pem"
    both.write_bytes(pki.key_pem("rsa2048-c") + pems)
    wire = openssl("pkcs12", "-export", "-in", both, "-passout", "pass:a password", *old_style)
    assert load_key(wire, b"a password").public_key() == device.key.public_key()
    found = load_certificates(wire, b"a password")
    assert found[0] == device.certificate
    assert set(found) == {device.certificate, ca.certificate}
