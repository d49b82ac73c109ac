"""EnvelopedData: for a key or a password, and nothing learnt from what goes wrong (A1 to A3)."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st

from scepkit.core import cbc, cms, envelope, password
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view, view_of
from scepkit.core.envelope import Decrypted, DecryptionKey, Password
from scepkit.errors import AlgorithmError, DecodeError, DecryptError, InputError, ScepError
from tests import ber_writer, mutations, pki, tokens, vectors
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests.core.exchange import CA, DEVICE, EC_CA, ISSUED, SECRET, key_of, seen

MODERN = [one for one in Cipher if not one.legacy]
CONTENT = b"some content that is longer than a block or two"
KEY = bytes(range(16))
SMALL = pki.self_signed("small", "rsa1024")
UNIFORM = "the message could not be decrypted: it is not for this key, or it is damaged"


def opened(
    data: bytes, with_: DecryptionKey | Password | None = None, *, allow_legacy: bool = False
) -> Decrypted:
    read = envelope.read_envelope(data, allow_legacy=allow_legacy)
    return envelope.decrypt(read, with_ or key_of(CA))


def for_ca(recipient: bytes | None = None, **changes: Any) -> bytes:
    """An EnvelopedData for CA whose parts a test may change."""
    recipients = [recipient or w.rsa_recipient(CA, KEY)]
    return w.enveloped_data(CONTENT, recipients, KEY, **changes)


def outcome(data: bytes, with_: DecryptionKey | Password) -> bytes | tuple[str, str]:
    """The content, or the text and hint of the DecryptError."""
    try:
        return opened(data, with_).content
    except DecryptError as error:
        return str(error), error.hint


def assert_refused_alike(make: Callable[[], bytes], with_: DecryptionKey | Password) -> None:
    """What `make` makes is not decrypted with this key, and it is not said why.

    Once in 256 times a wrong key gives something that looks padded; never the content.
    """
    found = {outcome(make(), with_) for _ in range(4)}
    assert (UNIFORM, "") in found
    assert CONTENT not in found
    assert all(one == (UNIFORM, "") for one in found if isinstance(one, tuple))


# ------------------------------------------------------------------ round trips


@pytest.mark.parametrize("cipher", MODERN)
@pytest.mark.parametrize("transport", KeyTransport)
@settings(max_examples=10)
@given(content=st.binary(max_size=100))
def test_content_for_a_key_is_read_back(
    cipher: Cipher, transport: KeyTransport, content: bytes
) -> None:
    data = envelope.encrypt(content, seen(CA), cipher, transport)
    assert opened(data) == Decrypted(content, cipher, transport)


@pytest.mark.parametrize("cipher", MODERN)
@settings(max_examples=5)
@given(content=st.binary(max_size=100), secret=st.binary(max_size=80))
def test_content_for_a_password_is_read_back(cipher: Cipher, content: bytes, secret: bytes) -> None:
    data = envelope.encrypt(content, Password(secret), cipher)
    assert opened(data, Password(secret)) == Decrypted(content, cipher, None)


@pytest.mark.parametrize("to", [seen(CA), SECRET])
def test_what_is_written_is_der(to: Any) -> None:
    for transport in KeyTransport:
        data = envelope.encrypt(CONTENT, to, Cipher.AES128_CBC, transport)
        assert ber_writer.der(ber_writer.parse(data)) == data


def test_nothing_is_encrypted_twice_alike() -> None:
    first, second = (envelope.encrypt(CONTENT, seen(CA), Cipher.AES128_CBC) for _ in range(2))
    assert envelope.read_envelope(first).iv != envelope.read_envelope(second).iv
    assert first != second


def test_single_des_is_never_written() -> None:
    with pytest.raises(AlgorithmError, match="single DES"):
        envelope.encrypt(CONTENT, seen(CA), Cipher.DES_CBC)


def test_key_that_cannot_encrypt_is_refused() -> None:
    with pytest.raises(InputError, match="the challengePassword is needed"):
        envelope.encrypt(CONTENT, seen(EC_CA), Cipher.AES128_CBC)


def test_key_that_is_too_short_for_oaep_is_refused() -> None:
    assert isinstance(envelope.encrypt(b"", seen(SMALL), Cipher.AES256_CBC), bytes)
    with pytest.raises(InputError, match="an RSA key of 1024 bits") as caught:
        envelope.encrypt(b"", seen(SMALL), Cipher.AES128_CBC, KeyTransport.RSA_OAEP_SHA512)
    assert "longer key" in caught.value.hint


def test_malformed_key_is_refused() -> None:
    malformed = view(odd.der_with_part(CA, odd.SPKI, odd.UNKNOWN_KEY))
    with pytest.raises(AlgorithmError):
        envelope.encrypt(CONTENT, malformed, Cipher.AES128_CBC)


def test_secrets_are_not_shown() -> None:
    assert "challenge" not in repr(SECRET)
    assert "RSAPrivateKey" not in repr(key_of(CA))
    assert "iv" not in repr(envelope.read_envelope(for_ca()))
    assert "content" not in repr(opened(for_ca())).replace("content=", "")


# ------------------------------------------------------------------ whose it is (Q40, Q53)


def test_message_written_by_others_is_read() -> None:
    assert opened(for_ca()) == Decrypted(CONTENT, Cipher.AES128_CBC, KeyTransport.RSA_PKCS1V15)


def test_recipient_named_by_its_key_identifier_is_found() -> None:
    identifier = seen(CA).subject_key_identifier
    assert identifier is not None
    stranger = w.rsa_recipient(ISSUED, KEY, rid=w.tlv(0x80, b"other"))
    ours = w.rsa_recipient(CA, KEY, rid=w.tlv(0x80, identifier))
    assert opened(w.enveloped_data(CONTENT, [stranger, ours], KEY)).content == CONTENT


def test_recipient_is_found_among_several() -> None:
    recipients = [w.rsa_recipient(one, KEY) for one in (ISSUED, CA, DEVICE)]
    for identity in (CA, ISSUED, DEVICE):
        data = w.enveloped_data(CONTENT, recipients, KEY)
        assert opened(data, key_of(identity)).content == CONTENT


@pytest.mark.parametrize(
    "rid",
    [
        w.seq(pki.name("Somebody else").public_bytes(), w.integer(1)),
        w.seq(CA.name.public_bytes(), w.integer(1)),
        w.seq(pki.name("Somebody else").public_bytes(), w.integer(CA.certificate.serial_number)),
        w.tlv(0x80, b"another key"),
    ],
)
def test_only_recipient_is_tried_even_when_it_is_named_wrongly(rid: bytes) -> None:
    assert opened(for_ca(w.rsa_recipient(CA, KEY, rid=rid))).content == CONTENT


def test_recipient_whose_number_is_no_integer_is_refused() -> None:
    rid = w.seq(CA.name.public_bytes(), w.octets(b"1"))
    with pytest.raises(DecodeError, match="serial number of an IssuerAndSerialNumber is not"):
        opened(for_ca(w.rsa_recipient(CA, KEY, rid=rid)))


def test_recipient_of_garbage_is_refused() -> None:
    with pytest.raises(DecodeError, match="this is not a KeyTransRecipientInfo"):
        opened(for_ca(w.seq(w.integer(0))))


@pytest.mark.parametrize(
    ("recipients", "whom"),
    [
        ([], "nobody"),
        ([w.tlv(0xA1, w.integer(3))], "key agreement"),
        ([w.tlv(0xA2, w.integer(4))], "a symmetric key"),
        ([w.tlv(0xA4, w.NULL)], "something unknown"),
        ([w.tlv(0xA1), w.tlv(0xA2)], "a symmetric key and key agreement"),
    ],
)
def test_message_for_another_kind_of_recipient_says_for_whom_it_is(
    recipients: list[bytes], whom: str
) -> None:
    data = w.enveloped_data(CONTENT, recipients, KEY)
    with pytest.raises(DecryptError, match=f"is encrypted for {whom}, expected an RSA key"):
        opened(data)
    with pytest.raises(DecryptError, match=f"is encrypted for {whom}, expected a password"):
        opened(data, SECRET)


def test_message_for_a_password_is_not_for_a_key_and_the_other_way_round() -> None:
    with pytest.raises(DecryptError, match="for a password, expected an RSA key"):
        opened(envelope.encrypt(CONTENT, SECRET, Cipher.AES128_CBC))
    with pytest.raises(DecryptError, match="for an RSA key, expected a password"):
        opened(for_ca(), SECRET)


def test_key_that_is_not_rsa_cannot_decrypt() -> None:
    with pytest.raises(DecryptError, match="not RSA") as caught:
        opened(for_ca(), key_of(EC_CA))
    assert "challengePassword" in caught.value.hint


def test_envelope_says_whom_it_is_for() -> None:
    identifier = seen(CA).subject_key_identifier
    assert identifier is not None
    broken = w.rsa_recipient(CA, KEY, rid=w.seq(CA.name.public_bytes(), w.octets(b"1")))
    for recipient in (
        w.rsa_recipient(CA, KEY),
        w.rsa_recipient(CA, KEY, rid=w.tlv(0x80, identifier)),
    ):
        recipients = [w.seq(w.integer(0)), w.tlv(0xA1), broken, recipient]
        read = envelope.read_envelope(w.enveloped_data(CONTENT, recipients, KEY))
        assert envelope.is_addressed_to(read, seen(CA))
        assert not envelope.is_addressed_to(read, seen(ISSUED))
        assert envelope.is_for_a_key(read)
        assert envelope.password_iterations(read) is None


def test_envelope_says_what_a_password_costs() -> None:
    read = envelope.read_envelope(by_password(w.pbkdf2(b"salt", 4711)))
    assert envelope.password_iterations(read) == 4711
    assert not envelope.is_for_a_key(read)
    assert not envelope.is_addressed_to(read, seen(CA))
    dear = envelope.read_envelope(by_password(w.pbkdf2(b"salt", 10**9)))
    with pytest.raises(AlgorithmError, match="1000000000 iterations is refused"):
        envelope.password_iterations(dear)


# ------------------------------------------------------------------ one error for all faults


def test_wrong_key_is_refused() -> None:
    # PKCS#1 v1.5: OpenSSL makes up a key; OAEP: it says no.
    for transport in KeyTransport:
        assert_refused_alike(
            lambda transport=transport: envelope.encrypt(  # type: ignore[misc]
                CONTENT, seen(CA), Cipher.AES128_CBC, transport
            ),
            key_of(ISSUED),
        )


def test_wrong_password_is_refused() -> None:
    assert_refused_alike(
        lambda: envelope.encrypt(CONTENT, SECRET, Cipher.AES128_CBC), Password(b"another")
    )


@pytest.mark.parametrize(
    "encrypted_key",
    [
        b"",
        b"\x00",
        bytes(256),
        b"\xff" * 256,
        bytes(255),
        bytes(257),
        bytes(128),
        b"\x01" * 4096,
    ],
)
def test_damaged_encrypted_key_is_refused(encrypted_key: bytes) -> None:
    for transport in (None, w.algorithm(w.RSA_OAEP, w.seq())):
        recipient = w.rsa_recipient(CA, KEY, encrypted_key=encrypted_key, transport=transport)
        assert_refused_alike(lambda recipient=recipient: for_ca(recipient), key_of(CA))  # type: ignore[misc]


@pytest.mark.parametrize("size", [0, 1, 8, 15, 17, 24, 32, 100])
def test_content_key_of_the_wrong_length_is_refused(size: int) -> None:
    assert_refused_alike(lambda: for_ca(w.rsa_recipient(CA, bytes(size))), key_of(CA))


def padded(end: bytes) -> bytes:
    """A message whose content ends like this, where the padding should be."""
    block = (b"content that has no padding" * 3)[: 48 - len(end)] + end
    iv = bytes(16)
    ciphertext = w.aes_cbc(KEY, iv, block, pad=False)
    return for_ca(encrypted=w.tlv(0x80, ciphertext), iv=iv)


@pytest.mark.parametrize(
    "end",
    [
        b"\x00",
        b"\x00" * 16,
        b"\x11",
        b"\x11" * 17,
        b"\xff",
        b"\x02",
        b"\x01\x02",
        b"\x05" * 4,
        b"\x0f" + b"\x10" * 15,
    ],
)
def test_bad_padding_is_refused(end: bytes) -> None:
    with pytest.raises(DecryptError) as caught:
        opened(padded(end))
    assert (str(caught.value), caught.value.hint) == (UNIFORM, "")


def test_whole_block_of_padding_is_taken_off() -> None:
    assert len(opened(padded(b"\x10" * 16)).content) == 32
    assert len(opened(padded(b"\x01")).content) == 47


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_ciphertext_that_is_not_whole_blocks_is_refused(size: int) -> None:
    with pytest.raises(DecryptError) as caught:
        opened(for_ca(encrypted=w.tlv(0x80, bytes(size))))
    assert (str(caught.value), caught.value.hint) == (UNIFORM, "")


def test_every_change_of_the_last_blocks_is_refused_alike() -> None:
    # A2: a padding oracle needs two different answers.
    data = for_ca()
    for place, value in itertools.product((1, 9, 16), range(1, 256, 3)):
        message = bytearray(data)
        message[-16 - place] ^= value
        found = outcome(bytes(message), key_of(CA))
        assert found != CONTENT
        assert isinstance(found, bytes) or found == (UNIFORM, "")


# ------------------------------------------------------------------ keys in tokens


def token(key: Any = None, *, broken: bool = False) -> DecryptionKey:
    return DecryptionKey(seen(CA), tokens.RsaToken(key or pki.rsa_key(), broken=broken))


def test_key_in_a_token_decrypts() -> None:
    for transport in KeyTransport:
        data = envelope.encrypt(CONTENT, seen(CA), Cipher.AES128_CBC, transport)
        ours = token()
        assert opened(data, ours).content == CONTENT
        assert ours.key.calls == ["decrypt"]  # type: ignore[union-attr]


def test_token_that_cannot_decrypt_is_a_wrong_key() -> None:
    assert_refused_alike(for_ca, token(broken=True))


# ------------------------------------------------------------------ RSA-OAEP (Q26, Q27)


def oaep(
    digest: str, parameters: bytes | None, *, mgf: str = "", label: bytes | None = None
) -> bytes:
    """A message whose content key is encrypted by OAEP, named by these parameters."""
    hash_, mgf_hash = w.HASHES[digest][1], w.HASHES[mgf or digest][1]
    transport = w.algorithm(w.RSA_OAEP, b"" if parameters is None else parameters)
    scheme = padding.OAEP(padding.MGF1(mgf_hash), hash_, label)
    return for_ca(w.rsa_recipient(CA, KEY, padding_=scheme, transport=transport))


def name(digest: str, *, null: bool = True) -> bytes:
    return w.algorithm(w.HASHES[digest][0], w.NULL if null else b"")


LABEL = w.tlv(0xA2, w.algorithm(w.P_SPECIFIED, w.octets(b"")))


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_oaep_of_every_spelling_is_read(digest: str) -> None:
    for hash_null, mgf_null, label in itertools.product([True, False], [True, False], [b"", LABEL]):
        parameters = w.seq(
            w.tlv(0xA0, name(digest, null=hash_null)),
            w.tlv(0xA1, w.algorithm(w.MGF1, name(digest, null=mgf_null))),
            label,
        )
        decrypted = opened(oaep(digest, parameters))
        assert decrypted.content == CONTENT
        assert decrypted.key_transport is KeyTransport(f"rsa-oaep-{digest}")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_oaep_with_mgf1_of_sha1_is_read_as_java_writes_it(digest: str) -> None:
    named = w.tlv(0xA1, w.algorithm(w.MGF1, name("sha1")))
    for mgf, label in itertools.product([named, b""], [b"", LABEL]):
        parameters = w.seq(w.tlv(0xA0, name(digest)), mgf, label)
        decrypted = opened(oaep(digest, parameters, mgf="sha1"))
        assert decrypted.content == CONTENT
        assert decrypted.key_transport is KeyTransport(f"rsa-oaep-{digest}-mgf1-sha1")


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        w.NULL,
        w.seq(),
        w.seq(LABEL),
        w.seq(w.tlv(0xA0, name("sha1"))),
        w.seq(w.tlv(0xA1, w.algorithm(w.MGF1, name("sha1"))), LABEL),
    ],
)
def test_oaep_with_its_defaults_left_out_is_sha1(parameters: bytes | None) -> None:
    assert opened(oaep("sha1", parameters)).key_transport is KeyTransport.RSA_OAEP_SHA1


@pytest.mark.parametrize(
    "parameters",
    [
        w.seq(
            w.tlv(0xA0, name("sha256")),
            w.tlv(0xA1, w.algorithm(w.MGF1, name("sha512"))),
        ),
        w.seq(
            w.tlv(0xA0, name("sha256")),
            w.tlv(0xA1, w.algorithm(w.MGF1, name("sha256"))),
            w.tlv(0xA2, w.algorithm(w.P_SPECIFIED, w.octets(b"label"))),
        ),
        w.seq(w.tlv(0xA0, w.algorithm("2.16.840.1.101.3.4.2.4"))),
        w.octets(b"?"),
    ],
)
def test_oaep_of_another_kind_is_refused(parameters: bytes) -> None:
    with pytest.raises(AlgorithmError, match="RSA-OAEP parameters are not supported") as caught:
        opened(oaep("sha256", parameters))
    assert caught.value.algorithm == "RSA-OAEP"


def test_oaep_with_sha1_is_written_with_empty_parameters() -> None:
    data = envelope.encrypt(CONTENT, seen(CA), Cipher.AES128_CBC, KeyTransport.RSA_OAEP_SHA1)
    assert w.algorithm(w.RSA_OAEP, w.seq()) in data


def test_unknown_key_transport_is_refused() -> None:
    recipient = w.rsa_recipient(CA, KEY, transport=w.algorithm("1.2.3.4"))
    with pytest.raises(AlgorithmError, match=r"the key transport 1\.2\.3\.4") as caught:
        opened(for_ca(recipient))
    assert caught.value.algorithm == "1.2.3.4"


# ------------------------------------------------------------------ forms (Q16, Q17)


def test_constructed_content_is_read() -> None:
    assert opened(for_ca(constructed=True)).content == CONTENT


def test_content_in_nested_chunks_is_read() -> None:
    ciphertext = w.aes_cbc(KEY, bytes(16), CONTENT)
    chunks = w.tlv(
        0xA0, w.tlv(0x24, w.octets(ciphertext[:5]), w.octets(ciphertext[5:9])), w.octets(b"")
    )
    chunks = w.tlv(0xA0, chunks[2:], w.octets(ciphertext[9:]))
    assert opened(for_ca(encrypted=chunks, iv=bytes(16))).content == CONTENT


def test_message_in_ber_is_read() -> None:
    for transport in (KeyTransport.RSA_PKCS1V15, KeyTransport.RSA_OAEP_SHA256):
        data = envelope.encrypt(CONTENT, seen(CA), Cipher.AES128_CBC, transport)
        tree = ber_writer.parse(data)
        for seed in range(25):
            assert opened(ber_writer.ber(tree, random.Random(seed))).content == CONTENT
    tree = ber_writer.parse(envelope.encrypt(CONTENT, SECRET, Cipher.AES128_CBC))
    for seed in range(5):
        assert opened(ber_writer.ber(tree, random.Random(seed)), SECRET).content == CONTENT


def test_ber_within_one_recipient_is_read() -> None:
    recipient = w.rsa_recipient(CA, KEY)
    inner = recipient[4:]
    assert opened(for_ca(b"\x30\x80" + inner + b"\x00\x00")).content == CONTENT


def test_originator_info_is_passed_over() -> None:
    originator = w.tlv(0xA0, w.tlv(0xA0, CA.der))
    assert opened(for_ca(originator=originator)).content == CONTENT


def test_message_without_content_is_refused() -> None:
    with pytest.raises(DecodeError, match="has no encrypted content"):
        envelope.read_envelope(for_ca(encrypted=b""))


def test_message_with_two_contents_is_refused() -> None:
    ciphertext = w.aes_cbc(KEY, bytes(16), CONTENT)
    twice = w.tlv(0x80, ciphertext) + w.tlv(0xA0, w.octets(ciphertext))
    with pytest.raises(DecodeError, match="its encrypted content is there twice"):
        envelope.read_envelope(for_ca(encrypted=twice, iv=bytes(16)))


def test_encrypted_content_of_another_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="expected data"):
        envelope.read_envelope(for_ca(content_type=w.SIGNED_DATA))


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        w.NULL,
        w.octets(bytes(8)),
        w.octets(bytes(17)),
        *(w.tlv(t, bytes(16)) for t in (2, 128)),
    ],
)
def test_wrong_iv_is_refused(parameters: bytes) -> None:
    with pytest.raises(DecodeError, match="the IV of aes128-cbc is missing or is not 16 bytes"):
        envelope.read_envelope(for_ca(cipher=w.algorithm(w.AES128_CBC, parameters)))


def test_signed_data_is_no_envelope() -> None:
    with pytest.raises(DecodeError, match="its content type is SignedData, expected EnvelopedData"):
        envelope.read_envelope(cms.certs_only([CA.der]))


def test_envelope_of_garbage_is_refused() -> None:
    with pytest.raises(DecodeError, match="this is not a pkcsPKIEnvelope"):
        envelope.read_envelope(w.content_info(w.ENVELOPED_DATA, w.seq(w.integer(0))))


# ------------------------------------------------------------------ refused ciphers (Q37, Q38)


def test_aes_gcm_is_refused_with_the_setting_to_change() -> None:
    cipher = w.algorithm("2.16.840.1.101.3.4.1.6", w.seq(w.octets(bytes(12))))
    with pytest.raises(AlgorithmError, match="AES-128-GCM") as caught:
        envelope.read_envelope(for_ca(cipher=cipher), allow_legacy=True)
    assert "encryptionAlgorithmIdentifier" in caught.value.hint


def test_recorded_single_des_is_read_only_on_request() -> None:
    conversation = vectors.conversation("des-md5-get/enrol-success")
    request, server = conversation.pki_operations[0].request, conversation.server
    assert request is not None
    assert request.enveloped is not None
    ours = DecryptionKey(view_of(server.recipient_certificate), server.recipient_key)
    with pytest.raises(AlgorithmError, match="single DES") as caught:
        opened(request.enveloped, ours)
    assert "--accept-legacy-replies" in caught.value.hint
    decrypted = opened(request.enveloped, ours, allow_legacy=True)
    assert decrypted.cipher is Cipher.DES_CBC
    assert decrypted.content == request.plain


# ------------------------------------------------------------------ passwords (A13)


def by_password(
    derivation: bytes | None = None,
    key_encryption: bytes | None = None,
    encrypted_key: bytes = bytes(32),
) -> bytes:
    cipher = w.algorithm(w.AES128_CBC, w.octets(bytes(16)))
    recipient = w.password_recipient(
        w.pbkdf2(b"salt", 1) if derivation is None else derivation,
        w.key_wrap(cipher) if key_encryption is None else key_encryption,
        encrypted_key,
    )
    return w.enveloped_data(CONTENT, [recipient], KEY)


def test_password_vector_of_rfc_3211_is_read() -> None:
    # Section 3.1; the key of 32 bytes is taken for one of AES-256.
    key = bytes.fromhex("8c637d887223a2f965b566eb014b0fa5d52300a3f7ea40fffc577203c71baf3b")
    recipient = w.password_recipient(
        w.pbkdf2(bytes.fromhex("1234567878563412"), 500),
        w.key_wrap(w.algorithm(w.DES_EDE3_CBC, w.octets(bytes.fromhex("baf1ca7931213c4e")))),
        bytes.fromhex(
            "c03c514abdb9e2c5aac038572b5e24553876b377aafb82eca5a9d73f8ab143d9ec74e6cad7db260c"
        ),
    )
    iv = bytes(16)
    aes256 = w.algorithm("2.16.840.1.101.3.4.1.42", w.octets(iv))
    data = w.enveloped_data(CONTENT, [recipient], key, cipher=aes256, iv=iv)
    secret = b"All n-entities must communicate with other n-entities via n-1 entiteeheehees"
    assert opened(data, Password(secret)) == Decrypted(CONTENT, Cipher.AES256_CBC, None)


@pytest.mark.parametrize("prf", [None, "sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("length", [None, 16])
def test_derivation_of_every_kind_is_read(prf: str | None, length: int | None) -> None:
    numbers = {"sha1": 7, "sha256": 9, "sha384": 10, "sha512": 11}
    encoded = b"" if prf is None else w.algorithm(f"1.2.840.113549.2.{numbers[prf]}", w.NULL)
    digest = Digest(prf or "sha1")
    kek = password.pbkdf2(SECRET.secret, b"salt", 3, digest, Cipher.AES128_CBC)
    wrapped = password.wrap_key(KEY, kek, Cipher.AES128_CBC, bytes(16))
    data = by_password(w.pbkdf2(b"salt", 3, length, encoded), encrypted_key=wrapped)
    assert opened(data, SECRET).content == CONTENT


@pytest.mark.parametrize(
    "count",
    [
        *(0, -1, 1_000_001, 10**9),
        # Numbers that Python refuses to write in decimal.
        pytest.param(-(1 << 20_000), id="hugely negative"),
        pytest.param(1 << 20_000, id="huge"),
    ],
)
def test_absurd_iteration_count_is_refused_at_once(count: int) -> None:
    started = time.process_time()
    with pytest.raises(AlgorithmError, match="iterations is refused; expected 1 to 1000000"):
        opened(by_password(w.pbkdf2(b"salt", count)), SECRET)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("derivation", "found"),
    [
        (b"", "the key derivation none is not supported"),
        (w.pbkdf2(b"salt", 1, derivation="1.2.3.4"), r"the key derivation 1\.2\.3\.4 is not"),
        (w.pbkdf2(b"salt", 1, prf=w.algorithm("1.2.3.4")), r"the PBKDF2 function 1\.2\.3\.4 is"),
        (w.pbkdf2(b"salt", 1, 24), r"another length than aes128-cbc needs \(16 bytes\)"),
        (w.pbkdf2(b"salt", 1, 1 << 20_000), "a key of another length"),
    ],
)
def test_derivation_of_another_kind_is_refused(derivation: bytes, found: str) -> None:
    with pytest.raises(AlgorithmError, match=found):
        opened(by_password(derivation), SECRET)


def test_malformed_derivation_is_refused() -> None:
    with pytest.raises(DecodeError, match="this is not a set of PBKDF2 parameters"):
        opened(by_password(w.tlv(0xA0, w.oid(w.PBKDF2), w.NULL)), SECRET)


@pytest.mark.parametrize(
    ("key_encryption", "error"),
    [
        (w.key_wrap(b"", "1.2.3.4"), AlgorithmError),
        (w.key_wrap(b""), DecodeError),
        (w.key_wrap(w.NULL), DecodeError),
        (w.key_wrap(w.algorithm(w.AES128_CBC, w.octets(bytes(8)))), DecodeError),
        (w.key_wrap(w.algorithm("1.3.14.3.2.7", w.octets(bytes(8)))), AlgorithmError),
    ],
)
def test_key_wrap_of_another_kind_is_refused(key_encryption: bytes, error: type[ScepError]) -> None:
    with pytest.raises(error):
        opened(by_password(key_encryption=key_encryption), SECRET)


@pytest.mark.parametrize("size", [0, 1, 16, 17, 31, 32, 33, 48, 64])
def test_wrapped_key_of_any_size_is_refused_alike(size: int) -> None:
    assert_refused_alike(lambda: by_password(encrypted_key=bytes(size)), SECRET)


def test_wrapped_key_that_says_a_wrong_length_is_refused_alike() -> None:
    kek = password.pbkdf2(SECRET.secret, b"salt", 1, Digest.SHA1, Cipher.AES128_CBC)
    for size in (15, 24, 200):
        wrapped = password.wrap_key(bytes(size), kek, Cipher.AES128_CBC, bytes(16))
        assert_refused_alike(lambda wrapped=wrapped: by_password(encrypted_key=wrapped), SECRET)  # type: ignore[misc]


def test_wrapped_key_that_is_cut_off_is_refused_alike() -> None:
    # A key length of 32 that the check bytes confirm, and only 28 bytes of it there.
    kek = password.pbkdf2(SECRET.secret, b"salt", 1, Digest.SHA1, Cipher.AES128_CBC)
    block = b"\x20\xff\xff\xff" + bytes(28)
    once = cbc.encrypt(Cipher.AES128_CBC, kek, bytes(16), block)
    wrapped = cbc.encrypt(Cipher.AES128_CBC, kek, once[-16:], once)
    aes256 = w.algorithm("2.16.840.1.101.3.4.1.42", w.octets(bytes(16)))
    recipient = w.password_recipient(
        w.pbkdf2(b"salt", 1), w.key_wrap(w.algorithm(w.AES128_CBC, w.octets(bytes(16)))), wrapped
    )
    assert_refused_alike(lambda: w.enveloped_data(CONTENT, [recipient], KEY, cipher=aes256), SECRET)


# ------------------------------------------------------------------ noise that looks padded


def sequence(content: bytes) -> bytes:
    read = envelope.read_envelope(envelope.encrypt(content, seen(CA), Cipher.AES128_CBC))
    return envelope.decrypt_sequence(read, key_of(CA)).content


@pytest.mark.parametrize(
    "content",
    [b"\x30\x00", b"\x30\x80\0\0", b"\x30\x82\0\x01x", b"\x30\x01xtrailing", CA.der],
)
def test_content_that_begins_with_a_sequence_is_given(content: bytes) -> None:
    assert sequence(content) == content


@pytest.mark.parametrize(
    "content", [b"", b"\x30", b"\x31\x00", b"\x30\x05four", b"\x30\x84\xff\xff\xff\xff", b"noise"]
)
def test_other_content_is_refused_as_if_the_key_were_wrong(content: bytes) -> None:
    with pytest.raises(DecryptError) as caught:
        sequence(content)
    assert str(caught.value) == envelope._DECRYPT_TEXT


# ------------------------------------------------------------------ mutations

SEALED = [envelope.encrypt(CONTENT, seen(CA), Cipher.AES128_CBC, way) for way in KeyTransport]


@mutations.examples(500)
@given(mutations.of_any(SEALED))
def test_mutated_message_is_decrypted_or_refused(data: bytes) -> None:
    with contextlib.suppress(ScepError):
        opened(data, allow_legacy=True)


@mutations.examples(300)
@given(drawn=st.data())
def test_mutated_message_for_a_password_is_decrypted_or_refused(drawn: st.DataObject) -> None:
    kek = password.pbkdf2(SECRET.secret, b"salt", 1, Digest.SHA1, Cipher.AES128_CBC)
    wrapped = password.wrap_key(KEY, kek, Cipher.AES128_CBC, bytes(16))
    data = by_password(encrypted_key=wrapped)
    assert opened(data, SECRET).content == CONTENT
    with contextlib.suppress(ScepError):
        opened(drawn.draw(mutations.of(data)), SECRET, allow_legacy=True)
