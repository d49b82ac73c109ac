"""Our client against a server: the library, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from scepkit import (
    Client,
    EnrolmentResult,
    Issued,
    Pending,
    PinnedCertificate,
    Preferences,
    Rejected,
    Requester,
    ScepError,
    build_csr,
)
from scepkit.core.shown import title
from tests import pki
from tests.interop.matrix.cells import (
    OK,
    REFUSED,
    USUAL,
    Key,
    Operation,
    Trial,
    Verdict,
    fails,
    judged,
)


@dataclass
class Server:
    """A server, as our client meets it.

    Attributes:
        name: which section of the page this is.
        next_ca: what GetNextCACert should give; None: nothing.
        challenge: makes a challenge that is good for one enrolment.
        slow: where requests wait for a person; "" if nowhere.
        slow_challenge: makes a challenge for there.
        slow_name: what the subject of such a request begins with.
        decide: approves what waits.
        renewal_challenge: makes a challenge for a renewal.
        legacy: whether our client must be told to read its replies.
        known: verdicts by texts of errors.
        lacks: the verdict on what this server does not have at all.
    """

    name: str
    url: str
    ca: x509.Certificate
    next_ca: x509.Certificate | None
    challenge: Callable[[], str]
    slow: str = ""
    slow_challenge: Callable[[], str | None] = lambda: None
    slow_name: str = ""
    decide: Callable[[], None] = lambda: None
    renewal_challenge: Callable[[], str | None] = lambda: None
    legacy: bool = False
    known: Mapping[str, Verdict] = field(default_factory=dict)
    lacks: Callable[[Trial], Verdict | None] = lambda trial: None
    extras: Sequence[Operation] = ()


class Library:
    """A `running.Pair`: our client and this server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = server.name
        self.extras = server.extras
        #: The trial of each certificate, by serial number.
        self.made: dict[int, Trial] = {}
        self._clients: dict[tuple[object, ...], Client] = {}
        self._issued: dict[Key, Requester] = {}

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def foregone(self, trial: Trial) -> Verdict | None:
        """What the server lacks."""
        return self.server.lacks(trial)

    def attempt(self, trial: Trial) -> Verdict:
        """Try it; an error of scepkit is looked up among the known ones."""
        try:
            return self._attempt(trial)
        except ScepError as error:
            return judged(str(error), self.server.known)

    def polls(self, trials: Sequence[Trial]) -> Mapping[Trial, Verdict]:
        """Enrol everything, let it be decided at once, and poll until the server has done it."""
        found: dict[Trial, Verdict] = {}
        waiting: dict[Trial, tuple[Pending, str | None]] = {}
        for trial in trials:
            challenge = self.server.slow_challenge()
            try:
                result = self._enrol(trial, challenge, url=self.server.slow)
                assert isinstance(result, Pending), (trial, result)
                waiting[trial] = result, challenge
            except ScepError as error:
                found[trial] = judged(str(error), self.server.known)
        self.server.decide()
        for trial, (pending, challenge) in waiting.items():
            try:
                found[trial] = self._poll(trial, pending, challenge)
            except ScepError as error:
                found[trial] = judged(str(error), self.server.known)
        return found

    def _attempt(self, trial: Trial) -> Verdict:
        match trial.operation:
            case Operation.ENROL:
                return self._checked(trial, self._enrol(trial, self.server.challenge()))
            case Operation.WRONG_CHALLENGE:
                refused = self._enrol(trial, "a guess")
                return REFUSED if isinstance(refused, Rejected) else fails(f"it answered {refused}")
            case Operation.MODERN:
                return self._checked(trial, self._enrol(trial, self.server.challenge()))
            case Operation.RENEW:
                return self._renewed(trial)
            case Operation.GET_CERT:
                known = self._requester(trial.key)
                serial = known.certificate.serial_number
                found, _ = self._client(trial).get_certificate(serial, known)
                assert found == known.certificate
            case Operation.GET_CRL:
                known = self._requester(trial.key)
                crl = self._client(trial).get_crl(known.certificate.serial_number, known)
                assert crl.issuer == self.server.ca.subject
            case Operation.ROLLOVER:
                next_ca = self.server.next_ca
                verifier = None if next_ca is None else PinnedCertificate(next_ca)
                assert self._client(trial).get_next_ca_certificates(verifier=verifier) == (next_ca,)
            case other:
                raise AssertionError(other)
        return OK

    def _enrol(self, trial: Trial, challenge: str | None, *, url: str = "") -> EnrolmentResult:
        prefix = self.server.slow_name if url else ""
        key = pki.key(trial.key.file)
        csr = build_csr(key, f"CN={prefix}{trial.name},O=Acme", challenge=challenge)
        return self._client(trial, url or self.server.url).enrol(csr, key)

    def _renewed(self, trial: Trial) -> Verdict:
        key = pki.key(trial.key.successor)
        # Each of its own: one that was renewed is not renewed again.
        old = self._enrolled(trial, f"old-{trial.name}")
        challenge = self.server.renewal_challenge()
        if not trial.key.rsa:
            challenge = challenge or self.server.challenge()
        result = self._client(trial).renew(old, key, challenge=challenge)
        return self._checked(trial, result, of=trial.key.successor)

    def _poll(self, trial: Trial, pending: Pending, challenge: str | None) -> Verdict:
        key = pki.key(trial.key.file)
        client = self._client(trial, self.server.slow)
        for _ in range(3):
            result = client.poll(pending, key, challenge=challenge)
            if not isinstance(result, Pending):
                return self._checked(trial, result)
            pending = result
        return fails("it stayed pending after a person had decided")

    def _checked(self, trial: Trial, result: EnrolmentResult, *, of: str = "") -> Verdict:
        if isinstance(result, Rejected):
            return judged(f"refused: {result.reason}", self.server.known)
        assert isinstance(result, Issued), (trial, result)
        assert result.certificate.public_key() == pki.key(of or trial.key.file).public_key()
        self.made[result.certificate.serial_number] = trial
        assert title(result.chain[-1]) == title(self.server.ca)
        return OK

    def _requester(self, key: Key) -> Requester:
        """Some certificate of this server for a key, enrolled once."""
        if key not in self._issued:
            trial = Trial(Operation.ENROL, key, USUAL)
            self._issued[key] = self._enrolled(trial, f"requester-{key.file}")
        return self._issued[key]

    def _enrolled(self, trial: Trial, name: str) -> Requester:
        private = pki.key(trial.key.file)
        csr = build_csr(private, f"CN={name},O=Acme", challenge=self.server.challenge())
        result = self._client(trial).enrol(csr, private)
        if isinstance(result, Issued):
            return Requester(result.certificate, private)
        raise AssertionError(result)

    def _client(self, trial: Trial, url: str = "") -> Client:
        suite = trial.suite
        legacy = self.server.legacy and trial.operation is not Operation.MODERN
        which = (url or self.server.url, suite, legacy)
        if which not in self._clients:
            self._clients[which] = Client(
                url or self.server.url,
                trust=PinnedCertificate(self.server.ca),
                preferences=Preferences(
                    cipher=suite.cipher,
                    digest=suite.digest,
                    post=suite.method == "POST",
                    accept_legacy_replies=legacy,
                ),
            )
        return self._clients[which]
