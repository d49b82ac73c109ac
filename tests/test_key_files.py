"""Writing files that are complete or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit import keys
from scepkit.errors import InputError, KeyLoadError
from tests import pki

KEY = pki.key("ec256-a")
OTHER = pki.key("ec256-b")


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize("name", ["ec256-a", "rsa2048-a"])
def test_a_written_key_is_read_back(tmp_path: Path, name: str) -> None:
    keys.write_private_key(tmp_path / "key.pem", pki.key(name))
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    loaded = keys.read_key_file(tmp_path / "key.pem")
    assert loaded.public_key() == pki.key(name).public_key()
    assert names(tmp_path) == ["key.pem"]


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    keys.write_private_key(str(tmp_path / "key.pem"), KEY, b"geheim")
    assert b"ENCRYPTED" in (tmp_path / "key.pem").read_bytes()
    assert keys.read_key_file(tmp_path / "key.pem", b"geheim").public_key() == KEY.public_key()


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        keys.write_private_key(tmp_path / "key.pem", KEY, b"")
    assert names(tmp_path) == []


@pytest.mark.parametrize("mask", [0, 0o022, 0o027, 0o077])
def test_a_key_is_for_its_owner_alone_under_any_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        keys.write_private_key(tmp_path / "key.pem", KEY)
    assert mode(tmp_path / "key.pem") == 0o600


def test_a_replaced_key_loses_the_rights_others_had(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"old")
    (tmp_path / "key.pem").chmod(0o644)
    keys.write_private_key(tmp_path / "key.pem", KEY, force=True)
    assert mode(tmp_path / "key.pem") == 0o600


def test_a_key_is_never_readable_by_others_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def record(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", record)
    with umask(0):
        keys.write_private_key(tmp_path / "key.pem", KEY)
    assert seen[0] == 0o600


class TokenKey(rsa.RSAPrivateKey):
    """A key that stays where it is."""

    def private_bytes(self, *args: Any) -> bytes:
        raise NotImplementedError

    def public_key(self) -> rsa.RSAPublicKey:
        return pki.rsa_key().public_key()

    def sign(self, *args: Any, **kwargs: Any) -> bytes:
        raise NotImplementedError

    def decrypt(self, *args: Any) -> bytes:
        raise NotImplementedError

    @property
    def key_size(self) -> int:
        raise NotImplementedError

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        raise NotImplementedError

    def __copy__(self) -> TokenKey:
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenKey:
        raise NotImplementedError


def test_a_key_in_a_token_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot leave"):
        keys.write_private_key(tmp_path / "key.pem", TokenKey())
    certificate = pki.self_signed(key_name="rsa2048-a").certificate
    with pytest.raises(InputError, match="cannot leave"):
        keys.to_pkcs12("x", TokenKey(), certificate, [], b"geheim")


# ------------------------------------------------------------------ what is there already


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"old")
    with pytest.raises(KeyLoadError, match="exists") as caught:
        keys.write_private_key(path, KEY)
    assert (caught.value.path, caught.value.reason) == (str(path), "exists")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["key.pem"]


def test_force_replaces_an_existing_file(tmp_path: Path) -> None:
    keys.write_private_key(tmp_path / "key.pem", KEY)
    keys.write_private_key(tmp_path / "key.pem", OTHER, force=True)
    assert keys.read_key_file(tmp_path / "key.pem").public_key() == OTHER.public_key()
    assert names(tmp_path) == ["key.pem"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_is_written_through_a_symbolic_link(
    tmp_path: Path, force: bool, dangling: bool
) -> None:
    if not dangling:
        (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "key.pem").symlink_to("target")
    with pytest.raises(KeyLoadError, match="symbolic link"):
        keys.write_private_key(tmp_path / "key.pem", KEY, force=force)
    assert (tmp_path / "key.pem").is_symlink()
    assert dangling or (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "target").exists() is not dangling


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_is_not_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "key.pem").mkdir()
    with pytest.raises(KeyLoadError, match="is a directory"):
        keys.write_file(tmp_path / "key.pem", b"x", force=force)


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeyLoadError, match="not an ordinary file"):
        keys.write_file(tmp_path / "fifo", b"x", force=True)
    assert stat.S_ISFIFO((tmp_path / "fifo").lstat().st_mode)


def test_a_link_that_appears_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").write_bytes(b"old")
    real = os.fsync

    def attack(descriptor: int) -> None:
        real(descriptor)
        with contextlib.suppress(FileExistsError):
            (tmp_path / "key.pem").symlink_to("target")

    monkeypatch.setattr(os, "fsync", attack)
    with pytest.raises(KeyLoadError, match="exists"):
        keys.write_private_key(tmp_path / "key.pem", KEY)
    assert (tmp_path / "target").read_bytes() == b"old"
    keys.write_file(tmp_path / "other.pem", b"x")
    assert (tmp_path / "target").read_bytes() == b"old"


# ------------------------------------------------------------------ other files


@pytest.mark.parametrize(
    ("mask", "expected"), [(0, 0o644), (0o022, 0o644), (0o027, 0o640), (0o077, 0o600)]
)
def test_the_umask_limits_the_mode_of_other_files(tmp_path: Path, mask: int, expected: int) -> None:
    with umask(mask):
        keys.write_file(tmp_path / "cert.pem", b"x")
    assert mode(tmp_path / "cert.pem") == expected


def test_a_file_in_the_current_directory_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys.write_file("cert.pem", b"x" * 100_000)
    assert (tmp_path / "cert.pem").read_bytes() == b"x" * 100_000


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    keys.write_file(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent/key.pem", "there is no directory"),
        ("n" * 256, "cannot be written"),
        ("a\0b", "cannot be written"),
        ("file/key.pem", "cannot be written"),
        ("", "is a directory"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_named(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyLoadError, match=message):
        keys.write_file(f"{tmp_path}/{name}", b"x")
    assert names(tmp_path) == ["file"]


# ------------------------------------------------------------------ failures on the way


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("step", ["open", "fsync", "link", "replace"])
def test_a_failing_step_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, force: bool
) -> None:
    path = tmp_path / "key.pem"
    if force:
        path.write_bytes(b"old")
    monkeypatch.setattr(os, step, failing(errno.ENOSPC))
    if step == ("link" if force else "replace"):
        keys.write_private_key(path, KEY, force=force)  # a step of the other way
        return
    with pytest.raises(KeyLoadError, match="No space left"):
        keys.write_private_key(path, KEY, force=force)
    monkeypatch.undo()
    assert names(tmp_path) == (["key.pem"] if force else [])
    assert not force or path.read_bytes() == b"old"


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        keys.write_private_key(tmp_path / "key.pem", KEY)
    assert names(tmp_path) == []


def test_a_directory_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refuse_directories(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    keys.write_file(tmp_path / "cert.pem", b"x")
    assert (tmp_path / "cert.pem").read_bytes() == b"x"


def test_a_file_system_without_links_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    path = tmp_path / "key.pem"
    keys.write_private_key(path, KEY)
    assert keys.read_key_file(path).public_key() == KEY.public_key()
    assert mode(path) == 0o600
    with pytest.raises(KeyLoadError, match="exists"):
        keys.write_private_key(path, OTHER)
    assert names(tmp_path) == ["key.pem"]


def test_without_links_a_failing_rename_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "replace", failing(errno.EIO))
    with pytest.raises(KeyLoadError):
        keys.write_private_key(tmp_path / "key.pem", KEY)
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_exactly_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    for attempt in range(10):
        path = tmp_path / f"file{attempt}"
        start = threading.Barrier(8)
        written: list[bytes] = []

        def write(
            content: bytes, path: Path = path, start: Any = start, written: Any = written
        ) -> None:
            start.wait()
            with contextlib.suppress(KeyLoadError):
                keys.write_file(path, content)
                written.append(content)

        threads = [threading.Thread(target=write, args=(bytes([n]) * 9999,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert written == [path.read_bytes()]
    assert len(names(tmp_path)) == 10


KILLED = """
import os, signal, sys
from scepkit import keys

directory, force = sys.argv[1], sys.argv[2] == "force"

def die_at(step):
    count = 0
    def wrap(call):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return wrapped
    for name in ("open", "fsync", "link", "replace", "unlink", "close"):
        setattr(os, name, wrap(getattr(os, name)))

for step in range(1, 12):
    path = os.path.join(directory, f"file{step}")
    if force:
        with open(path, "wb") as file:
            file.write(b"old")
    child = os.fork()
    if child == 0:
        die_at(step)
        keys.write_file(path, b"new" * 10000, 0o600, force)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        content = b""
    assert content in (b"old" if force else b"", b"new" * 10000), (step, content[:10])
    print("killed" if os.WIFSIGNALED(status) else "done", content[:3].decode() or "none")
"""


@pytest.mark.parametrize(("way", "before"), [("force", "old"), ("create", "none")])
def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, way: str, before: str
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), way]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    results = done.stdout.splitlines()
    assert results[0] == f"killed {before}"
    assert results[-1] == "done new"
    assert f"killed {before}" in results
    assert "killed new" in results
    for path in tmp_path.iterdir():
        assert mode(path) == 0o600 or path.name.startswith("file")
