"""Our messages read by `openssl cms`, and what it writes (DER, and BER with -stream) read by us."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import cms, envelope, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import read_identifier, view_of
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages import Failure, PkcsReq, Protection, Success
from scepkit.errors import AlgorithmError, FailInfo
from tests import pki, vectors
from tests.interop import foreign
from tests.pki import Identity

pytestmark = pytest.mark.interop

CIPHERS = [Cipher.AES128_CBC, Cipher.AES192_CBC, Cipher.AES256_CBC, Cipher.DES_EDE3_CBC]
DIGESTS = [Digest.SHA1, Digest.SHA256, Digest.SHA384, Digest.SHA512]
TRANSPORTS = list(KeyTransport)
OPENSSL_CIPHER = {
    Cipher.AES128_CBC: "-aes128",
    Cipher.AES192_CBC: "-aes192",
    Cipher.AES256_CBC: "-aes256",
    Cipher.DES_EDE3_CBC: "-des3",
}
#: A PKCS#10 as messageData; what is in it does not matter here.
REQUEST = vectors.conversation("ca/enrol-success").pki_operations[0].request
assert REQUEST is not None
assert REQUEST.plain is not None
CSR: bytes = REQUEST.plain

OpenSsl = Callable[..., bytes]


@pytest.fixture(scope="module")
def openssl() -> OpenSsl:
    """Runs ``openssl ARGUMENTS``."""
    path = foreign.program("openssl", "openssl")

    def run(*arguments: str | Path, stdin: bytes = b"") -> bytes:
        return foreign.run([path, *arguments], stdin=stdin)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of each identity used here, as PEM files."""
    path = tmp_path_factory.mktemp("openssl")
    for name, identity in IDENTITIES.items():
        (path / f"{name}.pem").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    for name, key_name in KEY_NAMES.items():
        (path / f"{name}.key").write_bytes(pki.key_pem(key_name))
    return path


CA = pki.root("rsa2048-a")
KEY_NAMES = {"ca": "rsa2048-a", "rsa": "rsa2048-c", "ec": "ec256-a", "ec384": "ec384"}
IDENTITIES: dict[str, Identity] = {
    "ca": CA,
    "rsa": pki.self_signed("device1", "rsa2048-c"),
    "ec": pki.self_signed("device2", "ec256-a"),
    "ec384": pki.self_signed("device3", "ec384"),
}


def signer(name: str) -> cms.Signer:
    identity = IDENTITIES[name]
    return cms.Signer(view_of(identity.certificate), identity.key)


def decryption_key(name: str) -> DecryptionKey:
    identity = IDENTITIES[name]
    return DecryptionKey(view_of(identity.certificate), identity.key)


def pkcs_req(name: str, protection: Protection, to: Identity | Password = CA) -> bytes:
    return messages.encode_request(
        PkcsReq(CSR),
        transaction_id="openssl-reads-this",
        sender_nonce=bytes(range(16)),
        signer=signer(name),
        recipient=to if isinstance(to, Password) else view_of(to.certificate),
        protection=protection,
        signing_time=pki.NOW,
    )


# ------------------------------------------------------------------ ours, read by openssl


@pytest.mark.parametrize(("cipher", "digest"), list(itertools.product(CIPHERS, DIGESTS)))
@pytest.mark.parametrize("requester", ["rsa", "ec"])
def test_our_request_is_verified_and_decrypted_by_openssl(
    openssl: OpenSsl, folder: Path, requester: str, cipher: Cipher, digest: Digest
) -> None:
    wire = pkcs_req(requester, Protection(cipher, digest))
    # -noverify: not the chain, which is the CA's business; the signature is checked.
    enveloped = openssl("cms", "-verify", "-binary", "-inform", "DER", "-noverify", stdin=wire)
    assert enveloped == cms.read_signed(wire).content
    decrypt = ("-recip", folder / "ca.pem", "-inkey", folder / "ca.key")
    assert openssl("cms", "-decrypt", "-inform", "DER", *decrypt, stdin=enveloped) == CSR


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_our_key_transport_is_read_by_openssl(
    openssl: OpenSsl, folder: Path, transport: KeyTransport
) -> None:
    enveloped = envelope.encrypt(CSR, view_of(CA.certificate), Cipher.AES256_CBC, transport)
    decrypt = ("-recip", folder / "ca.pem", "-inkey", folder / "ca.key")
    assert openssl("cms", "-decrypt", "-inform", "DER", *decrypt, stdin=enveloped) == CSR


