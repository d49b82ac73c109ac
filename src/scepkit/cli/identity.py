"""Keys, certificates and who asks: what the key and signer options name.

The rule of this file: a password comes from a file, the environment or the terminal, is asked for
only when a key needs one, and is read once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from scepkit.cli.failures import Unfit
from scepkit.cli.output import STDIO, Output
from scepkit.cli.passwords import file_password, read_input
from scepkit.cli.terminal import ask_secret, has_terminal
from scepkit.errors import KeyLoadError
from scepkit.keys import load_certificates, load_key
from scepkit.keys.loading import MAX_FILE

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.certificates import PrivateKey
    from scepkit.core.enrolment import Requester
    from scepkit.core.trust import CaVerifier


T = TypeVar("T")

P12_VARIABLE = "SCEPKIT_P12_PASSWORD"


class KeyPassword:
    """The passwords of the keys of one command.

    One is asked for at the terminal when the key in a file turns out to need it, and then counts
    for that file only.

    Args:
        out: how to ask.
        path: the file of ``--key-password-file``.
        new_path: the file of ``--new-key-password-file``.
    """

    def __init__(self, out: Output, path: str | None, new_path: str | None = None) -> None:
        self._out = out
        self._given = file_password("--key-password-file", path, "SCEPKIT_KEY_PASSWORD")
        self._for_new = file_password(
            "--new-key-password-file", new_path, "SCEPKIT_NEW_KEY_PASSWORD"
        )
        self._opened: dict[str, bytes] = {}

    def read_key(self, path: str, *, first: bytes | None = None) -> PrivateKey:
        """Load the private key in the file `path`; ``-`` is stdin.

        Args:
            path: the file.
            first: the password to try before the others, if it needs one.

        Raises:
            KeyLoadError: there is none, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        return self._load(load_key, path, first)

    def read_certificates(self, path: str) -> tuple[x509.Certificate, ...]:
        """Load all certificates in the file `path`, which may be PKCS #12.

        Raises:
            KeyLoadError: there is none, or the password is missing or wrong.
            OSError: the file cannot be read.
        """
        return self._load(load_certificates, path, None)

    def for_new(self, instead_of: str = "") -> bytes | None:
        """The password to encrypt a key with that is made here, or None.

        Args:
            instead_of: the file of the key that it replaces, which was read before, and whose
                password it keeps when there is no other.  For a key that replaces none, that is
                the password of keys that are read.
        """
        if self._for_new is not None:
            return self._for_new
        return self._opened.get(instead_of) if instead_of else self._given

    def _load(self, load: Callable[..., T], path: str, first: bytes | None) -> T:
        data = read_input(path, limit=MAX_FILE)
        try:
            return load(data, None, path=path)
        except KeyLoadError as error:
            if error.reason != "password-needed":
                raise
            password = first or self._given or self._opened.get(path) or self._ask(path)
            if password is None:
                error.hint = "give its password with --key-password-file or SCEPKIT_KEY_PASSWORD"
                raise
        try:
            loaded = load(data, password, path=path)
        except KeyLoadError as error:
            if error.reason == "password-wrong":
                error.hint = self._origin_of(password)
            raise
        self._opened[path] = password
        return loaded

    def _origin_of(self, password: bytes) -> str:
        """A hint that says where a password that does not fit has come from."""
        if password == self._for_new:
            name = "--new-key-password-file or SCEPKIT_NEW_KEY_PASSWORD"
        elif password == self._given:
            name = "--key-password-file or SCEPKIT_KEY_PASSWORD"
        else:
            return "it was typed at the terminal; try again"
        return f"it came from {name}; give the password that this key was encrypted with"

    def _ask(self, path: str) -> bytes | None:
        if not has_terminal(self._out):
            return None
        return ask_secret(f"password of {path}").encode() or None


def read_tls_key_password(out: Output, options: Mapping[str, Any]) -> str | None:
    """The password of the key of ``--tls-cert``; asked for when the key is encrypted."""
    given = file_password(
        "--tls-key-password-file", options["tls_key_password_file"], "SCEPKIT_TLS_KEY_PASSWORD"
    )
    path = options["tls_key"] or options["tls_cert"]
    try:
        load_key(read_input(path, limit=MAX_FILE), given, path=path)
    except KeyLoadError as error:
        # Whatever else is wrong is told by whoever uses the key.
        if error.reason == "password-wrong":
            error.hint = (
                "it came from --tls-key-password-file or SCEPKIT_TLS_KEY_PASSWORD; give the "
                "password that this key was encrypted with"
            )
            raise
        if error.reason == "password-needed" and has_terminal(out):
            return ask_secret(f"password of {path}") or None
    return None if given is None else given.decode()


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


def trust_of_chain(
    out: Output, beside: Iterable[x509.Certificate], chain: str | None
) -> CaVerifier | None:
    """Trust in the CAs above one's own certificate, where the options name none.

    Args:
        out: where to say it.
        beside: what else is in the certificate's file.
        chain: the file of its chain, if there is one.
    """
    from scepkit.cli.describe import is_ca
    from scepkit.core.trust import PinnedCertificate

    known = list(beside)
    if chain is not None and os.path.exists(chain):
        known += [*read_certificates(chain), *next_ca_beside(chain)]
    cas = [certificate for certificate in known if is_ca(certificate)]
    if not cas:
        return None
    out.step("trusting the CA certificates of the present chain")
    return PinnedCertificate(*cas)


def next_ca_beside(chain: str | None) -> tuple[x509.Certificate, ...]:
    """The CAs in next-ca.pem beside the chain: those that follow, if they were fetched in time.

    The CAs in the chain have vouched for them; who can write this file can write the chain too.
    """
    from scepkit.cli.describe import is_ca

    beside = os.path.join(os.path.dirname(chain or ""), "next-ca.pem")
    if chain is None or not os.path.exists(beside):
        return ()
    return tuple(certificate for certificate in read_certificates(beside) if is_ca(certificate))


def chain_beside(certificate: str) -> str | None:
    """The chain.pem in the directory of a certificate's file."""
    if certificate == STDIO:
        return None
    beside = os.path.join(os.path.dirname(certificate), "chain.pem")
    return beside if os.path.exists(beside) else None


def throwaway_requester() -> Requester:
    """Somebody who is nobody: a new key with a self-signed certificate, for a question."""
    from datetime import UTC, datetime

    from scepkit.core.csr_builder import build_csr
    from scepkit.core.enrolment import self_signed_requester
    from scepkit.keys import generate_key

    key = generate_key()
    return self_signed_requester(build_csr(key, "CN=scepkit"), key, now=datetime.now(UTC))


def read_p12_password(out: Output, path: str | None) -> bytes:
    """The password for a PKCS #12 file that is to be written.

    Raises:
        Unfit: there is none, and nobody to ask.
    """
    password = file_password("--p12-password-file", path, P12_VARIABLE)
    if password is None and has_terminal(out):
        password = ask_secret("new password for the PKCS #12 file").encode()
    if not password:
        raise Unfit(
            "a PKCS #12 file needs a password, and none was given",
            hint=f"give one with --p12-password-file or {P12_VARIABLE}",
        )
    return password
