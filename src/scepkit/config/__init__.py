"""TOML settings as frozen dataclasses.

The rule of this package: it knows forms (durations, secrets, tables by name) and no setting; what
settings there are is said by whoever reads them, such as `scepkit.server.settings`.
"""

from __future__ import annotations

from scepkit.config.loading import NAME, load, read
from scepkit.config.schema import REQUIRED, internal, setting
from scepkit.config.values import (
    Address,
    Network,
    Rate,
    Secret,
    format_duration,
    parse_address,
    parse_duration,
    parse_network,
    parse_rate,
    parse_size,
)

__all__ = [
    "NAME",
    "REQUIRED",
    "Address",
    "Network",
    "Rate",
    "Secret",
    "format_duration",
    "internal",
    "load",
    "parse_address",
    "parse_duration",
    "parse_network",
    "parse_rate",
    "parse_size",
    "read",
    "setting",
]
