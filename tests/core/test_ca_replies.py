"""core.ca_replies: the answers to GetCACert and GetNextCACert, real ones and forged ones."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given

from scepkit.core import cms
from scepkit.core.algorithms import Digest
from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.ca_replies import read_ca_certificates, verify_next_ca
from scepkit.core.certificates import view_of
from scepkit.core.trust import (
    MAX_CERTIFICATES,
    CaOffer,
    CaVerifier,
    Fingerprint,
    PinnedCertificate,
    fingerprint,
)
from scepkit.errors import AlgorithmError, DecodeError, ScepError, SignatureError, TrustError
from tests import mutations, pki, vectors
from tests import odd_certificates as odd
from tests.pki import NOW

ROOT = pki.root()
AGENT = pki.ra(ROOT)
NEXT = pki.root("rsa3072", "Next Root CA", not_before=NOW + timedelta(days=30))
ROGUE = pki.root("rsa2048-b")
#: When the recorded certificates are valid.
RECORDED = datetime(2026, 12, 1, tzinfo=UTC)

DER_TYPE = "application/x-x509-ca-cert"
BUNDLE_TYPE = "application/x-x509-ca-ra-cert"
HTML = b"<!DOCTYPE html><html><head><title>Network Device\n Enrollment</title></head></html>"


def pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def bundle(*identities: pki.Identity) -> bytes:
    return cms.certs_only([identity.der for identity in identities])


def certificates(*identities: pki.Identity) -> tuple[x509.Certificate, ...]:
    return tuple(identity.certificate for identity in identities)


# ------------------------------------------------------------------------------------ GetCACert


@pytest.mark.parametrize("content_type", [DER_TYPE, BUNDLE_TYPE, "text/html", "", "\x00"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ROOT.der, [ROOT]),
        (bundle(AGENT, ROOT), [AGENT, ROOT]),
        (bundle(ROOT), [ROOT]),
        (pem("CERTIFICATE", ROOT.der), [ROOT]),
        (pem("X509 CERTIFICATE", AGENT.der) + pem("CERTIFICATE", ROOT.der), [AGENT, ROOT]),
        (pem("PKCS7", bundle(AGENT, ROOT)), [AGENT, ROOT]),
        (b"subject=CN=x\r\n" + pem("CMS", bundle(ROOT)), [ROOT]),
        (b"\xef\xbb\xbf" + pem("CERTIFICATE", ROOT.der).replace(b"\n", b"\r\n"), [ROOT]),
    ],
    ids=["DER", "bundle", "bundle of one", "PEM", "two PEMs", "PKCS7", "CMS", "CRLF"],
)
def test_the_bytes_and_not_the_content_type_say_what_a_body_is(
    body: bytes, expected: list[pki.Identity], content_type: str
) -> None:
    assert read_ca_certificates(body, content_type) == certificates(*expected)


@pytest.mark.parametrize("name", ["ca/getcacert", "ra/getcacert", "des-md5-get/getcacert"])
def test_the_answers_of_jscep_are_read(name: str) -> None:
    (step,) = vectors.conversation(name).steps
    found = read_ca_certificates(step.response.wire, step.content_type)
    server = vectors.conversation(name).server
    assert set(found) == {server.ca_certificate, server.recipient_certificate}


def test_the_recorded_ra_set_of_jscep_is_authenticated() -> None:
    conversation = vectors.conversation("ra/getcacert")
    (step,) = conversation.steps
    found = read_ca_certificates(step.response.wire, step.content_type)
    server = conversation.server
    trusted = authenticate(CaOffer("", None, found), server.ca_certificate, RECORDED)
    assert trusted.recipient == server.recipient_certificate
    assert trusted.ca == server.ca_certificate


def test_an_html_page_gives_an_error_with_its_title() -> None:
    with pytest.raises(DecodeError, match="Network Device Enrollment") as caught:
        read_ca_certificates(HTML, "text/html; charset=utf-8")
    assert caught.value.title == "Network Device Enrollment"
    assert "mscep" in caught.value.hint


def test_a_page_without_a_title_gives_an_error_too() -> None:
    with pytest.raises(DecodeError, match="HTML page") as caught:
        read_ca_certificates(b"<p>login</p>", "text/html")
    assert caught.value.title == ""


def test_an_empty_body_gives_an_error_that_speaks_of_the_profile() -> None:
    with pytest.raises(DecodeError, match="empty body") as caught:
        read_ca_certificates(b"", DER_TYPE)
    assert "profile" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no such CA"}', r"begins .*no such CA"),
        (b"\x00\x01\x02", "3 bytes .no content type., expected"),
        (b"\xff\xfe", "2 bytes"),
    ],
)
def test_a_body_that_is_something_else_is_quoted(body: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        read_ca_certificates(body)


@pytest.mark.parametrize(
    "body",
    [
        ROOT.der[:-1],
        ROOT.der + b"\x00",
        b"\x30\x00",
        b"\x30\x80",
        cms.certs_only([]),
        pem("CERTIFICATE", b"\x30\x00"),
        pem("PKCS7", ROOT.der),
        pem("PRIVATE KEY", b"\x30\x00"),
        b"-----BEGIN CERTIFICATE-----\nMIIB",
        pki.key_pem("rsa2048-a"),
    ],
)
def test_a_damaged_body_gives_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        read_ca_certificates(body)


def test_the_error_over_a_damaged_body_says_both_that_were_tried() -> None:
    with pytest.raises(DecodeError, match="neither a certificate nor a bundle"):
        read_ca_certificates(b"\x30\x03\x02\x01\x05")


def test_a_certificate_in_a_bundle_that_cannot_be_read_is_left_out() -> None:
    broken = odd.der_with_part(AGENT, odd.VERSION, bytes.fromhex("a003020107"))
    body = cms.certs_only([broken, ROOT.der])
    assert read_ca_certificates(body) == certificates(ROOT)
    with pytest.raises(DecodeError, match="a certificate cannot be read"):
        read_ca_certificates(cms.certs_only([broken]))


def test_thousands_of_certificates_are_not_even_loaded() -> None:
    many = cms.certs_only([ROOT.der] * 900)
    with pytest.raises(DecodeError, match=f"900 certificates .* at most {MAX_CERTIFICATES}"):
        read_ca_certificates(many)
    with pytest.raises(DecodeError, match="more than 1000 elements"):
        read_ca_certificates(cms.certs_only([ROOT.der] * 2000))


def test_a_serial_number_of_zero_is_a_result_or_a_scepkit_error() -> None:
    # `cryptography` warns of it, and where warnings are errors, that is an exception.
    body = odd.der_with_part(ROOT, odd.SERIAL, bytes.fromhex("020100"))
    with pytest.raises(DecodeError, match="serial number"):
        read_ca_certificates(body)


@mutations.examples(300)
@given(
    body=mutations.of_any(
        [ROOT.der, bundle(AGENT, ROOT), pem("CERTIFICATE", ROOT.der), HTML, b"\x30\x80"]
    )
)
def test_any_body_gives_certificates_or_a_decode_error(body: bytes) -> None:
    try:
        found = read_ca_certificates(body, "text/plain")
    except DecodeError:
        return
    assert CaOffer("http://ca.test", None, found).ca in found


# --------------------------------------------------------------------------------- GetNextCACert


def current(*identities: pki.Identity, ras: tuple[pki.Identity, ...] = ()) -> CaCertificates:
    offer = CaOffer("http://ca.test", None, certificates(*identities))
    named = certificates(*ras) or None
    return authenticate(offer, identities[-1].certificate, NOW, ra_certificates=named)


CURRENT = current(ROOT)


def signed(signer: pki.Identity, content: bytes | None, *beside: pki.Identity) -> bytes:
    who = cms.Signer(view_of(signer.certificate), signer.key, tuple(one.der for one in beside))
    return cms.sign(content, (), who, Digest.SHA256)


def test_the_next_ca_signed_by_the_present_one_is_believed() -> None:
    agent = pki.ra(NEXT)
    found = verify_next_ca(signed(ROOT, bundle(NEXT, agent)), CURRENT, NOW)
    assert found == certificates(NEXT, agent)


SHA256 = bytes.fromhex("0609608648016503040201")


def _signed_data(content_type: str, content: bytes, digest: bytes = SHA256) -> bytes:
    """A SignedData by ROOT with any content type, and any name for its digest."""
    kind = bytes.fromhex(content_type)
    sha256 = odd.element(0x30, digest)
    attributes = sorted(
        [
            odd.element(0x30, bytes.fromhex("06092a864886f70d010903"), odd.element(0x31, kind)),
            odd.element(
                0x30,
                bytes.fromhex("06092a864886f70d010904"),
                odd.element(0x31, odd.element(0x04, Digest.SHA256.of(content))),
            ),
        ]
    )
    signature = pki.rsa_key().sign(
        odd.element(0x31, *attributes), padding.PKCS1v15(), hashes.SHA256()
    )
    tbs = odd.children(odd.children(ROOT.der)[0])
    info = odd.element(
        0x30,
        b"\x02\x01\x01",
        odd.element(0x30, tbs[odd.ISSUER], tbs[odd.SERIAL]),
        sha256,
        odd.element(0xA0, *attributes),
        odd.element(0x30, bytes.fromhex("06092a864886f70d010101"), b"\x05\x00"),
        odd.element(0x04, signature),
    )
    signed_data = odd.element(
        0x30,
        b"\x02\x01\x01",
        odd.element(0x31, sha256),
        odd.element(0x30, kind, odd.element(0xA0, odd.element(0x04, content))),
        odd.element(0x31, info),
    )
    return odd.element(0x30, SIGNED_DATA, odd.element(0xA0, signed_data))


ID_DATA = "06092a864886f70d010701"
ID_SIGNED_DATA = "06092a864886f70d010702"
SIGNED_DATA = bytes.fromhex(ID_SIGNED_DATA)
#: The SignedData within the ContentInfo.
BARE = odd.children(odd.children(bundle(NEXT))[1])[0]


@pytest.mark.parametrize("content_type", [ID_DATA, ID_SIGNED_DATA], ids=["data", "signedData"])
@pytest.mark.parametrize("content", [bundle(NEXT), BARE], ids=["ContentInfo", "SignedData"])
def test_every_encoding_of_the_inner_message_is_read(content_type: str, content: bytes) -> None:
    body = _signed_data(content_type, content)
    assert verify_next_ca(body, CURRENT, NOW) == certificates(NEXT)


def test_the_root_above_the_present_ca_may_sign_for_its_successor() -> None:
    issuing = pki.intermediate(ROOT)
    body = signed(ROOT, bundle(pki.intermediate(ROOT, "rsa3072", "Next Issuing CA")))
    assert verify_next_ca(body, current(issuing, ROOT), NOW)


def test_an_ra_that_says_it_is_one_may_sign_for_the_next_ca() -> None:
    body = signed(AGENT, bundle(NEXT))
    assert verify_next_ca(body, current(AGENT, ROOT), NOW) == certificates(NEXT)


def test_an_end_entity_that_only_counts_as_an_ra_may_not_sign_for_the_next_ca() -> None:
    quiet = pki.ra(ROOT, eku=[])
    body = signed(quiet, bundle(NEXT))
    with pytest.raises(TrustError, match="has not the CA's key") as caught:
        verify_next_ca(body, current(quiet, ROOT), NOW)
    assert caught.value.fingerprints == (fingerprint(quiet.certificate),)
    assert verify_next_ca(body, current(quiet, ROOT, ras=(quiet,)), NOW) == certificates(NEXT)


@pytest.mark.parametrize(
    "signer",
    [
        NEXT,
        ROGUE,
        pki.device(ROOT, key_name="rsa4096"),
        pki.self_signed(key_name="rsa4096"),
    ],
    ids=["the next CA", "a rogue with the same name", "a device", "anybody"],
)
def test_a_next_ca_signed_by_another_key_is_refused(signer: pki.Identity) -> None:
    for known in (CURRENT, current(AGENT, ROOT), current(pki.ra(ROOT, eku=[]), ROOT)):
        for beside in ((), (ROOT,)):
            with pytest.raises(SignatureError):
                verify_next_ca(signed(signer, bundle(NEXT), *beside), known, NOW)


def test_a_substituted_signer_certificate_is_refused() -> None:
    # The attacker's certificate in the message has the CA's issuer and serial number.
    tbs = odd.children(odd.children(ROOT.der)[0])
    twin = odd.with_part(
        pki.Identity(ROOT.certificate, ROGUE.key), odd.SPKI, odd.spki(ROGUE.key.public_key())
    )
    assert odd.children(odd.children(twin.der)[0])[odd.SERIAL] == tbs[odd.SERIAL]
    with pytest.raises(SignatureError, match="broken"):
        verify_next_ca(signed(twin, bundle(NEXT)), CURRENT, NOW)


def test_a_next_ca_without_a_signature_is_refused() -> None:
    with pytest.raises(SignatureError, match="no signatures"):
        verify_next_ca(bundle(NEXT), CURRENT, NOW)


def test_a_present_ca_that_has_expired_signs_for_no_next_one() -> None:
    later = NOW + timedelta(days=4000)
    with pytest.raises(TrustError, match="CN=Test Root CA,O=Acme has expired"):
        verify_next_ca(signed(ROOT, bundle(NEXT)), CURRENT, later)


def test_an_expired_next_ca_is_refused() -> None:
    late = pki.root("rsa3072", "Next Root CA", not_after=NOW - timedelta(days=1))
    with pytest.raises(TrustError, match="CN=Next Root CA,O=Acme has expired") as caught:
        verify_next_ca(signed(ROOT, bundle(late)), CURRENT, NOW)
    assert "old one" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"junk",
        b"\x30\x00",
        cms.certs_only([]),
        bundle(pki.device(ROOT)),
        bundle(odd.with_part(NEXT, odd.SPKI, odd.UNKNOWN_KEY)),
    ],
    ids=["junk", "empty", "no certificate", "no CA", "unusable CA"],
)
def test_a_signed_content_without_a_ca_certificate_is_an_error(content: bytes) -> None:
    with pytest.raises(DecodeError):
        verify_next_ca(signed(ROOT, content), CURRENT, NOW)


def test_a_reply_with_an_envelope_is_no_next_ca() -> None:
    # What else the CA signs cannot be passed off as its successor.
    step = vectors.conversation("ca/enrol-success").pki_operations[0]
    known = authenticate(
        CaOffer("", None, (vectors.conversation("ca/getnextca").server.ca_certificate,)),
        vectors.conversation("ca/getnextca").server.ca_certificate,
        RECORDED,
    )
    with pytest.raises(DecodeError, match="EnvelopedData"):
        verify_next_ca(step.response.wire, known, RECORDED)


# ----------------------------------------------------------------------------- jscep's form of it


def _recorded(name: str, *, named: bool = True) -> tuple[bytes, CaCertificates, x509.Certificate]:
    conversation = vectors.conversation(name)
    (step,) = [one for one in conversation.steps if one.operation == "GetNextCACert"]
    server = conversation.server
    offered = tuple(dict.fromkeys((server.recipient_certificate, server.ca_certificate)))
    known = authenticate(
        CaOffer("http://ca.test", None, offered),
        server.ca_certificate,
        RECORDED,
        ra_certificates=offered[:1] if named else None,
    )
    return step.response.wire, known, server.next_ca_certificate


@pytest.mark.parametrize("name", ["ca/getnextca", "ra/getnextca"])
def test_the_next_ca_of_jscep_is_believed_when_a_verifier_vouches_for_it(name: str) -> None:
    body, known, following = _recorded(name)
    verifiers: list[CaVerifier] = [
        Fingerprint(fingerprint(following)),
        PinnedCertificate(following),
    ]
    for verifier in verifiers:
        assert verify_next_ca(body, known, RECORDED, verifier=verifier) == (following,)


@pytest.mark.parametrize("name", ["ca/getnextca", "ra/getnextca"])
def test_the_next_ca_of_jscep_is_refused_when_nobody_vouches_for_it(name: str) -> None:
    body, known, following = _recorded(name)
    with pytest.raises(TrustError, match="not covered by its signature") as caught:
        verify_next_ca(body, known, RECORDED)
    assert fingerprint(following) in caught.value.fingerprints
    with pytest.raises(TrustError):
        verify_next_ca(body, known, RECORDED, verifier=Fingerprint("00" * 32))


def test_jscep_signs_the_next_ca_with_the_key_of_the_ra_which_must_be_named() -> None:
    body, known, following = _recorded("ra/getnextca", named=False)
    with pytest.raises(TrustError, match="has not the CA's key") as caught:
        verify_next_ca(body, known, RECORDED, verifier=PinnedCertificate(following))
    assert "ra_certificates" in caught.value.hint


def test_an_md5_signature_over_the_next_ca_is_refused() -> None:
    body = _signed_data(ID_DATA, bundle(NEXT), bytes.fromhex("06082a864886f70d0205"))
    with pytest.raises(AlgorithmError, match="MD5"):
        verify_next_ca(body, CURRENT, NOW)


def test_certificates_put_beside_a_signed_failure_are_not_the_next_ca() -> None:
    # A FAILURE has no content: its signature verifies whatever certificates are added (A23).
    failure = signed(ROOT, None, ROGUE)
    with pytest.raises(TrustError, match="not covered by its signature"):
        verify_next_ca(failure, CURRENT, NOW)
    with pytest.raises(TrustError):
        verify_next_ca(failure, CURRENT, NOW, verifier=PinnedCertificate(NEXT.certificate))


@pytest.mark.parametrize("eku", [[], [pki.CLIENT_AUTH]])
def test_a_device_with_the_name_of_the_ca_is_not_the_next_ca(
    eku: list[x509.ObjectIdentifier],
) -> None:
    # It hangs below the anchor, and calls itself as the CA does: its word is worth nothing.
    device = pki.certificate(ROOT.name, pki.rsa_key("rsa2048-c"), issuer=ROOT, eku=eku)
    with pytest.raises(TrustError, match="not covered by its signature"):
        verify_next_ca(signed(ROOT, None, device), CURRENT, NOW)


def test_a_device_beside_the_next_ca_is_left_out() -> None:
    issuing = pki.intermediate(ROOT)
    following = pki.intermediate(ROOT, "rsa3072", "Next Issuing CA")
    body = signed(issuing, b"", pki.device(issuing), following)
    assert verify_next_ca(body, current(issuing, ROOT), NOW) == certificates(following)


def test_certificates_beside_a_signature_are_believed_below_the_present_anchor() -> None:
    issuing = pki.intermediate(ROOT)
    following = pki.intermediate(ROOT, "rsa3072", "Next Issuing CA")
    body = signed(issuing, b"", following, ROGUE, ROOT)
    assert verify_next_ca(body, current(issuing, ROOT), NOW) == certificates(following)


def test_the_verifier_of_the_next_ca_sees_where_it_is_from() -> None:
    seen: list[CaOffer] = []

    def verifier(offer: CaOffer, /) -> x509.Certificate:
        seen.append(offer)
        return NEXT.certificate

    found = verify_next_ca(
        signed(ROOT, None, NEXT),
        CURRENT,
        NOW,
        verifier=verifier,
        url="http://ca.test/scep",
        profile="printers",
    )
    assert found == certificates(NEXT)
    assert (seen[0].url, seen[0].profile) == ("http://ca.test/scep", "printers")


@mutations.examples(300)
@given(answer=mutations.of_any([signed(ROOT, bundle(NEXT)), signed(ROOT, None, NEXT)]))
def test_an_altered_answer_never_yields_another_next_ca(answer: bytes) -> None:
    verifier = PinnedCertificate(NEXT.certificate)
    try:
        found = verify_next_ca(answer, CURRENT, NOW, verifier=verifier)
    except ScepError:
        return
    # Beside jscep's content stand the certificates that nothing covers: one may be there twice.
    assert set(found) == set(certificates(NEXT))


@mutations.examples(200)
@given(content=mutations.of(bundle(NEXT)))
def test_any_content_that_the_ca_signed_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ScepError):
        assert verify_next_ca(signed(ROOT, content), CURRENT, NOW)
