"""Replacing a key and its certificate at one instant, stopped after every system call."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scepkit.cli import swap

CALLS = ("link", "symlink", "replace", "unlink", "makedirs", "rmdir", "open", "fsync")


class PowerCut(BaseException):
    """The machine stops here."""


class Machine:
    """The `os` module of a machine that stops after a number of calls that change something."""

    path = os.path

    def __init__(self, calls_left: int) -> None:
        self.calls_left = calls_left

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(real) if name in CALLS else real

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self.calls_left == 0:
                raise PowerCut
            self.calls_left -= 1
            return real(*args, **options)

        return call


def lay_out(tmp_path: Path, *, apart: bool = False, chain: bool = True) -> list[str]:
    directory = tmp_path / "certs"
    directory.mkdir(parents=True)
    private = tmp_path / "private" if apart else directory
    private.mkdir(exist_ok=True)
    paths = [private / "key.pem", directory / "cert.pem", directory / "chain.pem"]
    for path in paths:
        if path.name != "chain.pem" or chain:
            path.write_text("old")
        path.with_name(path.name + ".new").write_text("new")
    return [str(path) for path in paths]


def contents(paths: list[str]) -> set[str]:
    return {Path(path).read_text() for path in paths if Path(path).exists()}


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_all_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    paths = lay_out(tmp_path)
    swap.replace_together(paths)
    assert contents(paths) == {"new"}
    assert names(tmp_path / "certs") == ["cert.pem", "chain.pem", "key.pem"]
    assert not any(Path(path).is_symlink() for path in paths)


def steps(tmp_path: Path, *, apart: bool) -> int:
    machine = Machine(10_000)
    paths = lay_out(tmp_path, apart=apart)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swap, "os", machine)
        swap.replace_together(paths)
    return 10_000 - machine.calls_left


@pytest.mark.parametrize("apart", [False, True], ids=["one-directory", "two-directories"])
def test_key_and_certificate_belong_together_wherever_it_stops(tmp_path: Path, apart: bool) -> None:
    changed = False
    for stop in range(steps(tmp_path / "count", apart=apart)):
        place = tmp_path / str(stop)
        paths = lay_out(place, apart=apart)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(swap, "os", Machine(stop))
            with pytest.raises(PowerCut):
                swap.replace_together(paths)
        found = contents(paths)
        assert len(found) == 1, f"mixed after {stop} calls"
        assert all(Path(path).exists() for path in paths)
        assert changed <= (found == {"new"}), f"changed back after {stop} calls"
        changed = found == {"new"}

        swap.finish(paths[-1])
        assert len(contents(paths)) == 1
        assert not any(Path(path).is_symlink() for path in paths)
        left = {Path(name).name for name in names(place)} - {"certs", "private"}
        if contents(paths) == {"new"}:
            assert left == {"key.pem", "cert.pem", "chain.pem"}
        else:
            assert ".scepkit-swap" not in left
            assert {"key.pem.new", "cert.pem.new", "chain.pem.new"} <= left
        # And it can be done again.
        for path in paths:
            Path(path + ".new").write_text("newer")
        swap.replace_together(paths)
        assert contents(paths) == {"newer"}
    assert changed


def test_an_interrupted_completion_can_itself_be_interrupted(tmp_path: Path) -> None:
    total = steps(tmp_path / "count", apart=False)
    for first in range(0, total, 3):
        for second in range(0, total - first, 2):
            place = tmp_path / f"{first}-{second}"
            paths = lay_out(place)
            for stop, act in (
                (first, lambda: swap.replace_together(paths)),  # noqa: B023
                (second, lambda: swap.finish(paths[-1])),  # noqa: B023
            ):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(swap, "os", Machine(stop))
                    with contextlib.suppress(PowerCut):
                        act()
                assert len(contents(paths)) == 1
            swap.finish(paths[-1])
            assert len(contents(paths)) == 1
            assert not any(Path(path).is_symlink() for path in paths)


def test_a_file_that_was_not_there_appears_with_the_others(tmp_path: Path) -> None:
    paths = lay_out(tmp_path, chain=False)
    swap.replace_together(paths)
    assert [Path(path).read_text() for path in paths] == ["new"] * 3


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    paths = lay_out(tmp_path)
    real = tmp_path / "elsewhere" / "router.key"
    real.parent.mkdir()
    real.write_text("old")
    key = Path(paths[0])
    key.unlink()
    key.symlink_to("../elsewhere/router.key")
    Path(swap.successor(paths[0])).write_text("new")
    swap.replace_together(paths)
    assert key.is_symlink()
    assert real.read_text() == "new"
    assert not real.is_symlink()


def test_without_links_the_files_are_renamed_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    paths = lay_out(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    swap.replace_together(paths)
    assert contents(paths) == {"new"}
    assert names(tmp_path / "certs") == ["cert.pem", "chain.pem", "key.pem"]


def test_nothing_to_finish_is_no_error(tmp_path: Path) -> None:
    paths = lay_out(tmp_path)
    assert not swap.finish(paths[-1])
    assert contents(paths) == {"old"}


def test_the_successor_takes_over_the_mode_but_no_rights_for_others(tmp_path: Path) -> None:
    paths = lay_out(tmp_path)
    Path(paths[0]).chmod(0o644)
    Path(paths[1]).chmod(0o640)
    Path(paths[0] + ".new").chmod(0o600)
    swap.as_before(paths[0], private=True)
    swap.as_before(paths[1], private=False)
    assert stat.S_IMODE(Path(paths[0] + ".new").stat().st_mode) == 0o640
    assert stat.S_IMODE(Path(paths[1] + ".new").stat().st_mode) == 0o640
