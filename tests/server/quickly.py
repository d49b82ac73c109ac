"""How long something took, for tests: in processor time, which neighbours do not change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quickly(seconds: float = 1.0) -> Iterator[None]:
    """Fails where what is within costs this process, with all its threads, that much or more."""
    began = time.process_time()
    yield
    spent = time.process_time() - began
    assert spent < seconds, f"{spent:.2f} s of processor time, expected less than {seconds}"
