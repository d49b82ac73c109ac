"""jscep's client against our server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from scepkit.core.algorithms import Cipher, Digest
from tests import pki
from tests.interop.jscep_peer import Jscep, JscepError, certificates
from tests.interop.matrix.cells import (
    OK,
    REFUSED,
    USUAL,
    Key,
    Operation,
    Suite,
    Trial,
    Verdict,
    fails,
    judged,
    not_offered,
    rounds,
)

NAME = "jscep's client and our server"

#: The capabilities that lead jscep to an algorithm; POST is used where it is among them.
_WORDS = {
    Cipher.AES128_CBC: "AES",
    Cipher.DES_EDE3_CBC: "DES3",
    Digest.SHA1: "SHA-1",
    Digest.SHA256: "SHA-256",
    Digest.SHA512: "SHA-512",
}
_POST = "POSTPKIOperation"
_EC = not_offered("jscep signs messages with RSA keys only.")
_KNOWN = {
    "No installed provider supports this key": _EC,
    "the certificate of today": fails(
        "jscep's fault: it takes the certificates of the outer SignedData, where RFC 8894 section"
        " 4.7.1 has them in its content, and so returns the certificate of today as the next one."
    ),
}


@dataclass
class JscepClient:
    """A `running.Pair`.

    Attributes:
        url: of a profile that knows challenges.
        slow: of one where a person decides.
        modern: of one that takes no single DES.
        decide: approves what waits.
        made: the trial of each certificate, by serial number.
    """

    jvm: Jscep
    url: str
    slow: str
    modern: str
    ca: x509.Certificate
    next_ca: x509.Certificate
    challenge: Callable[[], str]
    decide: Callable[[], None]
    name: str = NAME
    extras: Sequence[Operation] = (Operation.SINGLE_DES, Operation.MD5)
    made: dict[int, Trial] = field(default_factory=dict)
    _issued: dict[Key, x509.Certificate] = field(default_factory=dict)

    def foregone(self, trial: Trial) -> Verdict | None:
        """Its queries need a certificate for the key, which it cannot have."""
        queries = {Operation.RENEW, Operation.GET_CERT, Operation.GET_CRL}
        return _EC if trial.operation in queries and not trial.key.rsa else None

    def attempt(self, trial: Trial) -> Verdict:
        """Try it; an exception of jscep's is looked up among the known ones."""
        try:
            return self._attempt(trial)
        except JscepError as error:
            return judged(str(error), _KNOWN)

    def polls(self, trials: Sequence[Trial]) -> Mapping[Trial, Verdict]:
        """Ask, decide, ask again; one of each key at a time, because transactionIDs are keys."""
        found: dict[Trial, Verdict] = {}
        for some in rounds(trials):
            asked = {trial: self._held(trial) for trial in some}
            if any(isinstance(one, dict) for one in asked.values()):
                self.decide()
            for trial, answer in asked.items():
                found[trial] = answer if isinstance(answer, Verdict) else self._poll(trial, answer)
        return found

    def _held(self, trial: Trial) -> dict[str, Any] | Verdict:
        try:
            answer = self._enrol(trial, None, url=self.slow)
        except JscepError as error:
            return judged(str(error), _KNOWN)
        return answer if answer.get("pending") else judged(f"it was told {answer}", _KNOWN)

    def _poll(self, trial: Trial, held: dict[str, Any]) -> Verdict:
        asked = self._ask(
            "poll",
            trial.suite,
            url=self.slow,
            subject=pki.name(trial.name),
            certificate=held["certificate"],
            key=pki.key(trial.key.file),
            transaction=held["transaction"],
        )
        return self._checked(trial, asked)

    def _attempt(self, trial: Trial) -> Verdict:
        match trial.operation:
            case Operation.ENROL:
                return self._checked(trial, self._enrol(trial, self.challenge()))
            case Operation.WRONG_CHALLENGE:
                return _refused(self._enrol(trial, "a guess"), "badRequest")
            case Operation.SINGLE_DES:
                return _refused(
                    self._enrol(trial, None, url=self.modern, heed=["SHA-256", _POST]), "badAlg"
                )
            case Operation.MD5:
                return _refused(self._enrol(trial, None, heed=["AES", _POST]), "badAlg")
            case Operation.RENEW:
                return self._renewed(trial)
            case Operation.GET_CERT:
                mine = self._certificate(trial.key)
                answer = self._ask(
                    "certificate", trial.suite, serial=str(mine.serial_number), **self._me(trial)
                )
                assert certificates(answer) == (mine,)
            case Operation.GET_CRL:
                answer = self._ask("crl", trial.suite, **self._me(trial))
                crl = x509.load_der_x509_crl(base64.b64decode(answer["crl"]))
                assert crl.issuer == self.ca.subject
            case Operation.ROLLOVER:
                found = certificates(self._ask("rollover", None))
                if found == (self.ca,):
                    return judged("the certificate of today", _KNOWN)
                assert found == (self.next_ca,)
            case other:
                raise AssertionError(other)
        return OK

    def _checked(self, trial: Trial, answer: dict[str, Any], *, of: str = "") -> Verdict:
        if "certificates" not in answer:
            return judged(f"it was told {answer}", _KNOWN)
        (made,) = certificates(answer)
        assert made.public_key() == pki.key(of or trial.key.file).public_key()
        self.made[made.serial_number] = trial
        return OK

    def _ask(self, do: str, suite: Suite | None, **order: Any) -> dict[str, Any]:
        if suite is not None and "heed" not in order:
            words = [_WORDS[suite.cipher], _WORDS[suite.digest]]
            order["heed"] = words + [_POST] * (suite.method == "POST")
        return self.jvm.ask(do, **{"url": self.url, "trust": self.ca, **order})

    def _enrol(self, trial: Trial, challenge: str | None, **order: Any) -> dict[str, Any]:
        key = pki.key(trial.key.file)
        return self._ask(
            "enrol",
            trial.suite,
            subject=pki.name(trial.name),
            key=key,
            public_key=key.public_key(),
            algorithm="RSA" if trial.key.rsa else "EC",
            challenge=challenge,
            **order,
        )

    def _renewed(self, trial: Trial) -> Verdict:
        # Each of its own: one that was renewed is not renewed again.
        (old,) = certificates(self._enrol(trial, self.challenge()))
        key = pki.key(trial.key.successor)
        answer = self._ask(
            "enrol",
            trial.suite,
            subject=old.subject,
            key=key,
            public_key=key.public_key(),
            certificate=old,
            old_key=pki.key(trial.key.file),
        )
        return self._checked(trial, answer, of=trial.key.successor)

    def _certificate(self, key: Key) -> x509.Certificate:
        """Some certificate of this server for a key, enrolled once."""
        if key not in self._issued:
            trial = Trial(Operation.ENROL, key, USUAL)
            (self._issued[key],) = certificates(self._enrol(trial, self.challenge()))
        return self._issued[key]

    def _me(self, trial: Trial) -> dict[str, Any]:
        return {"certificate": self._certificate(trial.key), "key": pki.key(trial.key.file)}


def _refused(answer: dict[str, Any], fail_info: str) -> Verdict:
    return (
        REFUSED if answer.get("refused") == fail_info else judged(f"it was told {answer}", _KNOWN)
    )
