"""The transcript runner: what it accepts, and that a transcript cannot pass by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.transcript import Transcript


@pytest.fixture
def transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    return Transcript(tmp_path, lambda _: {}, lambda _: None, monkeypatch)


def test_a_command_and_its_output(transcript: Transcript) -> None:
    transcript.run("# comment\n\n$ scepkit --version\nstdout '^scepkit [0-9.]+$'\nsilent stderr\n")


@pytest.mark.parametrize(
    "text",
    [
        "$ scepkit --version\nexit 1",
        "$ scepkit nonsense",
        "$ scepkit nonsense\nexit 2\nstderr 'no such text'",
        "$ scepkit --version\n! stdout scepkit",
        "$ scepkit --version\nsilent stdout",
        "$ scepkit --version\nstdut scepkit",
        "$ scepkit --version\njson a b",
        "$ openssl version",
        "exists nowhere",
        "! exists here\n-- here --\n",
        "same a b\n-- a --\n1\n-- b --\n2\n",
        "! mode a 600",
    ],
)  # fmt: skip
def test_what_is_not_so_fails(transcript: Transcript, text: str) -> None:
    with pytest.raises(AssertionError):
        transcript.run(text)


def test_files_are_laid_out_and_can_be_read_from_stdin(transcript: Transcript) -> None:
    transcript.run(
        "$ scepkit inspect - --json <here\nexit 7\njson error.kind file\n-- here --\nnothing\n"
    )
