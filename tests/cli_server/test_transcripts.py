"""Every transcript in `transcripts/` goes as it is written."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli_server.running import Conversation
from tests.cli_server.transcript import ServerTranscript

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_transcript_goes_as_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        conversation = Conversation(tmp_path, stack)
        ServerTranscript(tmp_path, conversation.start, conversation.change, monkeypatch).run(
            path.read_text()
        )
