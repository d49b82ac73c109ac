"""A new directory appears whole or not at all: the process is killed before each system call."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scepkit.errors import KeyLoadError
from scepkit.server.placing import new_directory, write_all

FILES = {
    "keys/a.key": (b"secret", 0o600),
    "keys/a.pem": (b"public", 0o644),
    "data.db": (b"rows", 0o600),
    "main.toml": (b"x = 1\n", 0o644),
}
_CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}


def make(target: Path) -> None:
    with new_directory(target, last="main.toml") as directory:
        write_all(directory, FILES)


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


EXPECTED = {name: data for name, (data, _) in FILES.items()}


def killed_at(call: int, target: Path) -> bool:
    """Make the directory in another process that ends before its call number `call`."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, _: object) -> None:
            nonlocal count
            if event in _CALLS:
                count += 1
                if count == call:
                    os._exit(9)

        try:
            sys.addaudithook(hook)
            make(target)
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_a_new_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    make(tmp_path / "ca")
    assert content(tmp_path / "ca") == EXPECTED
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "ca").rglob("*")}
    assert modes["keys"] == 0o700
    assert modes["a.key"] == modes["data.db"] == 0o600
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_a_killed_attempt_leaves_all_or_nothing_and_can_be_repeated(
    tmp_path: Path, exists: bool
) -> None:
    call = 0
    while True:
        call += 1
        target = tmp_path / str(call) / "ca"
        target.parent.mkdir()
        if exists:
            target.mkdir()
        killed = killed_at(call, target)
        complete = (target / "main.toml").exists()
        if complete:
            placed = content(target)
            assert EXPECTED.items() <= placed.items()
        else:
            make(target)
            assert content(target) == EXPECTED
            assert [path.name for path in target.parent.iterdir()] == ["ca"]
        if not killed:
            assert complete
            break
    assert call > 15


def test_attempts_that_are_killed_again_and_again_come_to_an_end(tmp_path: Path) -> None:
    target = tmp_path / "ca"
    target.mkdir()
    call = 3
    while not (target / "main.toml").exists():
        killed_at(call, target)
        call += 1
    assert EXPECTED.items() <= content(target).items()


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(KeyLoadError, match=r"is not empty: it holds mine\.txt"):
        make(tmp_path)
    assert content(tmp_path) == {"mine.txt": b"dear"}


def test_a_finished_directory_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(KeyLoadError, match="is not empty"):
        make(tmp_path)
    assert content(tmp_path) == EXPECTED


def test_what_an_error_interrupts_leaves_nothing(tmp_path: Path) -> None:
    for target in (tmp_path / "new", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ZeroDivisionError), new_directory(target, last="x") as directory:
            write_all(directory, FILES)
            _ = 1 / 0
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    with (
        new_directory(tmp_path / "ca", last="main.toml") as directory,
        pytest.raises(KeyLoadError, match="another scepkit is making"),
    ):
        write_all(directory, FILES)
        make(tmp_path / "ca")
    assert content(tmp_path / "ca") == EXPECTED


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("")
    with pytest.raises(KeyLoadError):
        make(tmp_path / "ca")
    with pytest.raises(KeyLoadError, match="there is no directory") as caught:
        make(tmp_path / "nowhere" / "ca")
    assert "scepkit-init" not in str(caught.value)


def test_what_may_be_beside_stays(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "waiting").mkdir()
    with new_directory(tmp_path, last="main.toml", beside=("waiting",)) as directory:
        write_all(directory, FILES)
    assert {path.name for path in tmp_path.iterdir()} == {
        "lost+found", "waiting", "keys", "data.db", "main.toml",
    }  # fmt: skip
