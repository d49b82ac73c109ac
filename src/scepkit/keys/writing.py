"""Writing keys and certificates, so that a crash at any moment leaves the old file or the new one.

The rules of this file: content goes into a new file beside the target, to the disk, and then under
its name in one step; without `force` that step cannot replace anything, also when two processes
race; nothing is ever written through a symbolic link or into a device.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from scepkit.errors import InputError, KeyLoadError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

    from scepkit.core.certificates import PrivateKey
    from scepkit.keys.loading import Path

# Windows has no O_NOFOLLOW and no O_CLOEXEC, and wants to be told that bytes are bytes.
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
    _NEW_FILE |= getattr(os, _flag, 0)

# File systems without hard links (FAT, some network and container mounts) say one of these.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def write_private_key(
    path: Path, key: PrivateKey, password: bytes | None = None, force: bool = False
) -> None:
    """Write a private key as PEM (PKCS#8), readable by its owner alone (mode 0600).

    :param password: encrypts the key; None leaves it in the clear.
    :param force: replace a file that is there; its owner and mode do not survive.
    :raises KeyLoadError: the file exists, is a symbolic link, or cannot be written.
    :raises InputError: the key cannot leave its token, or the password is empty.
    """
    write_file(path, private_key_pem(key, password), 0o600, force)


def private_key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """A private key as PEM (PKCS#8).

    :param password: encrypts the key; None leaves it in the clear.
    :raises InputError: the key cannot leave its token, or the password is empty.
    """
    try:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption(password))
    except (NotImplementedError, TypeError) as exc:
        raise InputError("this private key cannot leave the device it is in") from exc


def _encryption(password: bytes | None) -> KeySerializationEncryption:
    if password is None:
        return NoEncryption()
    if not password:
        raise InputError("the password for the private key is empty; leave it out or give one")
    return BestAvailableEncryption(password)


def write_file(path: Path, data: bytes, mode: int = 0o644, force: bool = False) -> None:
    """Write a whole file, in one step for everybody who looks at it.

    :param mode: permissions of the new file, less what the umask forbids.
    :param force: replace a file that is there; its owner and mode do not survive.
    :raises KeyLoadError: the file exists and `force` is off; it is a symbolic link or not an
        ordinary file; the directory is missing; the disk is full or may not be written.
    """
    target = os.fspath(path)
    _refuse_special(target, force)
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name[:200]}.{os.urandom(8).hex()}.tmp")
    try:
        _write_new(temporary, data, mode)
        try:
            _put_in_place(temporary, target, force)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        sync_directory(directory or os.curdir)
    except FileExistsError as exc:
        raise _exists(target) from exc
    except FileNotFoundError as exc:
        raise KeyLoadError(
            f"{target} cannot be written: there is no directory {directory or os.curdir}",
            path=target,
            hint="create the directory first",
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise KeyLoadError(f"{target!r} cannot be written: {reason}", path=target) from exc


def _exists(target: str) -> KeyLoadError:
    return KeyLoadError(
        f"{target} exists and is not overwritten",
        path=target,
        reason="exists",
        hint="use force, or another name",
    )


def _refuse_special(target: str, force: bool) -> None:
    try:
        mode = os.lstat(target).st_mode
    except (OSError, ValueError):
        return  # most often it is not there; whatever else it is, writing will tell
    if stat.S_ISLNK(mode):
        raise KeyLoadError(
            f"{target} is a symbolic link, which is not written through",
            path=target,
            hint="give the name of the file it leads to",
        )
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise KeyLoadError(f"{target} is {what} and cannot be written", path=target)
    if not force:
        raise _exists(target)


def _write_new(path: str, data: bytes, mode: int) -> None:
    """Make a file with this content and see it onto the disk; on failure there is none."""
    descriptor = os.open(path, _NEW_FILE, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _put_in_place(temporary: str, target: str, force: bool) -> None:
    if force:
        os.replace(temporary, target)
        return
    # A rename would replace what another process has put there in the meantime; a link fails.
    try:
        os.link(temporary, target)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _put_in_place_without_links(temporary, target)


def _put_in_place_without_links(temporary: str, target: str) -> None:
    """Take the name with an empty file, which only one process can, and then replace that."""
    os.close(os.open(target, _NEW_FILE, 0o600))
    try:
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise


def sync_directory(directory: str) -> None:
    """See the name onto the disk too; not every system can, and the content is safe anyway."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ------------------------------------------------------------------ encodings


PemItem: TypeAlias = (
    x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList
)


def pem(*items: PemItem) -> bytes:
    """Certificates, requests and CRLs as PEM blocks, one after the other."""
    return b"".join(item.public_bytes(Encoding.PEM) for item in items)


def to_pkcs12(
    name: str,
    key: PrivateKey,
    certificate: x509.Certificate,
    chain: Sequence[x509.Certificate],
    password: bytes,
) -> bytes:
    """A PKCS#12 file with a key, its certificate and the certificates above it.

    It is encrypted with AES-256 (PBES2), which Windows 10, macOS 15 and Java 8u301 or later read.

    :param name: the friendly name that programs show.
    :param chain: issuers of the certificate, nearest first.
    :raises InputError: the password is empty, the key cannot leave its token, or the certificate is
        not that of the key.
    """
    from cryptography.hazmat.primitives.serialization import pkcs12

    if not password:
        raise InputError("a PKCS#12 file needs a password; the one given is empty")
    if certificate.public_key() != key.public_key():
        raise InputError("the certificate does not belong to the private key")
    try:
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            cast("PKCS12PrivateKeyTypes", key),
            certificate,
            list(chain),
            BestAvailableEncryption(password),
        )
    except (NotImplementedError, TypeError) as exc:
        raise InputError("this private key cannot leave the device it is in") from exc
    except ValueError as exc:
        raise InputError(f"the PKCS#12 file cannot be made: {exc}") from exc
