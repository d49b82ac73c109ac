"""A client that is a program against our server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scepkit.core.algorithms import Cipher
from tests import pki
from tests.interop.authority import Authority
from tests.interop.clients import Device, Enrolled, ForeignClient, Options, Outcome
from tests.interop.matrix.cells import (
    ALIASES,
    OK,
    REFUSED,
    Operation,
    Trial,
    Verdict,
    fails,
    judged,
    not_offered,
    rounds,
)

_NO_SUCH_COMMAND = not_offered("It has no command for this.")
_RSA_ONLY = not_offered("It signs messages with RSA keys only.")
_KNOWN = {
    # strongSwan, certmonger, and micromdm's scepclient, when they are given an EC key.
    "building CRED_PRIVATE_KEY - RSA failed": _RSA_ONLY,
    "NEED_SCEP_RSA_CLIENT_KEY": _RSA_ONLY,
    "unmatched type or headers": _RSA_ONLY,
}
_AES = (Cipher.AES128_CBC, Cipher.AES192_CBC, Cipher.AES256_CBC)


@dataclass
class Program:
    """A `running.Pair`.

    Attributes:
        made: the trial of each certificate, by serial number.
    """

    client: ForeignClient
    authority: Authority
    name: str
    extras: Sequence[Operation] = ()
    made: dict[int, Trial] = field(default_factory=dict)
    _devices: dict[Trial, Device] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def foregone(self, trial: Trial) -> Verdict | None:
        """What it has no words for; that it has none for an EC key is left to it to say, once."""
        if trial.operation in {Operation.GET_CERT, Operation.GET_CRL, Operation.ROLLOVER}:
            return _NO_SUCH_COMMAND
        lacking = self._lacking(trial)
        if trial.key.rsa:
            return lacking
        first = ALIASES.get(trial.operation, trial.operation) is Operation.ENROL
        return None if first and lacking is None else _RSA_ONLY

    def _lacking(self, trial: Trial) -> Verdict | None:
        able = self.client.abilities
        if trial.operation in _SINGLE_DES or trial.operation is Operation.WRONG_CHALLENGE:
            return None
        if not set(able.ciphers) & set(self._ciphers(trial)):
            only = " or ".join(one.value for one in able.ciphers)
            return not_offered(f"It encrypts with {only}; these tests leave the choice to it.")
        if trial.suite.digest not in able.digests:
            only = " or ".join(one.value for one in able.digests)
            return not_offered(f"It signs with {only}; these tests leave the choice to it.")
        if trial.suite.method not in {able.announced, able.unannounced}:
            return not_offered(f"It sends every message by {able.announced}.")
        return None

    def attempt(self, trial: Trial) -> Verdict:
        """Try it; what it says is looked up among the known texts."""
        match trial.operation:
            case Operation.ENROL | Operation.DES_ENROL:
                return self._told(trial, self._enrol(trial, self._profile(trial)))
            case Operation.RENEW | Operation.DES_RENEW:
                first = self._enrol(trial, self._profile(trial))
                if not isinstance(first, Enrolled):
                    return self._told(trial, first)
                again = self._again(trial)
                endpoint = self.authority.endpoint(self._profile(trial))
                outcome = self.client.renew(endpoint, again, self._options(trial))
                if isinstance(outcome, Enrolled):
                    assert outcome.certificate.serial_number != first.certificate.serial_number
                return self._told(trial, outcome)
            case Operation.WRONG_CHALLENGE:
                return self._no(self._enrol(trial, "default", challenge="a guess"))
            case Operation.SINGLE_DES:
                return self._no(self._enrol(trial, "modern"))
            case other:
                raise AssertionError(other)

    def polls(self, trials: Sequence[Trial]) -> Mapping[Trial, Verdict]:
        """Several at once; but one of each key, because transactionIDs are made of keys."""
        found: dict[Trial, Verdict] = {}
        for some in rounds(trials):
            with ThreadPoolExecutor(len(some)) as pool:
                found.update(zip(some, pool.map(self._poll, some), strict=True))
        return found

    def _poll(self, trial: Trial) -> Verdict:
        device = self._device(trial, "")
        profile = "reviewed"
        outcome = self.client.poll(
            self.authority.endpoint(profile),
            device,
            lambda: self.authority.decide(device),
            self._options(trial),
        )
        return self._told(trial, outcome)

    def _enrol(self, trial: Trial, profile: str, *, challenge: str = "") -> Outcome:
        device = self._device(trial, challenge or self.authority.challenge(profile))
        return self.client.enrol(self.authority.endpoint(profile), device, self._options(trial))

    def _device(self, trial: Trial, challenge: str) -> Device:
        # A short path: certmonger's socket is in it.
        folder = self.authority.directory.parent / f"{self.client.name[:3]}{next(self._numbers)}"
        folder.mkdir()
        device = Device(folder, trial.name, challenge)
        form = PrivateFormat.TraditionalOpenSSL
        key = pki.key(trial.key.file)
        device.key_file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
        self._devices[trial] = device
        return device

    def _again(self, trial: Trial) -> Device:
        """The device of a trial, which needs no challenge any more."""
        device = self._devices[trial]
        return Device(device.folder, device.name)

    def _profile(self, trial: Trial) -> str:
        able = self.client.abilities
        if trial.suite.method == able.announced or trial.operation in _SINGLE_DES:
            return "default"
        return "get"

    def _ciphers(self, trial: Trial) -> Sequence[Cipher]:
        return _AES if trial.suite.cipher in _AES else (trial.suite.cipher,)

    def _options(self, trial: Trial) -> Options:
        able = self.client.abilities
        choice = len(able.ciphers) > 1 and trial.operation not in _SINGLE_DES
        return Options(trial.suite.cipher, trial.suite.digest) if choice else Options()

    def _told(self, trial: Trial, outcome: Outcome) -> Verdict:
        if not isinstance(outcome, Enrolled):
            return judged(outcome.said, _KNOWN)
        self.made[outcome.certificate.serial_number] = trial
        return OK

    def _no(self, outcome: Outcome) -> Verdict:
        return fails("It got a certificate.") if isinstance(outcome, Enrolled) else REFUSED


_SINGLE_DES = {
    Operation.SINGLE_DES,
    Operation.DES_ENROL,
    Operation.DES_RENEW,
    Operation.DES_POLL,
}
