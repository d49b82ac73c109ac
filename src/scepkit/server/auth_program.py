"""An external program that decides: the CSR (PEM) on its standard input, exit code 0 allows.

The rules of this file: no shell, nothing of the request in an argument or the environment but the
profile's name (which is ours), and whatever goes wrong is no answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta

from scepkit.core.csr import ParsedCsr
from scepkit.server.verdicts import Answer, EnrolRequest, No, NoAnswer, Yes
from scepkit.store import turns


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments.

    Attributes:
        argv: the absolute path of the program first.
        timeout: after which it is killed, with all it has started.
    """

    argv: tuple[str, ...]
    timeout: timedelta = timedelta(seconds=10)

    def ask(self, request: EnrolRequest) -> Answer:
        """Run it for a request."""
        return turns.elsewhere(lambda: self._ask(request))

    def _ask(self, request: EnrolRequest) -> Answer:
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "SCEPKIT_PROFILE": request.profile,
        }
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own program
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return NoAnswer(f"the program cannot be started: {error.strerror}")
        with process:
            try:
                process.communicate(csr_pem(request.csr), self.timeout.total_seconds())
            except subprocess.TimeoutExpired:
                _kill(process)
                return NoAnswer(f"the program took longer than {self.timeout.total_seconds():g} s")
        if process.returncode == 0:
            return Yes()
        if process.returncode < 0:
            return NoAnswer(f"the program was killed by signal {-process.returncode}")
        return No(f"the program says no (exit code {process.returncode})")


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def csr_pem(csr: ParsedCsr) -> bytes:
    """A request as programs read it."""
    text = b64encode(csr.der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    begin, end = b"-----BEGIN CERTIFICATE REQUEST-----", b"-----END CERTIFICATE REQUEST-----"
    return b"\n".join((begin, *lines, end, b""))
