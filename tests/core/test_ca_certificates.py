"""core.ca_certificates and core.chains: what follows from an anchor, whatever is offered."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from hypothesis import given

from scepkit.core.ca_certificates import CaCertificates, authenticate, verify_issued
from scepkit.core.chains import Facts
from scepkit.core.trust import MAX_CERTIFICATES, CaOffer, fingerprint
from scepkit.errors import ScepError, TrustError
from tests import mutations, pki
from tests import odd_certificates as odd
from tests.pki import NOW

ROOT = pki.root()
ISSUING = pki.intermediate(ROOT)
AGENT = pki.ra(ISSUING)
#: An attacker's CA: the real one's certificate with its name, serial number and key identifier, but
#: with another key.
ROGUE = odd.with_part(
    pki.Identity(ROOT.certificate, pki.key("rsa3072")),
    odd.SPKI,
    odd.spki(pki.key("rsa3072").public_key()),
)
DAY = timedelta(days=1)


def offer(*identities: pki.Identity) -> CaOffer:
    certificates = tuple(identity.certificate for identity in identities)
    return CaOffer("http://ca.test/scep", None, certificates)


def authenticated(
    anchor: pki.Identity, *offered: pki.Identity, now: datetime = NOW, **options: Any
) -> CaCertificates:
    return authenticate(offer(*offered), anchor.certificate, now, **options)


def certificates(*identities: pki.Identity) -> tuple[x509.Certificate, ...]:
    return tuple(identity.certificate for identity in identities)


def reasons(found: CaCertificates) -> dict[x509.Certificate, str]:
    return {ignored.certificate: ignored.reason for ignored in found.ignored}


# ------------------------------------------------------------------------------ ordinary offers


def test_a_single_ca_is_everything() -> None:
    found = authenticated(ROOT, ROOT)
    assert found.anchor == found.ca == found.recipient == ROOT.certificate
    assert found.certificates == found.signers == found.authorities == certificates(ROOT)
    assert found.rollover_signers == certificates(ROOT)
    assert not found.ignored
    assert not found.notes
    assert found.issues
    assert found.issuer_name == ROOT.name


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (2, 2, 1, 0, 0)])
def test_the_order_of_an_offer_makes_no_difference(order: tuple[int, ...]) -> None:
    found = authenticated(ROOT, *[(AGENT, ISSUING, ROOT)[index] for index in order])
    assert found.certificates == certificates(AGENT, ISSUING, ROOT)
    assert found.ca == ISSUING.certificate
    assert found.recipient == AGENT.certificate
    assert found.signers == certificates(AGENT, ISSUING, ROOT)
    assert found.rollover_signers == certificates(ISSUING, ROOT, AGENT)
    assert found.authorities == certificates(ISSUING, ROOT)
    assert found.ignored == ()


def test_an_intermediate_that_answers_itself_is_the_ca_and_not_its_root() -> None:
    found = authenticated(ROOT, ROOT, ISSUING)
    assert found.ca == found.recipient == ISSUING.certificate


def test_a_pinned_root_need_not_be_offered() -> None:
    found = authenticated(ROOT, AGENT, ISSUING)
    assert found.certificates == certificates(AGENT, ISSUING, ROOT)
    assert found.recipient == AGENT.certificate


def test_an_ra_directly_below_a_root_that_is_not_offered_is_authenticated() -> None:
    agent = pki.ra(ROOT)
    found = authenticated(ROOT, agent)
    assert found.ca == ROOT.certificate
    assert found.recipient == agent.certificate


def test_above_a_pinned_intermediate_nothing_is_trusted() -> None:
    found = authenticated(ISSUING, AGENT, ISSUING, ROOT)
    assert found.certificates == certificates(AGENT, ISSUING)
    assert ROOT.certificate not in found.signers
    assert reasons(found) == {ROOT.certificate: "its issuer is not a CA that is trusted here"}
    assert found.chain_for(AGENT.certificate) == certificates(ISSUING)


def test_a_pinned_ra_certificate_stands_for_itself_alone() -> None:
    found = authenticated(AGENT, AGENT, ISSUING, ROOT)
    assert found.certificates == found.signers == certificates(AGENT)
    assert found.recipient == found.ca == AGENT.certificate
    assert not found.issues
    assert found.issuer_name == ISSUING.name
    assert "pinned" in found.notes[0]
    with pytest.raises(TrustError, match="is not a CA's; pin the CA's certificate"):
        verify_issued(pki.device(ISSUING).certificate, found, NOW)


def test_a_pinned_device_certificate_is_taken_for_the_ra_the_caller_says_it_is() -> None:
    odd_agent = pki.ra(ISSUING, eku=[pki.CLIENT_AUTH])
    assert authenticated(odd_agent, odd_agent, ISSUING).recipient == odd_agent.certificate


def test_the_signatures_of_an_authenticated_set_are_not_checked_again() -> None:
    found = authenticated(ROOT, AGENT, ISSUING, ROOT)
    device = pki.device(ISSUING).certificate
    started = time.process_time()
    for _ in range(100):
        verify_issued(device, found, NOW)
    assert time.process_time() - started < 1


def test_ec_certificates_are_authenticated() -> None:
    root = pki.root("ec384", "EC Root")
    issuing = pki.intermediate(root, "ec256-a")
    agent = pki.ra(issuing)
    found = authenticated(root, agent, issuing)
    assert found.certificates == certificates(agent, issuing, root)
    assert verify_issued(pki.device(issuing).certificate, found, NOW).chain == certificates(
        issuing, root
    )


def test_an_anchor_below_an_unlimited_number_of_intermediates_is_reached() -> None:
    chain = [ROOT]
    for index in range(20):
        names = f"Level {index}"
        chain.append(pki.intermediate(chain[-1], "rsa2048-b", names, path_length=None))
    found = authenticated(ROOT, *chain)
    assert found.ca == chain[-1].certificate
    assert found.authorities == certificates(*reversed(chain))


# ----------------------------------------------------------------------- strangers and impostors


def test_a_rogue_ca_with_the_same_name_and_key_identifier_is_ignored() -> None:
    for offered in ((ROGUE, AGENT, ISSUING, ROOT), (ROOT, ISSUING, AGENT, ROGUE)):
        found = authenticated(ROOT, *offered)
        assert found.certificates == certificates(AGENT, ISSUING, ROOT)
        assert "not signed with the key of CN=Test Root CA" in reasons(found)[ROGUE.certificate]


def test_certificates_of_a_rogue_ca_with_the_same_name_are_ignored() -> None:
    forged_ca = pki.intermediate(ROGUE)
    forged_agent = pki.ra(ROGUE, "rsa4096")
    found = authenticated(ROOT, forged_agent, forged_ca, ROGUE, ROOT)
    assert found.certificates == certificates(ROOT)
    assert found.recipient == ROOT.certificate
    assert len(found.ignored) == 3


def test_replaced_ra_certificates_never_receive_a_request() -> None:
    # The attacker keeps the CA and puts an RA of his own in place of the real one.
    forged = pki.ra(ROGUE, "rsa3072")
    assert authenticated(ROOT, forged, ROOT).recipient == ROOT.certificate


def test_an_offer_of_strangers_only_is_refused() -> None:
    with pytest.raises(TrustError, match="no certificate offered was issued by") as caught:
        authenticated(ROOT, ROGUE, pki.ra(ROGUE))
    assert len(caught.value.fingerprints) == 2
    assert f"sha256:{fingerprint(ROGUE.certificate)}" in str(caught.value)


def test_an_ra_anchor_that_is_not_offered_is_refused() -> None:
    with pytest.raises(TrustError, match="is not offered itself"):
        authenticated(AGENT, ISSUING, ROOT)


def test_a_certificate_that_a_device_signed_is_ignored() -> None:
    device = pki.device(ROOT)
    forged = pki.ra(device, "rsa2048-b")
    found = authenticated(ROOT, forged, device, ROOT)
    assert found.certificates == certificates(ROOT)
    assert set(reasons(found)) == set(certificates(forged, device))


def test_a_device_with_the_name_of_the_ca_issues_nothing() -> None:
    twin = pki.certificate(
        ROOT.name,
        pki.key("rsa2048-c"),
        issuer=ROOT,
        ca=False,
        eku=[pki.CLIENT_AUTH],
        key_usage=pki.usage("digital_signature"),
    )
    forged = pki.ra(twin, "rsa2048-b")
    found = authenticated(ROOT, forged, twin, ROOT)
    assert found.certificates == certificates(ROOT)
    with pytest.raises(TrustError):
        verify_issued(pki.device(twin).certificate, found, NOW, extra=certificates(twin))


@pytest.mark.parametrize(
    "intermediate",
    [
        pki.certificate(pki.name("No constraints"), pki.key("rsa2048-b"), issuer=ROOT),
        pki.certificate(
            pki.name("No constraints"),
            pki.key("rsa2048-b"),
            issuer=ROOT,
            key_usage=pki.usage("key_cert_sign"),
        ),
        pki.certificate(pki.name("Not a CA"), pki.key("rsa2048-b"), issuer=ROOT, ca=False),
        pki.certificate(
            pki.name("No certificates"),
            pki.key("rsa2048-b"),
            issuer=ROOT,
            ca=True,
            key_usage=pki.usage("digital_signature", "crl_sign"),
        ),
        odd.version1(pki.intermediate(ROOT), ROOT),
    ],
    ids=["none", "only key usage", "false", "without keyCertSign", "version 1"],
)
def test_only_a_ca_certificate_stands_between_an_anchor_and_others(
    intermediate: pki.Identity,
) -> None:
    below = pki.ra(intermediate)
    found = authenticated(ROOT, below, intermediate, ROOT, ra_certificates=[ROOT.certificate])
    assert found.certificates == certificates(ROOT)
    with pytest.raises(TrustError):
        verify_issued(
            pki.device(intermediate).certificate, found, NOW, extra=certificates(intermediate)
        )


def test_a_version_1_root_is_an_anchor_when_it_is_vouched_for() -> None:
    root = odd.version1(ROOT)
    found = authenticated(root, ISSUING, root)
    assert found.certificates == certificates(ISSUING, root)


def test_a_self_signed_anchor_whose_key_usage_forbids_it_issues_nothing() -> None:
    lonely = pki.self_signed()
    assert not authenticated(lonely, lonely).issues


def test_a_path_longer_than_an_anchor_allows_is_cut() -> None:
    root = pki.root(path_length=0)
    below = pki.intermediate(root)
    found = authenticated(root, pki.ra(below), below, root)
    assert found.certificates == certificates(root)
    assert "path length" in reasons(found)[below.certificate]


def test_a_path_longer_than_an_intermediate_allows_is_cut() -> None:
    upper = pki.intermediate(ROOT, common_name="Upper", path_length=0)
    lower = pki.intermediate(upper, "rsa2048-c", "Lower", path_length=None)
    found = authenticated(ROOT, lower, upper, ROOT)
    assert found.ca == upper.certificate
    with pytest.raises(TrustError, match="was not issued by the CA"):
        verify_issued(pki.device(lower).certificate, found, NOW, extra=certificates(lower))


def test_a_path_length_counts_down_from_the_top() -> None:
    root = pki.root(path_length=1)
    upper = pki.intermediate(root, common_name="Upper", path_length=None)
    lower = pki.intermediate(upper, "rsa2048-c", "Lower", path_length=None)
    assert authenticated(root, lower, upper, root).ca == upper.certificate


def test_self_issued_certificates_do_not_count_for_a_path_length() -> None:
    root = pki.root(path_length=1)
    rolled = pki.certificate(root.name, pki.key("rsa3072"), issuer=root, ca=True, path_length=1)
    issuing = pki.intermediate(rolled)
    found = authenticated(root, issuing, rolled, root)
    assert found.ca == issuing.certificate
    assert found.chain_for(issuing.certificate) == certificates(rolled, root)


def test_of_two_ways_to_a_ca_the_one_that_allows_more_below_is_taken() -> None:
    narrow = pki.intermediate(ROOT, common_name="Twice", path_length=0)
    wide = pki.intermediate(ROOT, common_name="Twice", path_length=1)
    lower = pki.intermediate(wide, "rsa2048-c", "Lower")
    for offered in ((narrow, wide, lower), (lower, wide, narrow)):
        found = authenticated(ROOT, *offered)
        assert found.chain_for(lower.certificate) == certificates(wide, ROOT)
        assert found.ca == lower.certificate


def test_cross_signed_loops_end() -> None:
    other = pki.root("rsa2048-b", "Other Root")
    down = pki.certificate(other.name, other.key, issuer=ROOT, ca=True)
    back = pki.certificate(ROOT.name, ROOT.key, issuer=other, ca=True)
    agent = pki.ra(other)
    found = authenticated(ROOT, agent, back, down, other, ROOT)
    assert found.recipient == agent.certificate
    assert found.chain_for(agent.certificate)[-1] == ROOT.certificate
    assert set(found.authorities) == set(certificates(down, back, other, ROOT))
    # Without an RA, the CA is the one that is not above itself.
    assert authenticated(ROOT, back, down, ROOT).ca == down.certificate


def test_a_renewed_root_does_not_take_the_place_of_the_issuing_ca() -> None:
    renewed = pki.root(not_before=NOW - DAY)
    for offered in ((renewed, ISSUING, ROOT), (ROOT, ISSUING, renewed)):
        found = authenticated(ROOT, *offered)
        assert found.ca == found.recipient == ISSUING.certificate


def test_a_renewed_root_with_the_pinned_key_is_the_ca_when_it_alone_is_offered() -> None:
    renewed = pki.root(not_before=NOW - DAY)
    assert authenticated(ROOT, renewed).recipient == renewed.certificate


def test_a_hundred_impostors_with_one_name_are_found_out_quickly() -> None:
    names = pki.intermediate(ROGUE)
    many = [odd.with_serial(names, index) for index in range(1, MAX_CERTIFICATES - 1)]
    started = time.process_time()
    found = authenticated(ROOT, *many, ROOT)
    assert time.process_time() - started < 2
    assert found.certificates == certificates(ROOT)


def test_a_hundred_real_cas_with_one_name_end() -> None:
    # Every one of them may have issued every other: 10 000 pairs at most, no paths to explore.
    one = pki.certificate(ROOT.name, ROOT.key, issuer=ROOT, ca=True)
    many = [odd.with_serial(one, index, ROOT) for index in range(1, MAX_CERTIFICATES - 1)]
    started = time.process_time()
    found = authenticated(ROOT, *many, ROOT)
    assert time.process_time() - started < 10
    assert len(found.certificates) == MAX_CERTIFICATES - 1


# --------------------------------------------------------------------------------------- dates


def test_an_expired_intermediate_is_refused_and_the_clock_is_shown() -> None:
    late = pki.intermediate(ROOT, not_after=NOW - DAY)
    with pytest.raises(TrustError, match="has expired") as caught:
        authenticated(ROOT, late, ROOT)
    assert "valid from 2025-12-03 00:00 UTC to 2026-05-31 00:00 UTC" in str(caught.value)
    assert "this machine's clock says 2026-06-01 00:00 UTC" in str(caught.value)
    assert "clock" in caught.value.hint
    assert fingerprint(late.certificate) in caught.value.fingerprints


def test_an_intermediate_that_is_not_valid_yet_is_refused() -> None:
    early = pki.intermediate(ROOT, not_before=NOW + DAY)
    with pytest.raises(TrustError, match="is not valid yet"):
        authenticated(ROOT, early, ROOT)


def test_an_ra_below_an_expired_intermediate_is_refused() -> None:
    late = pki.intermediate(ROOT, not_after=NOW - DAY)
    with pytest.raises(TrustError, match="CN=Test Issuing CA,O=Acme has expired"):
        authenticated(ROOT, pki.ra(late), late, ROOT)


def test_an_expired_ra_is_refused_and_not_replaced_by_the_ca() -> None:
    late = pki.ra(ISSUING, not_after=NOW - DAY)
    with pytest.raises(TrustError, match="CN=Test RA,O=Acme has expired"):
        authenticated(ROOT, late, ISSUING, ROOT)


def test_an_expired_ra_beside_its_successor_is_ignored() -> None:
    late = pki.ra(ISSUING, not_after=NOW - DAY)
    for offered in ((late, AGENT), (AGENT, late)):
        found = authenticated(ROOT, *offered, ISSUING, ROOT)
        assert found.recipient == AGENT.certificate
        assert late.certificate not in found.signers
        assert "has expired" in reasons(found)[late.certificate]


def test_an_expired_encryption_ra_is_not_replaced_by_the_signing_one() -> None:
    signing = pki.ra(ISSUING, use="sign")
    late = pki.ra(ISSUING, "rsa3072", use="encrypt", not_after=NOW - DAY)
    with pytest.raises(TrustError, match="has expired"):
        authenticated(ROOT, signing, late, ISSUING)


def test_an_expired_intermediate_beside_its_successor_is_ignored() -> None:
    late = pki.intermediate(ROOT, not_after=NOW - DAY)
    for offered in ((late, ISSUING), (ISSUING, late)):
        found = authenticated(ROOT, *offered, AGENT, ROOT)
        assert found.certificates == certificates(AGENT, ISSUING, ROOT)
        assert "has expired" in reasons(found)[late.certificate]
        assert found.chain_for(AGENT.certificate) == certificates(ISSUING, ROOT)


def test_an_expired_certificate_that_nobody_needs_is_ignored() -> None:
    late = pki.intermediate(ROOT, "rsa3072", "Old Department", not_after=NOW - DAY)
    below = pki.device(late)
    agent = pki.ra(ROOT)
    found = authenticated(ROOT, below, late, agent, ROOT)
    assert found.certificates == certificates(agent, ROOT)
    assert "has expired" in reasons(found)[late.certificate]


@pytest.mark.parametrize("now", [NOW - 400 * DAY, NOW + 5000 * DAY])
def test_an_anchor_that_is_out_of_date_is_refused(now: datetime) -> None:
    with pytest.raises(TrustError, match="this machine's clock says"):
        authenticated(ROOT, ROOT, now=now)


def test_an_expired_root_is_no_anchor_even_when_it_is_not_offered() -> None:
    old = pki.root(not_after=NOW - DAY)
    with pytest.raises(TrustError, match="CN=Test Root CA,O=Acme has expired"):
        authenticated(old, AGENT, ISSUING)


def test_a_certificate_is_valid_on_its_first_and_on_its_last_second() -> None:
    validity = Facts(ROOT.certificate).validity
    assert validity is not None
    for now in validity:
        assert authenticated(ROOT, ROOT, now=now).recipient == ROOT.certificate


# ------------------------------------------------------------- digests, keys, and what is unread


def test_sha1_certificates_below_an_anchor_are_accepted() -> None:
    issuing = odd.with_sha1(ISSUING, ROOT)
    agent = odd.with_sha1(AGENT, issuing)
    found = authenticated(ROOT, agent, issuing)
    assert found.certificates == certificates(agent, issuing, ROOT)


def test_a_sha1_signature_by_another_key_is_refused() -> None:
    forged = odd.with_sha1(ISSUING, ROGUE)
    found = authenticated(ROOT, forged, ROOT)
    assert "not signed with the key" in reasons(found)[forged.certificate]


def test_a_sha1_signature_of_another_kind_than_the_key_is_refused() -> None:
    ec_root = pki.root("ec256-a")
    forged = odd.with_sha1(pki.intermediate(ec_root), ROGUE)
    assert authenticated(ec_root, forged, ec_root).certificates == certificates(ec_root)


def test_an_ecdsa_sha1_signature_is_accepted() -> None:
    ec_root = pki.root("ec256-a")
    issuing = odd.with_ecdsa_sha1(pki.intermediate(ec_root), ec_root)
    assert authenticated(ec_root, issuing).ca == issuing.certificate


def test_an_md5_certificate_below_an_anchor_is_refused() -> None:
    weak = odd.with_md5(ISSUING, ROOT)
    found = authenticated(ROOT, weak, ROOT)
    assert found.certificates == certificates(ROOT)
    assert "MD5" in reasons(found)[weak.certificate]
    with pytest.raises(TrustError, match="MD5"):
        verify_issued(odd.with_md5(pki.device(ROOT), ROOT).certificate, found, NOW)


def test_an_anchor_signed_with_md5_is_accepted_since_its_own_signature_proves_nothing() -> None:
    weak = odd.with_md5(ROOT)
    assert authenticated(weak, ISSUING, weak).certificates == certificates(ISSUING, weak)


def test_an_unknown_signature_algorithm_harms_nobody_else() -> None:
    strange = odd.with_algorithm(ISSUING, bytes.fromhex("06032a0304"), ROOT)
    found = authenticated(ROOT, strange, AGENT, ISSUING)
    assert found.certificates == certificates(AGENT, ISSUING, ROOT)
    assert "cannot be checked" in reasons(found)[strange.certificate]


def _rsa_spki(bits: int) -> bytes:
    return odd.spki(rsa.RSAPublicNumbers(65537, (1 << bits) - 159).public_key())


@pytest.mark.parametrize("bits", [512, 1016, 8200, 16384, 20000])
def test_rsa_keys_too_small_or_too_big_are_not_used(bits: int) -> None:
    strange = odd.with_part(ISSUING, odd.SPKI, _rsa_spki(bits), ROOT)
    found = authenticated(ROOT, strange, AGENT, ISSUING)
    assert found.certificates == certificates(AGENT, ISSUING, ROOT)
    assert f"{bits} bits" in reasons(found)[strange.certificate]
    itself = odd.with_part(ROOT, odd.SPKI, _rsa_spki(bits))
    with pytest.raises(TrustError, match=f"cannot be an anchor: its RSA key has {bits} bits"):
        authenticated(itself, itself)


def test_rsa_keys_of_8192_bits_are_used() -> None:
    strange = odd.with_part(AGENT, odd.SPKI, _rsa_spki(8192), ISSUING)
    assert authenticated(ROOT, strange, ISSUING).recipient == strange.certificate


@pytest.mark.parametrize(
    "spki",
    [odd.UNKNOWN_KEY, odd.spki(x25519.X25519PrivateKey.generate().public_key())],
    ids=["unknown kind", "X25519"],
)
def test_keys_that_cannot_sign_harm_nobody_else(spki: bytes) -> None:
    strange = odd.with_part(ISSUING, odd.SPKI, spki, ROOT)
    stranger = odd.with_part(ROGUE, odd.SPKI, spki)
    agent = pki.ra(ISSUING)
    found = authenticated(ROOT, strange, stranger, agent, ISSUING, ROOT)
    assert found.recipient == agent.certificate
    assert verify_issued(pki.device(ISSUING).certificate, found, NOW).chain[0] == (
        ISSUING.certificate
    )
    with pytest.raises(ScepError):
        verify_issued(pki.device(strange).certificate, authenticated(ROOT, strange, ROOT), NOW)


UNREADABLE_EXTENSION = odd.element(0x30, bytes.fromhex("0603551d11"), b"\x04\x01\x00")
CRITICAL_UNKNOWN = odd.element(0x30, bytes.fromhex("06032a0304"), b"\x01\x01\xff", b"\x04\x00")
CRITICAL_KNOWN = odd.element(
    0x30, bytes.fromhex("0603551d12"), b"\x01\x01\xff", b"\x04\x05\x30\x03\x82\x01a"
)


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (UNREADABLE_EXTENSION, "cannot be read"),
        (CRITICAL_UNKNOWN, r"critical extension that is not understood here (1.2.3.4)"),
        (odd.children(odd.extensions(ISSUING))[0], "cannot be read"),
    ],
    ids=["malformed", "unknown and critical", "twice"],
)
def test_a_certificate_with_a_bad_extension_is_ignored(extension: bytes, reason: str) -> None:
    strange = odd.with_extension(ISSUING, extension, ROOT)
    found = authenticated(ROOT, strange, AGENT, ISSUING)
    assert found.certificates == certificates(AGENT, ISSUING, ROOT)
    assert reason in reasons(found)[strange.certificate]


def test_a_critical_extension_that_speaks_of_names_is_accepted() -> None:
    issuing = odd.with_extension(ISSUING, CRITICAL_KNOWN, ROOT)
    assert authenticated(ROOT, issuing, ROOT).ca == issuing.certificate


def test_a_validity_in_the_year_zero_is_unreadable() -> None:
    times = odd.element(0x18, b"00000101000000Z") + odd.element(0x18, b"20500101000000Z")
    strange = odd.with_part(ISSUING, odd.VALIDITY, odd.element(0x30, times), ROOT)
    found = authenticated(ROOT, strange, AGENT, ISSUING)
    assert "cannot be read" in reasons(found)[strange.certificate]
    assert Facts(strange.certificate).shown_validity == "(dates that cannot be read)"
    leaf = odd.with_part(pki.device(ISSUING), odd.VALIDITY, odd.element(0x30, times), ISSUING)
    (warning,) = verify_issued(leaf.certificate, found, NOW).warnings
    assert "cannot be read" in warning


def test_a_name_that_cannot_be_read_is_shown_as_such() -> None:
    name = odd.element(0x30, odd.element(0x31, bytes.fromhex("300806035504030c01ff")))
    strange = odd.with_part(ISSUING, odd.SUBJECT, name, ROOT)
    assert "(a name that cannot be read)" in str(offer(strange).refusal("no"))
    assert authenticated(ROOT, strange, AGENT, ISSUING).recipient == AGENT.certificate


def test_a_certificate_without_a_name_is_shown_as_such() -> None:
    strange = odd.with_part(ISSUING, odd.SUBJECT, b"\x30\x00", ROOT)
    assert "(no name)" in str(offer(strange).refusal("no"))


# ------------------------------------------------------------------------- what the CA issued


def test_a_device_of_the_issuing_ca_is_verified_up_to_the_anchor() -> None:
    found = authenticated(ROOT, AGENT, ISSUING, ROOT)
    device = pki.device(ISSUING).certificate
    checked = verify_issued(device, found, NOW)
    assert checked.chain == certificates(ISSUING, ROOT)
    assert checked.warnings == ()
    assert found.chain_for(device) == certificates(ISSUING, ROOT)


def test_a_chain_has_neither_siblings_nor_the_certificate_itself() -> None:
    device, sibling = pki.device(ISSUING), pki.device(ISSUING, "device2", "rsa3072")
    found = authenticated(ROOT, AGENT, ISSUING, ROOT)
    extra = certificates(sibling, device, AGENT, ROOT, ISSUING)
    assert verify_issued(device.certificate, found, NOW, extra=extra).chain == certificates(
        ISSUING, ROOT
    )


def test_an_intermediate_handed_out_beside_completes_the_chain() -> None:
    found = authenticated(ROOT, ROOT)
    device = pki.device(ISSUING).certificate
    checked = verify_issued(device, found, NOW, extra=[device, ISSUING.certificate])
    assert checked.chain == certificates(ISSUING, ROOT)
    assert found.chain_for(device, [ISSUING.certificate]) == certificates(ISSUING, ROOT)
    with pytest.raises(TrustError, match="no authenticated CA certificate has the name"):
        verify_issued(device, found, NOW)


def test_a_device_of_a_rogue_ca_is_refused_even_when_that_ca_comes_beside() -> None:
    found = authenticated(ROOT, ROOT)
    device = pki.device(ROGUE).certificate
    for extra in ((), certificates(ROGUE)):
        with pytest.raises(TrustError, match="not signed with the key") as caught:
            verify_issued(device, found, NOW, extra=extra)
        assert caught.value.fingerprints == (fingerprint(device),)


def test_a_self_signed_certificate_is_not_an_issued_one() -> None:
    found = authenticated(ROOT, ROOT)
    with pytest.raises(TrustError):
        verify_issued(pki.self_signed().certificate, found, NOW)


def test_a_device_signed_by_the_ra_is_refused() -> None:
    found = authenticated(ROOT, AGENT, ISSUING, ROOT)
    with pytest.raises(TrustError):
        verify_issued(pki.device(AGENT, key_name="rsa3072").certificate, found, NOW)


def test_a_device_below_another_device_is_refused() -> None:
    found = authenticated(ROOT, ROOT)
    device = pki.device(ROOT)
    below = pki.device(device, "below", "rsa3072").certificate
    with pytest.raises(TrustError):
        verify_issued(below, found, NOW, extra=certificates(device))


@pytest.mark.parametrize(
    ("now", "state"), [(NOW - 11 * DAY, "not valid yet"), (NOW + 81 * DAY, "has expired")]
)
def test_an_issued_certificate_that_is_out_of_date_only_yields_a_warning(
    now: datetime, state: str
) -> None:
    found = authenticated(ROOT, ISSUING, ROOT)
    (warning,) = verify_issued(pki.device(ISSUING).certificate, found, now).warnings
    assert state in warning
    assert "this machine's clock says" in warning


def test_an_issuer_that_is_out_of_date_is_an_error() -> None:
    found = authenticated(ROOT, ISSUING, ROOT)
    later = NOW + 2000 * DAY
    with pytest.raises(TrustError, match="CN=Test Issuing CA,O=Acme has expired") as caught:
        verify_issued(pki.device(ISSUING).certificate, found, later)
    assert "clock" in caught.value.hint


def test_an_issuer_that_is_out_of_date_gives_way_to_its_successor() -> None:
    late = pki.intermediate(ROOT, not_after=NOW - DAY)
    found = authenticated(ROOT, ROOT)
    device = pki.device(ISSUING).certificate
    for extra in (certificates(late, ISSUING), certificates(ISSUING, late)):
        assert verify_issued(device, found, NOW, extra=extra).chain == certificates(ISSUING, ROOT)
    with pytest.raises(TrustError, match="has expired"):
        verify_issued(device, found, NOW, extra=certificates(late))


def test_a_ca_certificate_that_was_issued_is_warned_of() -> None:
    found = authenticated(ROOT, ROOT)
    (warning,) = verify_issued(ISSUING.certificate, found, NOW).warnings
    assert "is itself the certificate of a CA" in warning


def test_a_ca_certificate_that_no_path_allows_is_refused() -> None:
    found = authenticated(ROOT, ISSUING, ROOT)
    below = pki.intermediate(ISSUING, "rsa2048-c", "Below").certificate
    with pytest.raises(TrustError, match="path length"):
        verify_issued(below, found, NOW)


def test_an_issued_certificate_with_a_malformed_extension_is_still_verified() -> None:
    found = authenticated(ROOT, ISSUING, ROOT)
    leaf = odd.with_extension(pki.device(ISSUING), UNREADABLE_EXTENSION, ISSUING).certificate
    assert verify_issued(leaf, found, NOW).chain == certificates(ISSUING, ROOT)


def test_certificates_in_thousands_beside_an_issued_one_are_refused() -> None:
    found = authenticated(ROOT, ROOT)
    extra = certificates(ROOT) * (MAX_CERTIFICATES + 1)
    with pytest.raises(TrustError, match="expected at most"):
        verify_issued(pki.device(ROOT).certificate, found, NOW, extra=extra)


def test_nothing_is_above_the_anchor() -> None:
    found = authenticated(ISSUING, AGENT, ISSUING, ROOT)
    assert found.chain_for(ISSUING.certificate) == ()
    with pytest.raises(TrustError):
        found.chain_for(pki.device(ROOT).certificate, [ROOT.certificate])


# ------------------------------------------------------------------------------------ mutations

REAL = (AGENT, ISSUING, ROOT)


@mutations.examples(400)
@given(der=mutations.of_any([one.der for one in REAL]))
def test_an_altered_certificate_is_ignored_or_refused_and_never_trusted(der: bytes) -> None:
    try:
        altered = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning):
        return
    if altered in certificates(*REAL):
        return
    offered = (*certificates(*REAL), altered)
    try:
        found = authenticate(CaOffer("http://ca.test", None, offered), ROOT.certificate, NOW)
        assert altered not in found.certificates
        assert found.certificates == certificates(*REAL)
        verify_issued(altered, found, NOW, extra=offered)
    except ScepError:
        return
    pytest.fail("an altered certificate was verified")


@mutations.examples(200)
@given(der=mutations.of(ROOT.der))
def test_an_altered_anchor_gives_a_result_or_a_scepkit_error(der: bytes) -> None:
    try:
        altered = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning):
        return
    found = CaOffer("http://ca.test", None, (*certificates(*REAL), altered))
    assert found.ca in found.certificates
    try:
        trusted = authenticate(found, altered, NOW)
        verify_issued(pki.device(ISSUING).certificate, trusted, NOW)
    except ScepError:
        return


# ------------------------------------------------------------------------ other CAs vouched for

NEXT = pki.root("rsa2048-c")


def rolled_over(*others: x509.Certificate) -> CaCertificates:
    return authenticated(NEXT, NEXT, others=others)


def test_what_another_pinned_ca_has_issued_counts() -> None:
    device = pki.ra(ROOT).certificate
    found = verify_issued(device, rolled_over(NEXT.certificate, ROOT.certificate), NOW)
    assert found.chain == (ROOT.certificate,)
    with pytest.raises(TrustError, match="was not issued by the CA that is trusted here") as caught:
        verify_issued(device, rolled_over(), NOW)
    assert "Client.refresh()" in caught.value.hint


def test_what_stands_below_another_pinned_ca_counts() -> None:
    ca = rolled_over(ROOT.certificate)
    found = verify_issued(AGENT.certificate, ca, NOW, extra=[ISSUING.certificate])
    assert found.chain == (ISSUING.certificate, ROOT.certificate)


def test_another_pinned_ca_plays_no_part_in_a_conversation() -> None:
    ca = rolled_over(ROOT.certificate)
    assert ca.certificates == ca.signers == ca.rollover_signers == certificates(NEXT)
    assert ca.recipient == ca.ca == NEXT.certificate
    assert ca.crl_authorities == certificates(NEXT, ROOT)


@pytest.mark.parametrize(
    "other",
    [
        AGENT,
        pki.root(not_after=NOW - DAY),
        odd.with_part(ROOT, odd.SPKI, odd.spki(AGENT.key.public_key())),
    ],
    ids=["an RA", "expired", "another key"],
)
def test_another_pinned_certificate_that_is_no_fit_ca_issues_nothing(other: pki.Identity) -> None:
    with pytest.raises(TrustError):
        verify_issued(pki.ra(ROOT).certificate, rolled_over(other.certificate), NOW)
