"""Fixtures of the transport's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scepkit.transport import HttpOptions, HttpTransport


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    with HttpTransport(HttpOptions(timeout=10)) as made:
        yield made
