"""Settings that a test writes as they would stand in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scepkit.config import read
from scepkit.server.settings import Settings


def settings_of(
    raw: Mapping[str, object], directory: Path, environ: Mapping[str, str] | None = None
) -> Settings:
    """What `load_settings` makes of a file in that directory."""
    return replace(read(raw, Settings, directory=directory, environ=environ), directory=directory)
