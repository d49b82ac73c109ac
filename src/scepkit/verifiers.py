"""CA verifiers that need more than the offer: one asks a person, one remembers.

The rule of this file is that of `scepkit.core.trust`: a verifier returns the certificate it vouches
for or raises TrustError, and whatever is unclear refuses.
"""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from cryptography import x509

from scepkit.core.algorithms import Digest
from scepkit.core.chains import Facts
from scepkit.core.shown import shown_name, title
from scepkit.core.trust import CaOffer, CaVerifier, Wrapper, fingerprint
from scepkit.errors import TrustError

_DIGESTS = {"SHA-256": Digest.SHA256, "SHA-1": Digest.SHA1, "SHA-512": Digest.SHA512}
_BYTES_IN_LINE = 16
_ATTEMPTS = 3

#: There is one terminal, whoever asks on it.
_terminal = threading.Lock()


class AskOnConsole:
    """Shows the CA certificate with its fingerprints to a person, who has to type "yes".

    :param input: where the answer is read, by default standard input.
    :param output: where the question is shown, by default standard error.  Both must be terminals:
        where nobody can read the question, nobody can answer it.
    """

    def __init__(self, input: TextIO | None = None, output: TextIO | None = None) -> None:
        self._input = input
        self._output = output

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return the offer's `ca`.

        :raises TrustError: there is no terminal, or the answer is not "yes".
        """
        source, screen = self._input or sys.stdin, self._output or sys.stderr
        # Both are None in a process that was started without a console.
        if not (source and screen and source.isatty() and screen.isatty()):
            raise offer.refusal(
                "nobody can be asked whether this is the CA, because there is no terminal",
                hint="give the CA's fingerprint or certificate (--ca-fingerprint, --ca-cert)",
            )
        certificate = offer.ca
        with _terminal:
            screen.write(_question(offer, certificate))
            accepted = _says_yes(source, screen)
        if not accepted:
            raise offer.refusal(f"{title(certificate)} was not accepted")
        return certificate


def _question(offer: CaOffer, certificate: x509.Certificate) -> str:
    facts = Facts(certificate)
    lines = [
        f"{offer.source} offers this CA certificate:",
        "",
        f"  subject   {title(certificate)}",
        f"  issuer    {'itself' if facts.self_issued else shown_name(certificate, 'issuer')}",
        f"  valid     {facts.shown_validity}",
    ]
    for name, digest in _DIGESTS.items():
        pairs = fingerprint(certificate, digest).upper()
        octets = [pairs[at : at + 2] for at in range(0, len(pairs), 2)]
        for at in range(0, len(octets), _BYTES_IN_LINE):
            lines.append(f"  {name:<8}  {':'.join(octets[at : at + _BYTES_IN_LINE])}")
            name = ""
    others = [title(item) for item in offer.certificates if item != certificate]
    if others:
        lines += ["", "Beside it: " + "; ".join(others)]
    lines += ["", "Compare a fingerprint with one you have from the CA's operator.", ""]
    return "\n".join(lines)


def _says_yes(source: TextIO, screen: TextIO) -> bool:
    for _ in range(_ATTEMPTS):
        screen.write('Is this the CA? Type "yes" or "no": ')
        screen.flush()
        answer = source.readline()
        if answer.strip().lower() == "yes":
            return True
        if not answer or answer.strip().lower() in {"no", "n"}:
            break
    return False


class _Question:
    """A question that is being asked; others with the same one wait for `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.refusal: TrustError | None = None


class Caching(Wrapper):
    """Remembers what another verifier vouched for; safe to use from several threads.

    A certificate vouched for at one URL and profile is vouched for again there as long as it is
    offered, and so is one that was vouched for without being offered when the same certificates
    come again.  Several threads with the same offer ask once.  A refusal is told to those who
    were waiting for it, and is not remembered: the next offer is asked about anew.
    """

    def __init__(self, verifier: CaVerifier) -> None:
        super().__init__(verifier)
        self._lock = threading.Lock()
        self._anchors: dict[tuple[str, str | None], set[x509.Certificate]] = {}
        self._offers: dict[CaOffer, x509.Certificate] = {}
        self._asking: dict[CaOffer, _Question] = {}

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return what is remembered, else what the other verifier returns.

        :raises TrustError: the other verifier refuses.
        """
        while True:
            with self._lock:
                anchor = self._remembered(offer)
                if anchor is not None:
                    return anchor
                question = self._asking.get(offer)
                if question is None:
                    question = self._asking[offer] = _Question()
                    break
            question.done.wait()
            if (refusal := question.refusal) is not None:
                raise TrustError(str(refusal), fingerprints=refusal.fingerprints, hint=refusal.hint)
        return self._ask(offer, question)

    def _remembered(self, offer: CaOffer) -> x509.Certificate | None:
        anchors = self._anchors.get((offer.url, offer.profile), set())
        return next(
            (certificate for certificate in offer.certificates if certificate in anchors),
            self._offers.get(offer),
        )

    def _ask(self, offer: CaOffer, question: _Question) -> x509.Certificate:
        try:
            anchor = self.verifier(offer)
        except TrustError as refusal:
            question.refusal = refusal
            raise
        else:
            if isinstance(anchor, x509.Certificate):
                with self._lock:
                    self._anchors.setdefault((offer.url, offer.profile), set()).add(anchor)
                    self._offers[offer] = anchor
            return anchor
        finally:
            with self._lock:
                del self._asking[offer]
            question.done.set()
