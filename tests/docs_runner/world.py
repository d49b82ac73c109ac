"""What a page of the documentation has around it: a CA, a network, a directory, somebody to ask.

The rule of this file: what a page says of the world is true in it.  The page shows a fingerprint,
and this is where it becomes the CA's; what happens elsewhere between two blocks stands in the page
as a note and in `EVENTS` as what is done.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from scepkit.core.trust import fingerprint
from scepkit.testing import TestCa
from tests import pki, vectors
from tests.docs_runner.network import Network
from tests.docs_runner.site import Site, first_serial, made_fingerprint

#: The fingerprint that the pages show; none that a certificate has.
SHOWN_FINGERPRINT = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#: The same for the next CA, and for an RA.
SHOWN_NEXT = "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"
#: The serial number of the first certificate that the page's own server issued, or of the newest
#: that the CA behind every host has issued.
SHOWN_SERIAL = "5f1c7d0e3a9b42d68c0e91f7a4b35d2e8f60c1a9"
#: The proxy that pages about proxies name.
SHOWN_PROXY = "squid.example.test:3128"

# TLS looks at the real clock.
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_FAR_AWAY = datetime(2099, 1, 1, tzinfo=UTC)


class Screen(io.StringIO):
    """What a page's code writes to; it is a terminal while somebody sits at it."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Keyboard(io.StringIO):
    """What somebody at the terminal types."""

    def isatty(self) -> bool:
        return bool(self.getvalue())


@dataclass
class World:
    """The world of one page.

    Attributes:
        directory: where its files are; the current directory of its code.
        ca: the CA behind every host.
        keyboard: what will be typed.
        screen: what was written.
        network: the way to the CA.
        waited: the seconds of every wait that was not waited for.
        site: the server of the CA that the page has made, while it runs.
    """

    directory: Path
    ca: TestCa = field(default_factory=lambda: TestCa(subject=CA_NAME))
    keyboard: Keyboard = field(default_factory=Keyboard)
    screen: Screen = field(default_factory=Screen)
    network: Network | None = None
    waited: list[float] = field(default_factory=list)
    site: Site | None = None

    def filled(self, text: str) -> str:
        """Code or a command with this world's values in place of those that are shown."""
        for shown, real in self._values():
            text = text.replace(shown, real)
        return text

    def shown(self, text: str) -> str:
        """Output as the page shows it."""
        for shown, real in self._values():
            text = text.replace(real, shown)
        return text

    def _values(self) -> list[tuple[str, str]]:
        own = made_fingerprint(self.directory)
        values = [(SHOWN_FINGERPRINT, own or self.ca.fingerprint)]
        if self.ca.next_certificate is not None:
            values.append((SHOWN_NEXT, fingerprint(self.ca.next_certificate)))
        values += [(_with_colons(shown), _with_colons(real)) for shown, real in values]
        if own is not None and (serial := first_serial(self.directory)) is not None:
            values.append((SHOWN_SERIAL, serial))
        elif own is None and self.ca.issued:
            values.append((SHOWN_SERIAL, f"{self.ca.issued[-1].serial_number:x}"))
        if self.network is not None:
            values.append((SHOWN_PROXY, self.network.authority))
        return values

    @property
    def answers(self) -> TestCa | Site:
        """Who answers for every host."""
        return self.site or self.ca

    def close(self) -> None:
        """Leave nothing running."""
        if self.site is not None:
            self.site.stop()

    def happens(self, words: str) -> None:
        """Let an event happen.

        :raises KeyError: there is none of that name.
        """
        EVENTS[words](self)

    def write(self, name: str, *certificates: x509.Certificate) -> None:
        """Put certificates into a PEM file."""
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
        (self.directory / name).write_bytes(pem)

    def types(self, *lines: str) -> None:
        """Let somebody sit down at the terminal and type these lines."""
        self.keyboard = Keyboard("".join(f"{line}\n" for line in lines))
        self.screen.terminal = True


CA_NAME = "CN=Acme Device CA,O=Acme"


