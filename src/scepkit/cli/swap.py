"""Replace a key and its certificate at one instant.

They are two files, and no system call renames two files at once.  A crash between two renames
would leave a key beside a certificate that is not its own, and the service that reads them down.

So both are led through one link for the moment of the change.  With ``key.pem`` and ``cert.pem``,
and their successors already written as ``key.pem.new`` and ``cert.pem.new``:

1. ``key.pem.old`` and ``cert.pem.old`` become second names of the present files;
2. ``.scepkit-swap/now`` leads to the old ones, ``key.pem`` and ``cert.pem`` lead through it;
3. one rename turns ``.scepkit-swap/now`` to the new ones: this is the change;
4. ``key.pem.new`` is renamed to ``key.pem`` and so on, and what was made in between is removed.

The rule of this file: after every single system call, what ``key.pem`` and ``cert.pem`` lead to
belongs together.  A test stops at each of them.  `finish` takes up a replacement that was
interrupted.

Where links cannot be made (FAT, Windows without the right to), two renames have to do.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

NEW = ".new"
_OLD = ".old"
_DIRECTORY = ".scepkit-swap"


def replace_together(paths: Sequence[str]) -> None:
    """Put ``P.new`` in the place of P for every P of `paths`, all at one instant.

    The files ``P.new`` exist and are on the disk.  A P that does not exist yet is fine.  A P that
    is a symbolic link stays one: what it leads to is replaced, and ``P.new`` stands beside that.
    The directory for the change is made beside the last of `paths`.

    Raises:
        OSError: a file could not be put in place; `finish` with the same path completes it.
    """
    targets = [os.path.realpath(path) for path in paths]
    swap = os.path.join(os.path.dirname(targets[-1]), _DIRECTORY)
    try:
        _prepare(swap, targets)
    except OSError:
        _remove(swap, targets)
        for target in targets:
            os.replace(target + NEW, target)
            _sync(os.path.dirname(target))
        return
    _complete(swap)


def finish(path: str) -> bool:
    """Complete an interrupted `replace_together` of which `path` was the last file.

    A replacement that had not begun to change anything is forgotten; the ``.new`` files stay.

    Returns:
        Whether `path` was changed.
    """
    swap = _directory_of(path)
    if not os.path.isdir(swap):
        return False
    if os.path.islink(os.path.join(swap, "now")):
        _complete(swap)
        return True
    _remove(swap, _targets(swap))
    return False


def successor(path: str) -> str:
    """Where the successor of the file `path` has to be written for `replace_together`."""
    return (os.path.realpath(path) if os.path.islink(path) else path) + NEW


def as_before(path: str, *, private: bool) -> None:
    """Give the successor of `path` the owner and the mode of `path`, as far as we may.

    A private file loses any right for others that its predecessor may have had.
    """
    try:
        before = os.stat(path)
    except FileNotFoundError:
        return
    new = successor(path)
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, before.st_uid, before.st_gid)
    mode = stat.S_IMODE(before.st_mode)
    with contextlib.suppress(OSError):
        os.chmod(new, mode & 0o770 if private else mode)


def _prepare(swap: str, targets: Sequence[str]) -> None:
    for name in ("", "old", "new"):
        os.makedirs(os.path.join(swap, name), exist_ok=True)
    for number, target in enumerate(targets):
        if os.path.exists(target):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target + _OLD)
            os.link(target, target + _OLD)
        _link(target + _OLD, os.path.join(swap, "old", str(number)))
        _link(target + NEW, os.path.join(swap, "new", str(number)))
    for name in ("old", "new", ""):
        _sync(os.path.join(swap, name))
    # From here on `finish` goes forward.
    os.symlink("old", os.path.join(swap, "now"))
    _sync(swap)


def _complete(swap: str) -> None:
    targets = _targets(swap)
    now = os.path.join(swap, "now")
    if os.readlink(now) == "old":
        for number, target in enumerate(targets):
            _link(os.path.join(now, str(number)), target)
        _sync(*map(os.path.dirname, targets))
        _link(os.path.join(swap, "new"), now)
        _sync(swap)
    for target in targets:
        with contextlib.suppress(FileNotFoundError):
            # It is missing when this was done before an interruption.
            os.replace(target + NEW, target)
    _sync(*map(os.path.dirname, targets))
    _remove(swap, targets)


def _remove(swap: str, targets: Sequence[str]) -> None:
    # The links to the targets go last: an interrupted removal has to find them again.
    if os.path.islink(os.path.join(swap, "now")):
        os.unlink(os.path.join(swap, "now"))
    for target in targets:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target + _OLD)
    for name in ("old", "new", ""):
        directory = os.path.join(swap, name)
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(directory):
                if not os.path.isdir(os.path.join(directory, entry)):
                    os.unlink(os.path.join(directory, entry))
            os.rmdir(directory)


def _targets(swap: str) -> list[str]:
    links = os.path.join(swap, "new")
    try:
        numbers = sorted((entry for entry in os.listdir(links) if entry.isdigit()), key=int)
    except FileNotFoundError:
        return []
    return [
        os.path.normpath(os.path.join(links, os.readlink(os.path.join(links, number))))
        .removesuffix(NEW)
        for number in numbers
    ]  # fmt: skip


def _directory_of(path: str) -> str:
    # While a replacement is under way, `path` itself leads into the directory we look for.
    seen = 0
    while os.path.islink(path) and seen < 40:
        seen += 1
        lead = os.path.join(os.path.dirname(path), os.readlink(path))
        through = os.path.dirname(os.path.dirname(lead))
        if os.path.basename(through) == _DIRECTORY:
            return through
        path = lead
    return os.path.join(os.path.dirname(os.path.realpath(path)), _DIRECTORY)


def _link(to: str, place: str) -> None:
    """Make `place` a symbolic link to `to`, in one step, whatever `place` was."""
    directory = os.path.dirname(place)
    temporary = place + ".link"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    # Relative, so that the directory can be seen under another path (a container's, say).
    os.symlink(os.path.relpath(to, os.path.realpath(directory)), temporary)
    os.replace(temporary, place)


def _sync(*directories: str) -> None:
    for directory in dict.fromkeys(directories):
        try:
            descriptor = os.open(directory, os.O_RDONLY)
        except OSError:
            continue  # Windows cannot open a directory
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
