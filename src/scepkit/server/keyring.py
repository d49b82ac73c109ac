"""The server's private keys: from files, or from wherever a function of the operator's has them.

The rule of this file: whatever goes wrong, also in that function, is a `KeyLoadError` that names
the key.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scepkit.core.certificates import PrivateKey
from scepkit.errors import KeyLoadError
from scepkit.keys import read_key_file
from scepkit.server.settings import Settings

#: Gives the key that a path stands for, or None when it is in a file after all.
KeyLoader = Callable[[Path, bytes | None], object]

_WHERE_IT_COMES_FROM = (
    "the passphrase comes from secrets.passphrase_file, SCEPKIT_PASSPHRASE, or the systemd "
    "credential `passphrase`"
)
#: The configuration has no password for keys, but a passphrase.
_PROBLEMS = {
    "password-needed": "is encrypted, and no passphrase was given",
    "password-wrong": "is not opened by the passphrase that was given",
}
_KINDS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)


def read_key(settings: Settings, path: Path) -> PrivateKey:
    """A private key of the server.

    :raises KeyLoadError: it cannot be had, or the passphrase does not open it.
    """
    if settings.secrets.key_loader is not None:
        key = _loaded(settings.secrets.key_loader, path, settings.passphrase)
        if key is not None:
            return key
    try:
        return read_key_file(path, settings.passphrase)
    except KeyLoadError as error:
        problem = _PROBLEMS.get(error.reason)
        if problem is None:
            raise
        raise KeyLoadError(
            f"{path} {problem}",
            path=error.path,
            reason=error.reason,
            hint=_WHERE_IT_COMES_FROM,
        ) from error


def _loaded(named: str, path: Path, passphrase: bytes | None) -> PrivateKey | None:
    load = _function(named, path)
    try:
        key = load(path, passphrase)
    except Exception as error:  # anything may be in it
        raise KeyLoadError(
            f"secrets.key_loader {named} gives no key for {path}: {type(error).__name__}: {error}",
            path=str(path),
        ) from error
    if key is None:
        return None
    if not isinstance(key, _KINDS):
        raise KeyLoadError(
            f"secrets.key_loader {named} gives {type(key).__name__} for {path}, expected an RSA, "
            "EC or Ed25519 private key as `cryptography` has them",
            path=str(path),
        )
    return key


def _function(named: str, path: Path) -> KeyLoader:
    module, _, name = named.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # anything may be in the module
        raise KeyLoadError(
            f"secrets.key_loader {named} cannot be imported: {type(error).__name__}: {error}",
            path=str(path),
            hint="install its module where scepkit is installed",
        ) from error
    return cast(KeyLoader, found)
