"""Exports: a file that has its name is complete, and on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scepkit.cli.output import Output
from scepkit.cli.server.exporting import exported


def test_file_and_its_name_are_on_the_disk_before_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync, path = os.fsync, tmp_path / "old.jsonl"

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    with exported(Output(quiet=True), str(path), "jsonl") as sink:
        sink.add({"id": 1})
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    assert path.read_text() == '{"id":1}\n'
