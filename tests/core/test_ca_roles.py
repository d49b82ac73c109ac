"""core.ca_roles: who may be an RA, who issues, and who is encrypted to."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.trust import CaOffer
from scepkit.errors import TrustError
from tests import odd_certificates as odd
from tests import pki
from tests.pki import CLIENT_AUTH, CMC_RA, NOW, REQUEST_AGENT, SERVER_AUTH

ROOT = pki.root()
#: A CA as Windows makes it: it signs certificates and lists, and decrypts nothing.
PLAIN = pki.root(key_usage=pki.usage("digital_signature", "key_cert_sign", "crl_sign"))
ANY_PURPOSE = x509.ObjectIdentifier("2.5.29.37.0")
OCSP_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")
EAP_OVER_LAN = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.14")


def authenticated(anchor: pki.Identity, *offered: pki.Identity, **options: Any) -> CaCertificates:
    offer = CaOffer("http://ca.test/scep", None, tuple(one.certificate for one in offered))
    return authenticate(offer, anchor.certificate, NOW, **options)


def reason(found: CaCertificates, identity: pki.Identity) -> str:
    (text,) = [one.reason for one in found.ignored if one.certificate == identity.certificate]
    return text


# ------------------------------------------------------------------------------- who is an RA


@pytest.mark.parametrize(
    "eku",
    [
        [],
        [REQUEST_AGENT],
        [CMC_RA],
        [ANY_PURPOSE],
        [SERVER_AUTH],
        [CLIENT_AUTH, REQUEST_AGENT],
        [CLIENT_AUTH, SERVER_AUTH, CMC_RA],
    ],
)
def test_an_end_entity_with_the_purpose_of_an_ra_is_one(eku: list[x509.ObjectIdentifier]) -> None:
    agent = pki.ra(ROOT, eku=eku)
    found = authenticated(ROOT, agent, ROOT)
    assert found.recipient == agent.certificate
    assert found.signers == (agent.certificate, ROOT.certificate)
    assert found.ca == ROOT.certificate


@pytest.mark.parametrize(
    "eku",
    [
        [CLIENT_AUTH],
        [CLIENT_AUTH, SERVER_AUTH],
        [OCSP_SIGNING],
        [EAP_OVER_LAN, CLIENT_AUTH],
        [x509.ObjectIdentifier("1.2.3.4")],
    ],
)
def test_a_device_certificate_that_an_attacker_adds_is_no_ra(
    eku: list[x509.ObjectIdentifier],
) -> None:
    device = pki.device(ROOT, eku=eku)
    for offered in ((device, ROOT), (ROOT, device)):
        found = authenticated(ROOT, *offered)
        assert found.recipient == ROOT.certificate
        assert found.signers == found.rollover_signers == (ROOT.certificate,)
        assert "extended key usage" in reason(found, device)


def test_a_device_certificate_beside_the_real_ra_changes_nothing() -> None:
    agent, device = pki.ra(ROOT), pki.device(ROOT, key_name="rsa3072")
    found = authenticated(ROOT, device, agent, ROOT)
    assert found.recipient == agent.certificate
    assert device.certificate not in found.signers


def test_the_reason_names_the_purposes_of_a_device() -> None:
    device = pki.device(ROOT, eku=[CLIENT_AUTH, EAP_OVER_LAN])
    assert "(clientAuth, eapOverLAN)" in reason(authenticated(ROOT, device, ROOT), device)


def test_a_version_1_end_entity_is_no_ra() -> None:
    old = odd.version1(pki.device(ROOT), ROOT)
    assert "version 1" in reason(authenticated(ROOT, old, ROOT), old)


def test_an_end_entity_whose_key_usage_is_neither_bit_is_no_ra() -> None:
    signer = pki.certificate(
        pki.name("Notary"),
        pki.key("rsa2048-c"),
        issuer=ROOT,
        ca=False,
        key_usage=pki.usage("content_commitment"),
    )
    assert "neither digitalSignature" in reason(authenticated(ROOT, signer, ROOT), signer)


def test_an_ra_that_does_not_say_so_is_noted() -> None:
    quiet = pki.ra(ROOT, eku=[])
    found = authenticated(ROOT, quiet, ROOT)
    (note,) = found.notes
    assert "CN=Test RA,O=Acme counts as an RA's certificate" in note
    assert found.rollover_signers == (ROOT.certificate,)
    assert not authenticated(ROOT, pki.ra(ROOT), ROOT).notes


def test_without_a_recipient_the_refused_device_is_named_with_the_reason() -> None:
    device = pki.device(PLAIN)
    with pytest.raises(TrustError, match="there is no certificate to encrypt to") as caught:
        authenticated(PLAIN, device, PLAIN)
    assert "(clientAuth) is not an RA's" in str(caught.value)
    assert "ra_certificates" in caught.value.hint


def test_an_ec_ca_beside_a_refused_device_is_not_encrypted_to() -> None:
    ca = pki.root("ec256-a")
    with pytest.raises(TrustError, match="there is no certificate to encrypt to"):
        authenticated(ca, pki.device(ca), ca)


def test_a_refused_device_that_could_not_be_encrypted_to_changes_nothing() -> None:
    found = authenticated(PLAIN, pki.device(PLAIN, key_name="ec256-a"), PLAIN)
    assert found.recipient == PLAIN.certificate


# ------------------------------------------------------------------------------ RAs by name


def test_a_named_ra_is_one_whatever_its_purposes() -> None:
    agent = pki.ra(PLAIN, eku=[CLIENT_AUTH])
    found = authenticated(PLAIN, agent, PLAIN, ra_certificates=[agent.certificate])
    assert found.recipient == agent.certificate
    assert found.rollover_signers == (PLAIN.certificate, agent.certificate)
    assert not found.notes


def test_beside_named_ras_no_other_certificate_is_one() -> None:
    agent, quiet = pki.ra(ROOT), pki.device(ROOT, key_name="rsa3072", eku=[])
    found = authenticated(ROOT, quiet, agent, ROOT, ra_certificates=[agent.certificate])
    assert found.signers == (agent.certificate, ROOT.certificate)
    assert reason(found, quiet) == "it is not one of the RA certificates named"


def test_a_ca_that_is_said_to_have_no_ra_has_none() -> None:
    agent = pki.ra(ROOT)
    found = authenticated(ROOT, agent, ROOT, ra_certificates=())
    assert (found.ca, found.recipient) == (ROOT.certificate, ROOT.certificate)
    assert found.signers == found.rollover_signers == (ROOT.certificate,)
    assert reason(found, agent) == "this CA is said to have no RA"
    assert not found.notes


def test_an_ra_that_is_said_not_to_be_one_is_named_when_nobody_else_can_be_encrypted_to() -> None:
    root = pki.root("ec256-a")
    with pytest.raises(TrustError, match="said to have no RA"):
        authenticated(root, pki.ra(root), root, ra_certificates=())


def test_a_pinned_ra_stays_one_where_there_is_said_to_be_none() -> None:
    agent = pki.ra(ROOT)
    found = authenticated(agent, agent, ROOT, ra_certificates=())
    assert found.recipient == agent.certificate


def test_a_named_ra_may_have_any_issuer_and_issues_nothing() -> None:
    alone = pki.self_signed("RA", "rsa3072")
    below = pki.ra(alone)
    found = authenticated(ROOT, below, alone, ROOT, ra_certificates=[alone.certificate])
    assert found.recipient == alone.certificate
    assert found.ca == ROOT.certificate
    assert found.certificates == (alone.certificate, ROOT.certificate)
    assert found.authorities == (ROOT.certificate,)


def test_a_named_ra_makes_up_for_a_pinned_root_that_issued_nothing_offered() -> None:
    alone = pki.self_signed("RA", "rsa3072")
    found = authenticated(ROOT, alone, ra_certificates=[alone.certificate])
    assert (found.recipient, found.ca) == (alone.certificate, ROOT.certificate)


def test_named_ras_that_are_not_offered_are_an_error() -> None:
    agent = pki.ra(ROOT)
    with pytest.raises(TrustError, match="none of the RA certificates named"):
        authenticated(ROOT, ROOT, ra_certificates=[agent.certificate])


def test_an_out_of_date_named_ra_is_an_error() -> None:
    late = pki.ra(
        ROOT, not_after=NOW.replace(year=2025, month=12), not_before=NOW.replace(year=2025)
    )
    for anchor in (ROOT, pki.root("rsa3072", "Other")):
        with pytest.raises(TrustError, match="has expired"):
            authenticated(anchor, late, anchor, ra_certificates=[late.certificate])


def test_a_named_ra_that_cannot_be_read_is_an_error() -> None:
    broken = odd.with_part(pki.ra(ROOT), odd.SPKI, odd.UNKNOWN_KEY, ROOT)
    with pytest.raises(TrustError, match="cannot be an RA: it cannot be read"):
        authenticated(ROOT, broken, ROOT, ra_certificates=[broken.certificate])


def test_a_ca_of_the_set_can_be_named_to_be_encrypted_to() -> None:
    issuing = pki.intermediate(ROOT)
    lower = pki.intermediate(pki.intermediate(ROOT, path_length=None), "rsa2048-c", "Lower")
    found = authenticated(
        ROOT,
        lower,
        issuing,
        pki.intermediate(ROOT, path_length=None),
        ROOT,
        ra_certificates=[issuing.certificate],
    )
    assert found.recipient == found.ca == issuing.certificate


# -------------------------------------------------------------------- who is encrypted to (G7)


def test_of_split_ra_certificates_the_one_for_encryption_receives() -> None:
    signing = pki.ra(PLAIN, "rsa2048-b", "RA signing", use="sign")
    encryption = pki.ra(PLAIN, "rsa2048-c", "RA encryption", use="encrypt")
    for offered in ((signing, encryption, PLAIN), (PLAIN, encryption, signing)):
        found = authenticated(PLAIN, *offered)
        assert found.recipient == encryption.certificate
        assert set(found.signers) == {one.certificate for one in offered}
        assert found.ca == PLAIN.certificate
        assert not found.notes


def test_an_ra_for_signatures_only_receives_when_the_ca_is_no_better() -> None:
    signing = pki.ra(PLAIN, use="sign")
    found = authenticated(PLAIN, signing, PLAIN)
    assert found.recipient == signing.certificate
    assert "although its key usage is not for it" in found.notes[0]


def test_a_ca_for_encryption_receives_when_the_ra_only_signs() -> None:
    found = authenticated(ROOT, pki.ra(ROOT, use="sign"), ROOT)
    assert found.recipient == found.ca == ROOT.certificate


def test_a_ca_without_the_bit_receives_when_there_is_nobody_else() -> None:
    # step-ca's intermediate has keyCertSign and cRLSign only.
    issuing = pki.intermediate(ROOT, key_usage=pki.usage("key_cert_sign", "crl_sign"))
    found = authenticated(ROOT, issuing, ROOT)
    assert found.recipient == issuing.certificate
    assert len(found.notes) == 1


def test_that_the_challenge_alone_protects_requests_is_noted() -> None:
    alone = pki.root("ec256-a")
    (note,) = authenticated(alone, alone).notes
    assert "cannot be encrypted to, so the challenge alone protects requests" in note
    assert not authenticated(alone, pki.ra(alone), alone).notes


def test_named_ra_that_is_left_out_of_the_offer_is_missed() -> None:
    ca = pki.root("ec256-a")
    with pytest.raises(TrustError, match="none of the RA certificates named"):
        authenticated(ca, ca, ra_certificates=[pki.ra(ca).certificate])


def test_without_key_usage_everything_is_allowed() -> None:
    agent = pki.certificate(pki.name("RA"), pki.key("rsa2048-c"), issuer=PLAIN, ca=False)
    assert authenticated(PLAIN, agent, PLAIN).recipient == agent.certificate


def test_an_rsa_ra_receives_for_an_ec_ca() -> None:
    ca = pki.root("ec256-a")
    agent = pki.ra(ca)
    ec_agent = pki.device(ca, "EC RA", "ec256-b", eku=[REQUEST_AGENT])
    found = authenticated(ca, ec_agent, agent, ca)
    assert found.recipient == agent.certificate
    assert found.signers == (ec_agent.certificate, agent.certificate, ca.certificate)


def test_an_rsa_ca_receives_when_the_ra_is_an_ec_one() -> None:
    ec_agent = pki.device(ROOT, "EC RA", "ec256-b", eku=[REQUEST_AGENT])
    assert authenticated(ROOT, ec_agent, ROOT).recipient == ROOT.certificate


def test_an_ec_recipient_is_taken_when_there_is_no_rsa_key() -> None:
    ca = pki.root("ec256-a")
    assert authenticated(ca, ca).recipient == ca.certificate
    ec_agent = pki.device(ca, "EC RA", "ec256-b", eku=[REQUEST_AGENT])
    found = authenticated(ca, ec_agent, ca)
    assert found.recipient == ec_agent.certificate


def test_of_two_fit_ras_the_first_offered_receives() -> None:
    one, two = pki.ra(ROOT), pki.ra(ROOT, "rsa3072", "Other RA")
    assert authenticated(ROOT, one, two, ROOT).recipient == one.certificate
    assert authenticated(ROOT, two, one, ROOT).recipient == two.certificate


def test_the_issuer_of_the_ra_is_the_ca_that_issues() -> None:
    issuing = pki.intermediate(ROOT)
    other = pki.intermediate(ROOT, "rsa3072", "Other Department", path_length=None)
    below = pki.intermediate(other, "rsa4096", "Deeper")
    found = authenticated(ROOT, below, other, pki.ra(issuing), issuing, ROOT)
    assert found.ca == issuing.certificate
    assert found.rollover_signers[:2] == (issuing.certificate, ROOT.certificate)
    assert below.certificate not in found.rollover_signers