def tls_context(directory: Path) -> ssl.SSLContext:
    """TLS for hosts below example.test, by a CA that is in tls-ca.pem."""
    root = pki.root("ec256-a", "TLS Root", not_before=_LONG_AGO, not_after=_FAR_AWAY)
    server = pki.certificate(
        pki.name("hosts"),
        pki.key("ec256-b"),
        issuer=root,
        key_usage=pki.usage("digital_signature"),
        eku=(pki.SERVER_AUTH,),
        ca=False,
        san=[x509.DNSName("ca.example.test")],
        not_before=_LONG_AGO,
        not_after=_FAR_AWAY,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = directory / "tls-server.pem"
    chain.write_bytes(server.certificate.public_bytes(Encoding.PEM) + pki.key_pem("ec256-b"))
    context.load_cert_chain(chain)
    chain.unlink()
    (directory / "tls-ca.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    return context


def _with_colons(digits: str) -> str:
    upper = digits.upper()
    return ":".join(upper[at : at + 2] for at in range(0, len(upper), 2))


def _another_ca(**arguments: Any) -> Callable[[World], None]:
    def happen(world: World) -> None:
        world.ca = TestCa(subject=CA_NAME, **arguments)

    return happen


def _decides_by_hand(world: World) -> None:
    world.ca.policy.manual = True


def _wants_polls(world: World) -> None:
    world.ca.policy.pending_polls = 2


def _approves(world: World) -> None:
    world.ca.policy.manual = False
    world.ca.approve()


def _prepares_a_rollover(world: World) -> None:
    world.ca.stage_next_ca()


def _factory_certificate(world: World) -> None:
    maker = pki.root("ec256-a", "Device Maker CA", not_after=_FAR_AWAY)
    device = pki.device(maker, "router1", "rsa2048-a", not_before=_LONG_AGO, not_after=_FAR_AWAY)
    encoded = pkcs12.serialize_key_and_certificates(
        b"factory", pki.rsa_key("rsa2048-a"), device.certificate, [maker.certificate],
        NoEncryption(),
    )  # fmt: skip
    (world.directory / "factory.p12").write_bytes(encoded)


def _key_from_elsewhere(world: World) -> None:
    key = pki.rsa_key("rsa2048-b")
    (world.directory / "router1.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def _captures(world: World) -> None:
    for path in (vectors.FOLDER / "captures").iterdir():
        (world.directory / path.name).write_bytes(path.read_bytes())
    (world.directory / "ca.key").write_bytes(pki.key_pem("rsa2048-a"))
    (world.directory / "device.key").write_bytes(pki.key_pem("rsa2048-c"))


def _starts(world: World) -> None:
    world.site = Site(world.directory)


def _reloads(world: World) -> None:
    assert world.site is not None
    world.site.reload()


def _settles(world: World) -> None:
    assert world.site is not None
    world.site.settle()


def _stops(world: World) -> None:
    world.close()
    world.site = None


#: What can happen between two blocks, by the words of the note in the page.
EVENTS: dict[str, Callable[[World], None]] = {
    "the operator hands over ca.pem": lambda world: world.write("ca.pem", world.ca.root),
    "the CA decides by hand from now on": _decides_by_hand,
    "the CA decides at the second poll from now on": _wants_polls,
    "the operator approves": _approves,
    "the operator prepares a rollover": _prepares_a_rollover,
    "the CA answers with single DES": lambda world: world.ca.inject("des-reply"),
    "the server is busy": lambda world: world.ca.inject("busy"),
    "a web page answers GetCACert": lambda world: world.ca.inject("ca-cert-html"),
    "scepkit mock has signer-is-end-entity": lambda world: world.ca.inject("signer-is-end-entity"),
    "captures are at hand": _captures,
    "the CA is healthy again": lambda world: world.ca.heal(),
    "the CA answers in jscep's form": lambda world: world.ca.inject("next-ca-beside-the-content"),
    "the CA now has two RAs, as NDES has": _another_ca(ra="split"),
    "somebody types yes": lambda world: world.types("yes"),
    "the factory gave the device a certificate": _factory_certificate,
    "there is a key in router1.key": _key_from_elsewhere,
    "scepkit serve starts": _starts,
    "scepkit serve is told to reload": _reloads,
    "the server has a few seconds": _settles,
    "scepkit serve is stopped": _stops,
}