@pytest.mark.parametrize("cipher", CIPHERS)
def test_our_password_recipient_is_read_by_openssl(openssl: OpenSsl, cipher: Cipher) -> None:
    enveloped = envelope.encrypt(CSR, Password(b"a challenge"), cipher)
    by_password = ("-pwri_password", "a challenge")
    assert openssl("cms", "-decrypt", "-inform", "DER", *by_password, stdin=enveloped) == CSR


def test_our_request_is_printed_by_openssl_with_the_attributes_of_scep(openssl: OpenSsl) -> None:
    wire = pkcs_req("rsa", Protection())
    shown = openssl("cms", "-cmsout", "-print", "-noout", "-inform", "DER", stdin=wire).decode()
    for oid in ("2", "5", "7"):
        assert f"(2.16.840.1.113733.1.9.{oid})" in shown
    assert "PRINTABLESTRING:openssl-reads-this" in shown
    assert "PRINTABLESTRING:19" in shown


@pytest.mark.parametrize("requester", ["rsa", "ec"])
def test_our_request_is_strict_der_to_openssl(
    openssl: OpenSsl, folder: Path, requester: str
) -> None:
    # OpenSSL decodes and encodes again, sorting sets and shortening lengths: nothing must change.
    wire = pkcs_req(requester, Protection())
    again = openssl("cms", "-cmsout", "-inform", "DER", "-outform", "DER", stdin=wire)
    assert again == wire


@pytest.mark.parametrize("reply", [Failure(FailInfo.BAD_REQUEST, "no"), messages.StillPending()])
def test_our_reply_without_content_is_verified_by_openssl(
    openssl: OpenSsl, folder: Path, reply: Failure | messages.StillPending
) -> None:
    request = messages.read_request(pkcs_req("rsa", Protection()))
    wire = messages.seal_reply(
        reply, request, signer=signer("ca"), protection=Protection(), signing_time=pki.NOW
    )
    # The eContent is absent, which to CMS means that the content is elsewhere: in an empty file.
    empty = folder / "empty"
    empty.write_bytes(b"")
    verified = openssl(
        "cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-content", empty, stdin=wire
    )
    assert verified == b""


def test_our_success_is_decrypted_by_openssl_and_holds_the_certificates(
    openssl: OpenSsl, folder: Path
) -> None:
    request = messages.read_request(pkcs_req("rsa", Protection()))
    device = pki.device(CA, "device1", "rsa2048-c")
    wire = messages.seal_reply(
        Success((device.der, CA.der)),
        request,
        signer=signer("ca"),
        protection=Protection(),
        signing_time=pki.NOW,
    )
    enveloped = openssl("cms", "-verify", "-binary", "-inform", "DER", "-noverify", stdin=wire)
    decrypt = ("-recip", folder / "rsa.pem", "-inkey", folder / "rsa.key")
    bundle = openssl("cms", "-decrypt", "-inform", "DER", *decrypt, stdin=enveloped)
    shown = openssl("pkcs7", "-print_certs", "-noout", "-inform", "DER", stdin=bundle).decode()
    assert shown.count("subject=") == 2
    assert shown.index("CN = device1") < shown.index("CN = Test Root CA")


# ------------------------------------------------------------------ openssl's, read by us

#: With -stream the lengths are indefinite and the strings come in chunks, as BouncyCastle does it.
each_form = pytest.mark.parametrize("form", ["-stream", "-noindef"])
CONTENTS = [b"", b"one block or less", bytes(range(256)) * 400]


@each_form
@pytest.mark.parametrize("content", CONTENTS[1:], ids=["short", "100 KiB"])
@pytest.mark.parametrize(("requester", "digest"), list(itertools.product(("rsa", "ec"), DIGESTS)))
def test_what_openssl_signs_is_verified(
    openssl: OpenSsl, folder: Path, requester: str, digest: Digest, content: bytes, form: str
) -> None:
    wire = openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", form, "-md", digest.value),
        *("-signer", folder / f"{requester}.pem", "-inkey", folder / f"{requester}.key"),
        stdin=content,
    )
    verified = cms.verify(cms.read_signed(wire), [signer(requester).certificate])
    assert verified.content == content
    assert verified.digest is digest


def test_what_openssl_signs_with_pss_is_verified(openssl: OpenSsl, folder: Path) -> None:
    wire = openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-outform", "DER"),
        *("-signer", folder / "rsa.pem", "-inkey", folder / "rsa.key"),
        *("-keyopt", "rsa_padding_mode:pss"),
        stdin=b"content",
    )
    assert cms.verify(cms.read_signed(wire), [signer("rsa").certificate]).content == b"content"


