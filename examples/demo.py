"""A CA from its first minute: init, serve, challenge, enrol, approve, renew, revoke, CRL, GetCert.

The operator's side are the commands of scepkit, the device's side is its library.  Everything is
in a temporary folder.  Run it with scripts/demo, or with any Python that has scepkit[server].
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

import scepkit

#: Seconds for the server to start, and for what it does by itself.
PATIENCE = 30

#: A second kind of certificates, for which nothing but a person decides.
REVIEWED = """
[profile.reviewed]
"""


class Operator:
    """Who runs the CA: types commands, and shows what they answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, line: str) -> str:
        """Run ``scepkit`` with the words of a line; return what it prints."""
        print(f"\n$ scepkit {line}")
        words = [sys.executable, "-m", "scepkit", *shlex.split(line), "--quiet"]
        done = subprocess.run(  # noqa: S603 - our own program
            words,
            cwd=self.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"it failed: {done.stderr}")
        print("".join(f"  {text}\n" for text in done.stdout.splitlines()), end="")
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run the server meanwhile, on a free port; its URL."""
        print("\n$ scepkit serve --config ca/scepkit.toml --bind 127.0.0.1:0 &")
        words = [sys.executable, "-m", "scepkit", "serve", "--config", "ca/scepkit.toml"]
        log = self.directory / "serve.log"
        with log.open("w") as file:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*words, "--bind", "127.0.0.1:0"],
                cwd=self.directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stderr=file,
            )
        try:
            url = f"http://{wait_for(process, log)}/scep"
            print(f"  it answers at {url}")
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)
        print("\nthe server has stopped; it wrote a line for each request, such as")
        print(f"  {next(line for line in log.read_text().splitlines() if 'SUCCESS' in line)}")


def environment() -> dict[str, str]:
    """The environment, without settings of another scepkit."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCEPKIT_")}


