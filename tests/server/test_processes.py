"""The processes of a server, where the system has no room for another one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from typing import Any, NoReturn

import pytest

from scepkit.server.processes import Process, tried
from scepkit.server.signalling import SIGNALS

NOTHING: Any = None


def refuse() -> NoReturn:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def refuse_files() -> NoReturn:
    raise OSError(errno.EMFILE, "Too many open files")


def is_put_off(process: Process) -> bool:
    """Whether a process that is to be started now is not, and is to be started later."""
    before = time.monotonic()
    process.start(NOTHING, NOTHING, 1, [process])
    return process.pid == 0 and process.start_at > before


def test_a_process_for_which_there_is_no_room_is_started_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    link = socket.socketpair()
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(socket, "socketpair", lambda: link)
    assert is_put_off(Process("worker-1", 0, NOTHING))
    assert "cannot be started now" in caplog.text
    assert [end.fileno() for end in link] == [-1, -1]  # nothing of it stays open


def test_a_process_for_whose_link_there_are_no_files_is_started_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket, "socketpair", refuse_files)
    assert is_put_off(Process("worker-1", 0, NOTHING))
    assert "cannot be started now" in caplog.text


def test_what_cannot_be_tried_for_lack_of_room_has_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "fork", refuse)
    assert tried(lambda: None, 1, "reload failed") == 1
    assert "reload failed" in caplog.text


def test_signals_arrive_after_a_fork_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", refuse)
    tried(lambda: None, 1, "reload failed")
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(SIGNALS)
