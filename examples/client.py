"""Enrols, polls and renews over HTTP against the embedded test CA, and prints what it got.

Run it with any Python that has scepkit installed; it needs none of the extras.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes

import scepkit
from scepkit.testing import TestCa

CHALLENGE = "a secret between the CA and router1"


def main() -> None:
    """Play the whole life of a certificate."""
    # The CA wants a challenge, and two polls before it decides.
    ca = TestCa(subject="CN=Demo CA,O=Acme", challenge=CHALLENGE, pending_polls=2)
    with ca.serve() as url:
        print(f"a test CA answers at {url}")
        print(f"  its SHA-256 fingerprint is {ca.fingerprint}")
        # In real life the fingerprint comes from the CA's operator, not from the CA.
        trust = scepkit.Fingerprint(f"sha256:{ca.fingerprint}")
        with scepkit.Client(url, trust=trust) as client:
            show_ca(client)
            refused(client)
            renewed(client, enrolled(client))
        print(f"\nHTTP requests: {', '.join(f'{n} {name}' for name, n in ca.requests.items())}")


def show_ca(client: scepkit.Client) -> None:
    """Say what the CA is and what it can do."""
    certificates = client.get_ca_certificates()
    print(f"  it is {certificates.ca.subject.rfc4514_string()}")
    print(f"  it announces {', '.join(client.get_capabilities().to_words())}")


def refused(client: scepkit.Client) -> None:
    """Enrol with the wrong challenge."""
    print("\nenrol with a wrong challenge")
    key = scepkit.generate_key("rsa:2048")
    csr = scepkit.build_csr(key, "CN=router1,O=Acme", challenge="a guess")
    match client.enrol(csr, key):
        case scepkit.Rejected() as rejected:
            print(f"  rejected: {rejected.reason}")
        case other:
            raise SystemExit(f"the CA should have refused: {other}")


def enrolled(client: scepkit.Client) -> scepkit.Requester:
    """Enrol; the CA says PENDING, so poll.  The certificate and its key are a new identity."""
    print("\nenrol CN=router1,O=Acme with a new RSA key")
    key = scepkit.generate_key("rsa:2048")
    csr = scepkit.build_csr(
        key, "CN=router1,O=Acme", challenge=CHALLENGE, san=["dns:router1.acme.test"]
    )
    result = client.enrol(csr, key)
    if isinstance(result, scepkit.Pending):
        print(f"  pending, transactionID {result.transaction_id}")
        # It can be stored and polled by another process next week; there is no secret in it.
        stored = result.to_json()
        result = client.wait(
            scepkit.Pending.from_json(stored),
            key,
            scepkit.PollPolicy(interval=0.2, max_polls=10),
            on_wait=lambda seconds, poll: print(f"  poll {poll} in {seconds:.1f} s"),
        )
    return scepkit.Requester(issued(result).certificate, key)


def renewed(client: scepkit.Client, old: scepkit.Requester) -> None:
    """Renew with a new key; the old certificate vouches for it, so no challenge is needed."""
    print("\nrenew it with a new EC key")
    new_key = scepkit.generate_key("ec:p256")
    result = client.renew(old, new_key)
    if isinstance(result, scepkit.Pending):
        # Polls are signed as the request was: with the old key.
        result = client.wait(result, old.key, scepkit.PollPolicy(interval=0.2, max_polls=10))
    new = issued(result)
    print(f"  the old one had serial number {old.certificate.serial_number:x}")
    found, _ = client.get_certificate(new.certificate.serial_number, old)
    print(f"  GetCert finds the new one: {found == new.certificate}")


def issued(result: scepkit.EnrolmentResult) -> scepkit.Issued:
    """Print what was issued."""
    if not isinstance(result, scepkit.Issued):
        raise SystemExit(f"no certificate: {result}")
    certificate = result.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    print(f"  issued: {certificate.subject.rfc4514_string()}")
    print(f"    serial number {certificate.serial_number:x}")
    print(f"    names {', '.join(names.get_values_for_type(x509.DNSName))}")
    print(f"    key {type(certificate.public_key()).__name__}")
    print(f"    valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    print(f"    SHA-256 {certificate.fingerprint(hashes.SHA256()).hex()}")
    print(f"    chain {' <- '.join(one.subject.rfc4514_string() for one in result.chain)}")
    return result


if __name__ == "__main__":
    main()
