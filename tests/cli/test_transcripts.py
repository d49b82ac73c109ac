"""Every transcript in `transcripts/` goes as it is written."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conversation import Conversation
from tests.cli.transcript import Transcript

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_transcript_goes_as_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        conversation = Conversation(tmp_path, stack)
        Transcript(tmp_path, conversation.start, conversation.change, monkeypatch).run(
            path.read_text()
        )


def test_every_command_has_transcripts_of_success_json_and_failure() -> None:
    from scepkit.cli.program import COMMANDS

    stems = {path.stem for path in FILES}
    for name in COMMANDS:
        for kind in ("", "-json", "-fails"):
            assert f"{name}{kind}" in stems
