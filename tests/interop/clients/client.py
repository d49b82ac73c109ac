"""What a SCEP client is to the tests: it enrols, renews and polls at an endpoint.

A `ForeignClient` runs a program that is not ours (or ours, as a process) the way its users do.
What it can do is data (`Abilities`), so that a test asserts what a client does where it cannot do
what is asked.  What it says ends as an `Outcome`: clients never raise for what a server decides.

To add one: a frozen dataclass with the attributes and methods of `ForeignClient`, and a line in
``tests/interop/clients/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.messages import MessageType

Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client enrols, and what its user was told of the CA.

    Attributes:
        url: of the profile.
        ca_file: the CA's certificate (PEM).
        ra_file: the RA's certificate (PEM), where an RA answers in the CA's place.
    """

    url: str
    ca_file: Path
    ra_file: Path | None

    @property
    def recipient_file(self) -> Path:
        """The certificate that requests are encrypted for and that replies are signed with."""
        return self.ra_file or self.ca_file


@dataclass(frozen=True, slots=True)
class Device:
    """Whoever wants a certificate: a folder with a key, and later with the certificate.

    Attributes:
        folder: empty but for what is named here; a client keeps its state in it.
        name: the common name.
        challenge: the challengePassword, or "".
    """

    folder: Path
    name: str
    challenge: str = ""

    @property
    def key_file(self) -> Path:
        """An RSA-2048 key in PEM, in the form of PKCS #1: scepclient reads no other."""
        return self.folder / "key.pem"

    @property
    def certificate_file(self) -> Path:
        """Where the certificate goes (PEM)."""
        return self.folder / "cert.pem"

    def certificate(self) -> x509.Certificate:
        """The certificate that it has."""
        return x509.load_pem_x509_certificate(self.certificate_file.read_bytes())


def make_key(path: Path) -> None:
    """Write a new RSA-2048 key in PEM, in the form of PKCS #1.

    Clients derive transactionIDs from keys, so devices cannot share the keys of ``tests.pki``.
    """
    form = PrivateFormat.TraditionalOpenSSL
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


@dataclass(frozen=True, slots=True)
class Options:
    """What a client is told about its messages; None leaves it to the client."""

    cipher: Cipher | None = None
    digest: Digest | None = None


#: The client's own choice.
ITS_OWN = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a client does, as the tests found it.

    Attributes:
        ciphers: that it can be told to encrypt with; the first is its own choice.
        digests: that it can be told to sign with; the first is its own choice.
        announced: how it sends PKIOperation when POST is announced.
        unannounced: how when it is not.
        renews_with: the messageType of a renewal; None: it cannot renew.
        polls_with: the messageType that it asks again with.
    """

    ciphers: tuple[Cipher, ...]
    digests: tuple[Digest, ...]
    announced: Method
    unannounced: Method
    renews_with: MessageType | None
    polls_with: MessageType


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The client has a certificate, in the device's folder."""

    certificate: x509.Certificate
    said: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The client ended without a certificate, and said this."""

    code: int
    said: str


Outcome = Enrolled | Refused


def outcome(device: Device, code: int, said: str) -> Outcome:
    """What became of it, for a program that ends with 0 when it has written the certificate."""
    if code:
        return Refused(code, said)
    return Enrolled(device.certificate(), said)


class ForeignClient(Protocol):
    """A SCEP client."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it does."""
        ...

    def version(self) -> str:
        """What it says of itself; skips the test when it is not on this machine."""
        ...

    def enrol(self, endpoint: Endpoint, device: Device, options: Options = ...) -> Outcome:
        """Obtain the first certificate."""
        ...

    def renew(self, endpoint: Endpoint, device: Device, options: Options = ...) -> Outcome:
        """Replace the device's certificate, which vouches for it; only with `renews_with`."""
        ...

    def poll(
        self,
        endpoint: Endpoint,
        device: Device,
        decide: Callable[[], None],
        options: Options = ...,
    ) -> Outcome:
        """Enrol where a person decides: ask, let `decide` do it, and ask again.

        `decide` returns when the server has the request and somebody has decided about it.
        """
        ...
