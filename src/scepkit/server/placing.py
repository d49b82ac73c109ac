"""A directory that is there whole or not at all, whatever happens while it is made.

Where the directory does not exist, it is made beside its place and renamed.  Where it exists and is
empty (a mounted volume, a service's state directory), it is filled in a directory inside, and what
was made is moved out by name, one of the names last: where that one is, all is.

The rule of this file: everything is on the disk before anything has its name, and what an
interruption left is removed by the next attempt.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from scepkit.errors import KeyLoadError
from scepkit.server.founding_text import CONFIGURATION

_STAGING = ".scepkit-init"
_CONTENT = "content"
_PLACED = "placed.json"
# The root of a file system of its own has this in it.
_NOT_OURS = frozenset({"lost+found"})


def check_free(target: Path, *, last: str, beside: Collection[str] = ()) -> None:
    """Refuse early what `new_directory` would refuse: before anybody is asked for a passphrase.

    :raises KeyLoadError: `target` has other things in it, or is no directory.
    """
    if target.is_dir():
        _refuse_content(target, last, beside)
    elif target.exists():
        raise KeyLoadError(f"{target} is not a directory", path=str(target))
    else:
        _refuse_nowhere(target)


@contextlib.contextmanager
def new_directory(target: Path, *, last: str, beside: Collection[str] = ()) -> Iterator[Path]:
    """A directory to fill; what is in it when the block ends becomes the content of `target`.

    :param last: the name that appears after all others.
    :param beside: names that may be in `target` already.
    :raises KeyLoadError: `target` has other things in it, is no directory or cannot be written, or
        another process is making it.
    """
    if target.exists() and not target.is_dir():
        raise KeyLoadError(f"{target} is not a directory", path=str(target))
    try:
        if target.is_dir():
            with _inside(target, last, beside) as content:
                yield content
        else:
            with _outside(target) as content:
                yield content
    except OSError as error:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else target
        if Path(path) == _beside(target):
            path = target  # that it is made under another name is nobody's business
        reason = (error.strerror or str(error)).lower()
        raise KeyLoadError(f"{path}: {reason}", path=str(path)) from error


@contextlib.contextmanager
def _outside(target: Path) -> Iterator[Path]:
    _refuse_nowhere(target)
    staging = _beside(target)
    with _alone(staging, target):
        _empty(staging)
        yield staging
        _to_disk(staging)
        # Where an empty directory has appeared meanwhile it is replaced, another one refuses.
        staging.rename(target)
        _to_disk_itself(target.parent)


def _beside(target: Path) -> Path:
    """Where a directory is made that is not there yet."""
    return target.parent / f".{target.name}{_STAGING}"


def _refuse_nowhere(target: Path) -> None:
    """Refuse a directory in one that is not there."""
    if not target.parent.is_dir():
        raise KeyLoadError(
            f"{target} cannot be made: there is no directory {target.parent}",
            path=str(target),
            reason="missing",
            hint="make that one first",
        )


@contextlib.contextmanager
def _inside(target: Path, last: str, beside: Collection[str]) -> Iterator[Path]:
    staging = target / _STAGING
    _refuse_content(target, last, beside)
    with _alone(staging, target):
        _undo(target, staging, last)
        _refuse_content(target, last, beside)
        content = staging / _CONTENT
        content.mkdir(mode=0o700)
        yield content
        names = sorted((path.name for path in content.iterdir()), key=lambda name: name == last)
        (staging / _PLACED).write_text(json.dumps(names))
        _to_disk(staging)
        for name in names:
            (content / name).rename(target / name)
            _to_disk_itself(target)
        shutil.rmtree(staging)


def _refuse_content(target: Path, last: str, beside: Collection[str]) -> None:
    """Refuse a directory with something in it that an earlier attempt has not left."""
    found = {path.name for path in target.iterdir()} - _NOT_OURS - {_STAGING, *beside}
    if last not in found:
        found -= set(_placed(target / _STAGING))
    if CONFIGURATION in found:
        raise KeyLoadError(
            f"there is a CA in {target} already",
            path=str(target),
            hint=f"scepkit serve --config {target / CONFIGURATION} runs it; for another CA name a "
            "new directory",
        )
    if found:
        raise KeyLoadError(
            f"{target} is not empty: it holds {min(found)}",
            path=str(target),
            hint="name a new directory",
        )


def _placed(staging: Path) -> list[str]:
    """The names that an earlier attempt began to move out."""
    try:
        return [Path(name).name for name in json.loads((staging / _PLACED).read_text())]
    except (OSError, ValueError):
        return []


def _undo(target: Path, staging: Path, last: str) -> None:
    """Remove what an earlier attempt left."""
    if not (target / last).exists():
        for name in _placed(staging):
            with contextlib.suppress(FileNotFoundError):
                _remove(target / name)
    _empty(staging)


def _empty(directory: Path) -> None:
    # The list of what was moved out goes last: without it the rest would be foreign.
    for path in sorted(directory.iterdir(), key=lambda path: path.name == _PLACED):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def _alone(staging: Path, target: Path) -> Iterator[None]:
    """Make the directory `staging`, or take it over from a process that is gone."""
    staging.mkdir(mode=0o700, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(descriptor), staging.stat())
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise KeyLoadError(
                f"another scepkit is making {target}",
                path=str(target),
                hint="wait until it has ended",
            )
        try:
            yield
        except BaseException:
            # Only if it is still there: the last step may have been the one that failed.
            with contextlib.suppress(OSError):
                _undo_all(staging)
            raise
    finally:
        os.close(descriptor)


def _undo_all(staging: Path) -> None:
    if staging.is_dir() and not _placed(staging):
        shutil.rmtree(staging)


def write_all(directory: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Write files, and the directories they are in: those are for their owner alone.

    :param files: by their names relative to `directory`: content, mode.
    """
    for name, (content, mode) in files.items():
        path = directory / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _to_disk(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            _to_disk(path)
        else:
            _to_disk_itself(path)
    _to_disk_itself(directory)


def _to_disk_itself(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
