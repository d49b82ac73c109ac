"""What single foreign clients do, and what they do instead of what they cannot."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scepkit import Client, Fingerprint, PinnedCertificate
from scepkit.errors import TrustError
from tests.interop.authority import Authority, Mode
from tests.interop.clients import Certmonger, Endpoint, Enrolled, Refused, ScepClient, StrongSwan

pytestmark = pytest.mark.interop

#: Exit code of certmonger's helper: the CA has not decided.
WAIT = 1


@pytest.fixture
def ca(authorities: Mapping[Mode, Authority]) -> Authority:
    """A CA whose own key answers."""
    return authorities["ca"]


def without_ra(endpoint: Endpoint) -> Endpoint:
    """What is left to a user who was told nothing of the RA."""
    return Endpoint(endpoint.url, endpoint.ca_file, None)


# ------------------------------------------------------------------ scepclient


def test_scepclient_panics_at_an_ec_ca_unless_it_is_told_the_fingerprint_of_the_ra(
    authorities: Mapping[Mode, Authority],
) -> None:
    authority = authorities["ec"]
    device = authority.device(authority.challenge())
    result = ScepClient().enrol(without_ra(authority.endpoint()), device)
    assert isinstance(result, Refused), result
    assert "panic: interface conversion" in result.said
    assert "*ecdsa.PublicKey, not *rsa.PublicKey" in result.said


def test_scepclient_encrypts_for_ca_and_ra_at_once(
    authorities: Mapping[Mode, Authority],
) -> None:
    authority = authorities["ra"]
    device = authority.device(authority.challenge())
    result = ScepClient().enrol(without_ra(authority.endpoint()), device)
    assert isinstance(result, Enrolled), result


@pytest.mark.parametrize("mode", ["ra", "ec"])
def test_scepclient_needs_to_be_told_nothing_where_the_ra_is_sent_alone(
    authorities: Mapping[Mode, Authority], mode: Mode
) -> None:
    authority = authorities[mode]
    device = authority.device(authority.challenge("alone"))
    endpoint = without_ra(authority.endpoint("alone"))
    assert isinstance(ScepClient().enrol(endpoint, device), Enrolled)
    authority.verify(device)
    assert isinstance(ScepClient().renew(endpoint, device), Enrolled)
    authority.verify(device)


def test_an_ra_that_is_sent_alone_counts_for_who_has_the_ca_and_not_for_its_fingerprint(
    authorities: Mapping[Mode, Authority],
) -> None:
    authority = authorities["ec"]
    endpoint = authority.endpoint("alone")
    ca = x509.load_pem_x509_certificate(endpoint.ca_file.read_bytes())
    with Client(endpoint.url, trust=PinnedCertificate(ca)) as client:
        assert client.get_ca_certificates().ca == ca
    fingerprint = Fingerprint(f"sha256:{ca.fingerprint(hashes.SHA256()).hex()}")
    with Client(endpoint.url, trust=fingerprint) as client, pytest.raises(TrustError):
        client.get_ca_certificates()


def test_scepclient_says_why_a_profile_that_reads_no_single_des_refuses_it(ca: Authority) -> None:
    device = ca.device(ca.challenge("modern"))
    result = ScepClient().enrol(ca.endpoint("modern"), device)
    assert isinstance(result, Refused), result
    assert "PKCSReq (19) request failed, failInfo: badAlg (0)" in result.said


# ------------------------------------------------------------------ strongSwan


def test_strongswan_fetches_the_certificates_of_ca_and_ra(authority: Authority) -> None:
    endpoint = authority.endpoint()
    folder = authority.device().folder
    StrongSwan().ca_certificates(endpoint, folder)
    assert (folder / "ca.pem").read_bytes() == endpoint.ca_file.read_bytes()
    if endpoint.ra_file is None:
        assert not (folder / "ra.pem").exists()
    else:
        assert (folder / "ra.pem").read_bytes() == endpoint.ra_file.read_bytes()


def test_strongswan_renews_with_pkcsreq_where_its_settings_say_so(ca: Authority) -> None:
    client = StrongSwan(renewal_via_pkcs_req=True)
    device = ca.device(ca.challenge())
    assert isinstance(client.enrol(ca.endpoint(), device), Enrolled)
    assert isinstance(client.renew(ca.endpoint(), device), Enrolled)
    (asked,) = ca.log_of(device)
    assert (asked["messageType"], asked["by"]) == ("PKCSReq", "renewal")


# ------------------------------------------------------------------ certmonger


def test_certmonger_renews_by_itself_with_the_same_key(authority: Authority) -> None:
    device = authority.device(authority.challenge())
    client = Certmonger()
    first = client.enrol(authority.endpoint(), device)
    assert isinstance(first, Enrolled), first
    second = client.resubmit(device)
    assert isinstance(second, Enrolled), second
    assert first.certificate.serial_number != second.certificate.serial_number
    assert first.certificate.public_key() == second.certificate.public_key()
    (asked,) = authority.log_of(device)
    assert (asked["messageType"], asked["by"]) == ("PKCSReq", "renewal")


def test_the_helper_of_certmonger_polls(authority: Authority) -> None:
    device = authority.device()
    endpoint = authority.endpoint("reviewed")
    client = Certmonger()
    client.ask(endpoint, device)
    waits = client.cert_poll(endpoint, device)
    assert waits.returncode == WAIT, waits.stdout
    authority.decide(device)
    issued = client.cert_poll(endpoint, device)
    assert issued.returncode == 0, issued.stdout
    assert "BEGIN PKCS7" in issued.stdout
    assert authority.certificates_of(device) == 1


def test_certmonger_needs_the_file_of_a_ca_that_answers_itself(ca: Authority) -> None:
    device = ca.device(ca.challenge())
    result = Certmonger(finds_ca=True).enrol(ca.endpoint(), device)
    assert isinstance(result, Refused), result
    assert "failed to verify signature on server response" in result.said
    # It just cannot read it.
    assert ca.certificates_of(device) == 1
