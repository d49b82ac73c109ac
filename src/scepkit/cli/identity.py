"""Keys, certificates and who asks: what the key and signer options name.

The rule of this file: a password comes from a file, the environment or the terminal, is asked for
only when a key needs one, and is read once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from scepkit.cli.failures import Unfit
from scepkit.cli.output import Output
from scepkit.cli.passwords import file_password, read_input
from scepkit.cli.terminal import ask_secret, has_terminal
from scepkit.errors import KeyLoadError
from scepkit.keys import load_certificates, load_key
from scepkit.keys.finding import is_pkcs12
from scepkit.keys.loading import MAX_FILE

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.certificates import PrivateKey
    from scepkit.core.enrolment import Requester


T = TypeVar("T")


class KeyPassword:
    """The password of the keys of one command; stdin can be read once only."""

    def __init__(self, out: Output, path: str | None) -> None:
        self._out = out
        self.value = file_password("--key-password-file", path, "SCEPKIT_KEY_PASSWORD")

    def read_key(self, path: str) -> PrivateKey:
        """Load the private key in the file `path`; ``-`` is stdin.

        Raises:
            KeyLoadError: there is none, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        return self._load(load_key, path)

    def read_certificates(self, path: str) -> tuple[x509.Certificate, ...]:
        """Load all certificates in the file `path`, which may be PKCS #12.

        Raises:
            KeyLoadError: there is none, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        return self._load(load_certificates, path)

    def _load(self, load: Callable[..., T], path: str) -> T:
        data = read_input(path, limit=MAX_FILE)
        password = self._password_for(data, path)
        try:
            return load(data, password, path=path)
        except KeyLoadError as error:
            if password is None and _needs_password(data):
                error.hint = "give its password with --key-password-file or SCEPKIT_KEY_PASSWORD"
            raise

    def _password_for(self, data: bytes, path: str) -> bytes | None:
        if self.value is None and _needs_password(data) and has_terminal(self._out):
            self.value = ask_secret(f"password of {path}").encode()
        return self.value


def _needs_password(data: bytes) -> bool:
    if not data.startswith(b"0"):
        # In PEM that is "ENCRYPTED PRIVATE KEY", or "Proc-Type: 4,ENCRYPTED" in the old format.
        return b"ENCRYPTED" in data
    return is_pkcs12(data)


def read_certificates(path: str) -> tuple[x509.Certificate, ...]:
    """Load all certificates in a file that is not encrypted; ``-`` is stdin."""
    return load_certificates(read_input(path, limit=MAX_FILE), path=path)


def read_requester(
    passwords: KeyPassword, certificate_path: str, key_path: str | None
) -> Requester:
    """Who asks with an existing certificate: it, its key, and the rest of its file as chain.

    Raises:
        Unfit: none of the certificates is for the key.
        KeyLoadError: a file is not what it should be.
    """
    from scepkit.core.enrolment import Requester

    certificates = passwords.read_certificates(certificate_path)
    key = passwords.read_key(key_path or certificate_path)
    certificate = own_certificate(certificates, key, certificate_path)
    return Requester(certificate, key, tuple(one for one in certificates if one != certificate))


def own_certificate(
    certificates: tuple[x509.Certificate, ...], key: PrivateKey, path: str
) -> x509.Certificate:
    """The certificate for `key` among some."""
    public = key.public_key()
    for certificate in certificates:
        if certificate.public_key() == public:
            return certificate
    raise Unfit(f"{path}: none of the certificates in it is for the key", path=path)


def throwaway_requester() -> Requester:
    """Somebody who is nobody: a new key with a self-signed certificate, for a question."""
    from datetime import UTC, datetime

    from scepkit.core.csr import build_csr
    from scepkit.core.enrolment import self_signed_requester
    from scepkit.keys import generate_key

    key = generate_key()
    return self_signed_requester(build_csr(key, "CN=scepkit"), key, now=datetime.now(UTC))


def read_p12_password(out: Output, path: str | None) -> bytes:
    """The password for a PKCS #12 file that is to be written.

    Raises:
        Unfit: there is none, and nobody to ask.
    """
    password = file_password("--p12-password-file", path, "SCEPKIT_P12_PASSWORD")
    if password is None and has_terminal(out):
        password = ask_secret("new password for the PKCS #12 file").encode()
    if not password:
        raise Unfit(
            "a PKCS #12 file needs a password, and none was given",
            hint="give one with --p12-password-file or SCEPKIT_P12_PASSWORD",
        )
    return password
