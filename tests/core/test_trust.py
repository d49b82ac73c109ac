"""core.trust: what a server offers, and who vouches for it."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core.algorithms import Digest
from scepkit.core.trust import (
    MAX_CERTIFICATES,
    AcceptIf,
    CaOffer,
    CaVerifier,
    Fingerprint,
    InsecureTrustOnFirstUse,
    PinnedCertificate,
    anchor_facts,
    fingerprint,
)
from scepkit.errors import AlgorithmError, InputError, TrustError
from tests import odd_certificates as odd
from tests import pki

ROOT = pki.root()
ISSUING = pki.intermediate(ROOT)
AGENT = pki.ra(ISSUING)
#: An attacker's CA with the name of the real one.
ROGUE = pki.root("rsa2048-b")


def offer(*identities: pki.Identity, profile: str | None = None) -> CaOffer:
    certificates = tuple(identity.certificate for identity in identities)
    return CaOffer("http://ca.test/scep", profile, certificates)


# ----------------------------------------------------------------------------------- the offer


def test_an_offer_without_certificates_is_refused() -> None:
    with pytest.raises(TrustError, match="offers no CA certificate") as caught:
        offer(profile="printers")
    assert "printers" in str(caught.value)


def test_an_offer_of_thousands_of_certificates_is_refused() -> None:
    with pytest.raises(TrustError, match=f"at most {MAX_CERTIFICATES}"):
        offer(*[ROOT] * (MAX_CERTIFICATES + 1))


@pytest.mark.parametrize(
    ("offered", "top"),
    [
        ([ROOT], ROOT),
        ([AGENT, ISSUING, ROOT], ROOT),
        ([AGENT, ISSUING], ISSUING),
        ([ISSUING, AGENT], ISSUING),
        ([AGENT], AGENT),
        ([odd.version1(ROOT), AGENT], odd.version1(ROOT)),
    ],
)
def test_the_ca_of_an_offer_is_the_topmost(offered: list[pki.Identity], top: pki.Identity) -> None:
    assert offer(*offered).ca == top.certificate


def test_of_two_self_signed_certificates_the_one_that_issues_is_the_ca_of_the_offer() -> None:
    stranger = pki.root("rsa2048-c", "Stranger")
    assert offer(stranger, AGENT, ISSUING, ROOT).ca == ROOT.certificate


def test_a_chain_of_intermediates_is_topped_by_the_one_whose_issuer_is_missing() -> None:
    upper = pki.intermediate(ROOT, common_name="Upper", path_length=1)
    lower = pki.intermediate(upper, "rsa2048-c", "Lower")
    assert offer(lower, upper).ca == upper.certificate
    assert offer(upper, lower).ca == upper.certificate


def test_the_fingerprint_of_an_offer_is_over_its_whole_ca_certificate() -> None:
    found = offer(AGENT, ISSUING, ROOT)
    assert found.fingerprint() == Digest.SHA256.of(ROOT.der).hex()
    assert found.fingerprint("SHA-1") == Digest.SHA1.of(ROOT.der).hex()
    assert found.fingerprints == tuple(
        Digest.SHA256.of(one.der).hex() for one in (AGENT, ISSUING, ROOT)
    )


def test_there_is_no_md5_fingerprint_of_an_offer() -> None:
    with pytest.raises(AlgorithmError):
        offer(ROOT).fingerprint("md5")


def test_a_refusal_shows_every_certificate_with_its_sha256_fingerprint() -> None:
    error = offer(AGENT, ISSUING, ROOT, profile="printers").refusal("no", hint="ask")
    assert error.fingerprints == offer(AGENT, ISSUING, ROOT).fingerprints
    assert error.hint == "ask"
    for identity in (AGENT, ISSUING, ROOT):
        assert f"sha256:{fingerprint(identity.certificate)}" in str(error)
    assert "CN=Test RA,O=Acme" in str(error)
    assert "http://ca.test/scep (profile 'printers')" in str(error)


def test_a_refusal_of_many_certificates_names_ten_and_has_all_fingerprints() -> None:
    many = [pki.device(ROOT, f"device{index}") for index in range(13)]
    error = offer(*many).refusal("no")
    assert "and 3 more" in str(error)
    assert len(error.fingerprints) == 13


def test_a_name_with_terminal_escapes_is_shown_without_them() -> None:
    evil = pki.root("rsa2048-b", "ok\x1b[2J\r\n\u202eevil")
    text = str(offer(evil).refusal("no"))
    assert text.isprintable()
    assert "evil" in text


# ------------------------------------------------------------------------------ what is vouched


class _NotThinking:
    """A verifier like those elsewhere, which answer yes or no."""

    def __call__(self, offered: CaOffer, /) -> Any:
        return True


@pytest.mark.parametrize("answer", [True, False, None, b"", ROOT.der, [ROOT.certificate]])
def test_only_a_certificate_can_be_an_anchor(answer: Any) -> None:
    with pytest.raises(TrustError, match="expected the certificate it vouches for"):
        anchor_facts(offer(ROOT), answer)


def test_an_anchor_that_cannot_be_read_is_refused() -> None:
    broken = odd.with_extension(
        ROOT, odd.element(0x30, bytes.fromhex("0603551d11"), b"\x04\x01\x00")
    )
    with pytest.raises(TrustError, match="cannot be an anchor: it cannot be read"):
        anchor_facts(offer(broken), broken.certificate)


def test_verifiers_fit_the_protocol() -> None:
    verifiers: list[CaVerifier] = [
        PinnedCertificate(ROOT.certificate),
        Fingerprint("00" * 32),
        AcceptIf(lambda certificate: True),
        InsecureTrustOnFirstUse(),
        _NotThinking(),
    ]
    assert all(map(callable, verifiers))


# ------------------------------------------------------------------------- pinned certificates


def test_a_pinned_certificate_that_is_offered_is_vouched_for() -> None:
    assert PinnedCertificate(ROOT.certificate)(offer(AGENT, ISSUING, ROOT)) == ROOT.certificate


def test_a_pinned_intermediate_is_vouched_for_and_not_its_root() -> None:
    verifier = PinnedCertificate(ISSUING.certificate)
    assert verifier(offer(AGENT, ISSUING, ROOT)) == ISSUING.certificate


def test_a_pinned_ra_certificate_is_vouched_for() -> None:
    assert PinnedCertificate(AGENT.certificate)(offer(AGENT, ISSUING)) == AGENT.certificate


def test_a_pinned_root_is_vouched_for_when_only_what_it_issued_is_offered() -> None:
    assert PinnedCertificate(ROOT.certificate)(offer(AGENT, ISSUING)) == ROOT.certificate


def test_of_a_pinned_ca_and_ra_the_ca_is_the_anchor() -> None:
    verifier = PinnedCertificate(AGENT.certificate, ISSUING.certificate)
    assert verifier(offer(AGENT, ISSUING)) == ISSUING.certificate


def test_a_pinned_next_ca_is_vouched_for_when_it_is_the_one_offered() -> None:
    following = pki.root("rsa2048-c", "Next CA")
    verifier = PinnedCertificate(ROOT.certificate, following.certificate)
    assert verifier(offer(following)) == following.certificate


def test_an_impostor_with_the_pinned_name_is_refused() -> None:
    with pytest.raises(TrustError, match="is a pinned one or was issued by one") as caught:
        PinnedCertificate(ROOT.certificate)(offer(ROGUE))
    assert caught.value.fingerprints == (fingerprint(ROGUE.certificate),)
    assert "operator" in caught.value.hint


def test_a_certificate_that_only_names_the_pinned_ca_as_issuer_is_refused() -> None:
    forged = pki.intermediate(ROGUE, "rsa2048-c")
    assert forged.certificate.issuer == ROOT.certificate.subject
    with pytest.raises(TrustError):
        PinnedCertificate(ROOT.certificate)(offer(forged))


def test_a_pinned_device_certificate_vouches_for_nothing_it_signed() -> None:
    device = pki.device(ROOT)
    forged = pki.certificate(pki.name("Forged CA"), pki.key("rsa2048-b"), issuer=device, ca=True)
    with pytest.raises(TrustError):
        PinnedCertificate(device.certificate)(offer(forged))


def test_certificates_that_cannot_be_read_are_passed_over_by_a_pin() -> None:
    broken = odd.with_part(ISSUING, odd.SPKI, odd.UNKNOWN_KEY, ROOT)
    verifier = PinnedCertificate(ROOT.certificate)
    assert verifier(offer(broken, ISSUING)) == ROOT.certificate
    with pytest.raises(TrustError):
        verifier(offer(broken))
    with pytest.raises(TrustError):
        PinnedCertificate(odd.with_part(ROOT, odd.SPKI, odd.UNKNOWN_KEY).certificate)(
            offer(ISSUING)
        )


def test_nothing_can_be_pinned_but_certificates() -> None:
    with pytest.raises(InputError, match="at least one"):
        PinnedCertificate()
    pem: Any = b"-----BEGIN CERTIFICATE-----"
    with pytest.raises(InputError, match="a bytes cannot be pinned"):
        PinnedCertificate(pem)


def test_a_pin_says_what_it_pins() -> None:
    assert repr(PinnedCertificate(ROOT.certificate)) == "PinnedCertificate(CN=Test Root CA,O=Acme)"


# ---------------------------------------------------------------------------------- fingerprints


def _colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_a_fingerprint_is_read_in_every_usual_spelling(digest: Digest) -> None:
    digits = digest.of(ROOT.der).hex()
    name = digest.value
    for text in (
        digits,
        digits.upper(),
        _colons(digits),
        f"{name}:{digits}",
        f"{name.upper()}:{_colons(digits).upper()}",
        f"SHA-{name[3:]} : {digits}",
        f"{name} Fingerprint={_colons(digits).upper()}",
        f"  {digits[:10]} {digits[10:]}\n",
    ):
        verifier = Fingerprint(text)
        assert verifier(offer(ISSUING, ROOT)) == ROOT.certificate
        assert str(verifier) == f"{name}:{digits}"
        assert repr(verifier) == f"Fingerprint('{name}:{digits}')"


def test_a_fingerprint_vouches_for_whichever_certificate_has_it() -> None:
    for identity in (AGENT, ISSUING, ROOT):
        verifier = Fingerprint(fingerprint(identity.certificate))
        assert verifier(offer(AGENT, ISSUING, ROOT)) == identity.certificate


def test_a_fingerprint_that_no_certificate_has_is_refused() -> None:
    verifier = Fingerprint(fingerprint(ROOT.certificate))
    with pytest.raises(TrustError, match="no certificate offered has the fingerprint") as caught:
        verifier(offer(ROGUE, pki.intermediate(ROGUE)))
    assert caught.value.fingerprints[0] == fingerprint(ROGUE.certificate)
    assert str(verifier) in str(caught.value)
    assert "operator" in caught.value.hint


def test_one_wrong_bit_in_a_fingerprint_is_refused() -> None:
    digits = fingerprint(ROOT.certificate)
    wrong = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    with pytest.raises(TrustError):
        Fingerprint(wrong)(offer(ROOT))


@pytest.mark.parametrize("text", ["md5:" + "ab" * 16, "MD5:AB", "ab" * 16, _colons("ab" * 16)])
def test_an_md5_fingerprint_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(InputError, match="MD5 fingerprint proves nothing") as caught:
        Fingerprint(text)
    assert "SHA-256" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 hex digits; expected 64 for sha256"),
        ("sha256:", "0 hex digits; expected 64 for sha256"),
        ("sha1:" + "ab" * 32, "64 hex digits; expected 40 for sha1"),
        ("ab" * 31, "62 hex digits; expected 64 for sha256"),
        ("sha256:" + "ab" * 4, "8 hex digits; expected 64"),
        ("a" * 63, "63 hex digits"),
        ("sha224:" + "ab" * 28, "no fingerprint of the kind 'sha224'"),
        ("CN=Test Root CA", "is not a fingerprint"),
        ("sha256:" + "xy" * 32, "is not a fingerprint"),
    ],
)
def test_what_is_not_a_fingerprint_is_refused(text: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        Fingerprint(text)


@given(st.text(alphabet="sha1256md5ABCdef:=- \n" + "ü", max_size=140))
def test_any_text_is_a_fingerprint_or_an_input_error(text: str) -> None:
    try:
        verifier = Fingerprint(text)
    except InputError:
        return
    assert Fingerprint(str(verifier)).value == verifier.value


# ------------------------------------------------------------------------- functions, first use


def test_a_function_that_returns_true_accepts_the_ca() -> None:
    seen: list[x509.Certificate] = []

    def accept(certificate: x509.Certificate) -> bool:
        seen.append(certificate)
        return True

    assert AcceptIf(accept)(offer(AGENT, ISSUING, ROOT)) == ROOT.certificate
    assert seen == [ROOT.certificate]


@pytest.mark.parametrize("answer", [False, None, 1, "yes", ROOT.certificate])
def test_anything_but_true_refuses_the_ca(answer: Any) -> None:
    with pytest.raises(TrustError, match="CN=Test Root CA,O=Acme was not accepted"):
        AcceptIf(lambda certificate: answer)(offer(ROOT))


def test_trust_on_first_use_takes_whoever_answers() -> None:
    assert InsecureTrustOnFirstUse()(offer(ROGUE)) == ROGUE.certificate
