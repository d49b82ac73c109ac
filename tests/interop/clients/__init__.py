"""SCEP clients that are not scepkit's library, each driven as its users drive it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.interop.clients.certmonger import Certmonger
from tests.interop.clients.client import (
    ITS_OWN,
    Abilities,
    Device,
    Endpoint,
    Enrolled,
    ForeignClient,
    Method,
    Options,
    Outcome,
    Refused,
    make_key,
)
from tests.interop.clients.own import Own
from tests.interop.clients.scepclient import ScepClient
from tests.interop.clients.strongswan import StrongSwan

#: All of them, by name.
CLIENTS: Mapping[str, ForeignClient] = {
    client.name: client for client in (ScepClient(), StrongSwan(), Certmonger(), Own())
}

__all__ = [
    "CLIENTS",
    "ITS_OWN",
    "Abilities",
    "Certmonger",
    "Device",
    "Endpoint",
    "Enrolled",
    "ForeignClient",
    "Method",
    "Options",
    "Outcome",
    "Refused",
    "ScepClient",
    "StrongSwan",
    "make_key",
]