@each_form
def test_what_openssl_signs_by_key_identifier_is_verified(
    openssl: OpenSsl, folder: Path, form: str
) -> None:
    wire = openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", form, "-keyid"),
        *("-signer", folder / "rsa.pem", "-inkey", folder / "rsa.key"),
        stdin=b"content",
    )
    message = cms.read_signed(wire)
    (info,) = message.signers
    assert isinstance(read_identifier(info.sid), bytes)
    assert signer("rsa").certificate.is_named_by(info.sid)
    assert cms.verify(message, [signer("rsa").certificate]).content == b"content"


@each_form
@pytest.mark.parametrize("content", CONTENTS, ids=["empty", "short", "100 KiB"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_openssl_encrypts_is_decrypted(
    openssl: OpenSsl, folder: Path, cipher: Cipher, content: bytes, form: str
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", form, OPENSSL_CIPHER[cipher]),
        folder / "ca.pem",
        stdin=content,
    )
    decrypted = envelope.decrypt(envelope.read_envelope(wire), decryption_key("ca"))
    assert decrypted.content == content
    assert decrypted.cipher is cipher
    assert decrypted.key_transport is KeyTransport.RSA_PKCS1V15


@each_form
@pytest.mark.parametrize("digest", DIGESTS)
def test_what_openssl_encrypts_with_oaep_is_decrypted(
    openssl: OpenSsl, folder: Path, digest: Digest, form: str
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", form, "-aes128"),
        *("-recip", folder / "ca.pem", "-keyopt", "rsa_padding_mode:oaep"),
        *("-keyopt", f"rsa_oaep_md:{digest.value}", "-keyopt", f"rsa_mgf1_md:{digest.value}"),
        stdin=CSR,
    )
    decrypted = envelope.decrypt(envelope.read_envelope(wire), decryption_key("ca"))
    assert decrypted.content == CSR
    assert decrypted.key_transport is not None
    assert decrypted.key_transport.oaep_digest is digest


@each_form
@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_openssl_encrypts_by_password_is_decrypted(
    openssl: OpenSsl, cipher: Cipher, form: str
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", form, OPENSSL_CIPHER[cipher]),
        *("-pwri_password", "a challenge"),
        stdin=CSR,
    )
    decrypted = envelope.decrypt(envelope.read_envelope(wire), Password(b"a challenge"))
    assert decrypted.content == CSR
    assert decrypted.key_transport is None


@each_form
@pytest.mark.parametrize("order", [("ca.pem", "rsa.pem"), ("rsa.pem", "ca.pem")])
def test_our_share_of_a_message_to_two_recipients_is_found(
    openssl: OpenSsl, folder: Path, order: tuple[str, str], form: str
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", form, "-aes128"),
        *(folder / name for name in order),
        stdin=CSR,
    )
    opened = envelope.read_envelope(wire)
    assert len(opened.recipients) == 2
    for name in ("ca", "rsa"):
        assert envelope.decrypt(opened, decryption_key(name)).content == CSR


@each_form
def test_a_recipient_named_by_key_identifier_is_found(
    openssl: OpenSsl, folder: Path, form: str
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", form, "-aes128", "-keyid"),
        *(folder / name for name in ("rsa.pem", "ca.pem")),
        stdin=CSR,
    )
    assert envelope.decrypt(envelope.read_envelope(wire), decryption_key("ca")).content == CSR


def test_single_des_of_openssl_is_read_under_the_legacy_switch_only(
    openssl: OpenSsl, folder: Path
) -> None:
    wire = openssl(
        *("cms", "-encrypt", "-binary", "-outform", "DER", "-des"),
        *("-provider", "legacy", "-provider", "default", folder / "ca.pem"),
        stdin=CSR,
    )
    with pytest.raises(AlgorithmError) as caught:
        envelope.read_envelope(wire)
    assert caught.value.algorithm == "des-cbc"
    opened = envelope.read_envelope(wire, allow_legacy=True)
    assert envelope.decrypt(opened, decryption_key("ca")).content == CSR


def test_a_bundle_of_openssl_is_read(openssl: OpenSsl, folder: Path) -> None:
    wire = openssl(
        *("crl2pkcs7", "-nocrl", "-outform", "DER"),
        *("-certfile", folder / "rsa.pem", "-certfile", folder / "ca.pem"),
    )
    bundle = cms.read_bundle(wire)
    assert set(bundle.certificates) == {CA.der, IDENTITIES["rsa"].der}
    assert bundle.crls == ()