def wait_for(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server listens, as soon as it does."""
    for _ in range(PATIENCE * 20):
        if match := re.search(r"serving address=(\S+)", log.read_text()):
            return match[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def main() -> None:
    """Play it all."""
    with tempfile.TemporaryDirectory(prefix="scepkit-demo-") as directory:
        operator = Operator(Path(directory))
        made = operator("init ca --subject 'CN=Demo CA,O=Acme'")
        fingerprint = re.search(r"^SHA-256 +(\S+)$", made, re.MULTILINE)
        if fingerprint is None:
            raise SystemExit("scepkit init showed no fingerprint")
        settings = operator.directory / "ca" / "scepkit.toml"
        # Certificates can be renewed at once here, instead of in the last half of their life.
        text = settings.read_text().replace("renewal = {}", 'renewal = { window = "365d" }')
        settings.write_text(text + REVIEWED)
        with operator.serving() as url:
            # In real life the fingerprint comes to the device from the operator.
            trust = scepkit.Fingerprint(f"sha256:{fingerprint[1]}")
            with (
                scepkit.Client(url, trust=trust) as client,
                scepkit.Client(f"{url}/reviewed", trust=trust) as reviewed,
            ):
                play(operator, client, reviewed)
            operator("audit verify --config ca/scepkit.toml")


def play(operator: Operator, client: scepkit.Client, reviewed: scepkit.Client) -> None:
    """What the devices and the operator do."""
    show_ca(client)
    config = "--config ca/scepkit.toml"
    secret = operator(f"challenge new {config} --subject CN=router1,O=Acme --san dns:r1.acme.test")
    refused(client, "a guess", "with a wrong challenge")
    router = enrolled(client, secret.strip())
    refused(client, secret.strip(), "with the same challenge again")
    approved(operator, reviewed)
    renewed = renew(client, router)
    look_up(client, renewed)
    operator(f"certs revoke {config} {serial(router.certificate)} --reason superseded")
    look_at_crl(client, renewed, serial(router.certificate))
    operator(f"certs list {config}")


def show_ca(client: scepkit.Client) -> None:
    """Say what the CA is and what it can do."""
    certificates = client.get_ca_certificates()
    print(f"  it is {certificates.ca.subject.rfc4514_string()}")
    print(f"  it announces {', '.join(client.get_capabilities().to_words())}")


def refused(client: scepkit.Client, challenge: str, how: str) -> None:
    """Enrol with a challenge that is no good."""
    print(f"\na device enrols as CN=router1,O=Acme {how}")
    key = scepkit.generate_key("rsa:2048")
    csr = scepkit.build_csr(key, "CN=router1,O=Acme", challenge=challenge)
    match client.enrol(csr, key):
        case scepkit.Rejected() as rejected:
            print(f"  rejected: {rejected.reason}")
        case other:
            raise SystemExit(f"the CA should have refused: {other}")


def enrolled(client: scepkit.Client, challenge: str) -> scepkit.Requester:
    """Enrol with a good challenge.  The certificate and its key are a new identity."""
    print("\nrouter1 enrols with the challenge and a new RSA key")
    key = scepkit.generate_key("rsa:2048")
    csr = scepkit.build_csr(key, "CN=router1,O=Acme", challenge=challenge, san=["dns:r1.acme.test"])
    return scepkit.Requester(issued(client.enrol(csr, key)).certificate, key)


def approved(operator: Operator, client: scepkit.Client) -> None:
    """Enrol where a person decides: the CA says PENDING, so poll."""
    print("\nrouter2 enrols without a challenge, at the profile that a person watches")
    key = scepkit.generate_key("rsa:2048")
    pending = client.enrol(scepkit.build_csr(key, "CN=router2,O=Acme"), key)
    if not isinstance(pending, scepkit.Pending):
        raise SystemExit(f"the CA should have waited: {pending}")
    print(f"  pending, transactionID {pending.transaction_id}")
    # It can be stored and polled by another process next week; there is no secret in it.
    stored = pending.to_json()
    listed = operator("requests list --config ca/scepkit.toml --state pending")
    number = listed.splitlines()[-1].split()[0]
    operator(f"requests approve --config ca/scepkit.toml {number} --reason 'seen it myself'")
    print("\nrouter2 polls")
    result = client.wait(
        scepkit.Pending.from_json(stored),
        key,
        scepkit.PollPolicy(interval=0.2, max_polls=50),
        on_wait=lambda seconds, poll: print(f"  poll {poll} in {seconds:.1f} s"),
    )
    issued(result)


def renew(client: scepkit.Client, old: scepkit.Requester) -> scepkit.Requester:
    """Renew with a new key; the old certificate vouches for it, so no challenge is needed."""
    print("\nrouter1 renews its certificate with a new key")
    key = scepkit.generate_key("rsa:2048")
    return scepkit.Requester(issued(client.renew(old, key)).certificate, key)


def look_up(client: scepkit.Client, requester: scepkit.Requester) -> None:
    """Ask for a certificate by its serial number."""
    number = requester.certificate.serial_number
    print(f"\nrouter1 asks for the certificate with the serial number {number:x} (GetCert)")
    found, _ = client.get_certificate(number, requester)
    print(f"  it is the one it has: {found == requester.certificate}")


def look_at_crl(client: scepkit.Client, requester: scepkit.Requester, revoked: str) -> None:
    """Ask for the CRL until it has the revoked certificate: the server makes it by itself."""
    print("\nrouter1 asks for the CRL (GetCRL)")
    for _ in range(PATIENCE * 5):
        crl = client.get_crl(requester.certificate.serial_number, requester)
        if crl.get_revoked_certificate_by_serial_number(int(revoked, 16)) is not None:
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            print(f"  number {number} has {revoked}")
            return
        time.sleep(0.2)
    raise SystemExit("the CRL does not have it")


def issued(result: scepkit.EnrolmentResult) -> scepkit.Issued:
    """Print what was issued."""
    if not isinstance(result, scepkit.Issued):
        raise SystemExit(f"no certificate: {result}")
    certificate = result.certificate
    print(f"  issued: {certificate.subject.rfc4514_string()}")
    print(f"    serial number {serial(certificate)}")
    print(f"    valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    print(f"    SHA-256 {certificate.fingerprint(hashes.SHA256()).hex()}")
    print(f"    chain {' <- '.join(one.subject.rfc4514_string() for one in result.chain)}")
    return result


def serial(certificate: x509.Certificate) -> str:
    """A serial number as scepkit shows it."""
    return f"{certificate.serial_number:x}"


if __name__ == "__main__":
    main()
