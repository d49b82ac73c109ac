"""jscep, live: its client and its servlet in one JVM that is steered line by line.

The programs are in `jscep/` beside this file.  They are compiled once, with the jars that Maven
fetches as the user's own settings say, into a folder of the user's cache whose name depends on
everything that goes into it.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests import pki
from tests.interop import foreign

SOURCES = Path(__file__).parent / "jscep"
CHALLENGE = "an interop challenge"
#: Seconds for fetching and compiling.
_BUILD = 240.0
#: Milliseconds that jscep waits for a server; it has no limit of its own.
_PATIENCE = "20000"

_JAVA = [
    "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m",
    f"-Dsun.net.client.defaultConnectTimeout={_PATIENCE}",
    f"-Dsun.net.client.defaultReadTimeout={_PATIENCE}",
    # Headers and body are two writes.
    "-Dsun.net.httpserver.nodelay=true",
]  # fmt: skip


class JscepError(Exception):
    """jscep raised an exception."""

    def __init__(self, kind: str, text: str, cause: str) -> None:
        super().__init__(f"{kind}: {text}" + (f" ({cause})" if cause != text else ""))
        self.kind = kind
        self.cause = cause


class Jscep:
    """A JVM with jscep in it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Perform one order; values are sent as `to_json` makes them, None is left out.

        :raises JscepError: jscep raised.
        """
        words = {name.replace("_", " "): to_json(value) for name, value in order.items()}
        line = json.dumps({"do": do, **words})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline() or '{"error": "the JVM ended"}')
        if "error" in reply:
            raise JscepError(reply["error"], reply.get("text", ""), reply.get("cause", ""))
        found: dict[str, Any] = reply["answer"]
        return found


@dataclass(frozen=True)
class JscepServer:
    """jscep's servlet with our CA behind it; lives as long as its JVM.

    Attributes:
        ca: the CA, and its key.
        next_ca: what it announces by GetNextCACert.
    """

    url: str
    ca: pki.Identity
    next_ca: pki.Identity


def to_json(value: Any) -> Any:
    """Certificates, keys and names as DER in base64, anything else as it is."""
    match value:
        case x509.Certificate():
            der = value.public_bytes(Encoding.DER)
        case x509.Name():
            der = value.public_bytes()
        case _ if hasattr(value, "private_bytes"):
            der = value.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        case _ if hasattr(value, "public_bytes"):
            der = value.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        case _:
            return value
    return base64.b64encode(der).decode()


def certificates(answer: dict[str, Any]) -> tuple[x509.Certificate, ...]:
    """The certificates of an answer, in jscep's order, which is none."""
    ders = map(base64.b64decode, answer["certificates"])
    return tuple(map(x509.load_der_x509_certificate, ders))


@contextmanager
def jscep() -> Iterator[Jscep]:
    """A JVM with jscep, until the block ends."""
    java = foreign.program("java", "default-jdk-headless")
    place = _built()
    command = [java, *_JAVA, "-cp", f"{place / 'classes'}:{place / 'lib'}/*", "Driver"]
    pipe = subprocess.PIPE
    # What it says on standard error is for whoever reads pytest's captured output.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Jscep(process)
        finally:
            process.kill()


def serve(peer: Jscep) -> JscepServer:
    """Start jscep's servlet with an RSA-2048 CA."""
    ca = pki.root("rsa2048-a", "Interop CA of jscep")
    next_ca = pki.root("rsa2048-b", "Interop CA of jscep")
    answer = peer.ask(
        "serve",
        certificate=ca.certificate,
        key=ca.key,
        next=next_ca.certificate,
        challenge=CHALLENGE,
    )
    return JscepServer(f"http://127.0.0.1:{answer['port']}/scep", ca, next_ca)


def _built() -> Path:
    """The folder with `lib` and `classes`, which is made where it is not there."""
    javac = foreign.program("javac", "default-jdk-headless")
    maven = foreign.program("mvn", "maven")
    sources = sorted(SOURCES.glob("*.java"))
    digest = hashlib.sha256(Path(javac).resolve().as_posix().encode())
    for path in (SOURCES / "pom.xml", *sources):
        digest.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scepkit-tests"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"jscep-{digest.hexdigest()[:16]}"
    # Several test processes may want it at the same time.
    with (cache / "jscep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            unfinished = Path(tempfile.mkdtemp(dir=cache))
            try:
                _build(maven, javac, sources, unfinished)
                unfinished.rename(place)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return place


def _build(maven: str, javac: str, sources: list[Path], place: Path) -> None:
    fetch: list[str | Path] = [
        *(maven, "--batch-mode", "--quiet", "--file", SOURCES / "pom.xml"),
        *("dependency:copy-dependencies", "-DincludeScope=runtime"),
        f"-DoutputDirectory={place / 'lib'}",
    ]
    done = subprocess.run(
        fetch, stdin=subprocess.DEVNULL, capture_output=True, timeout=_BUILD, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        foreign.missing(f"Maven has not got jscep: {said[:1000]}")
    foreign.run([javac, "-d", place / "classes", "-cp", f"{place / 'lib'}/*", *sources])
