"""The harnesses: a module for each, whose first line is its invariant.

`run(data)` ends in peace or raises a `ScepError`; whatever else it raises is a fault that was
found, and so is an input that costs more than `BOUNDS`.  `seeds()` is where the search begins,
`mutate` how an input is changed (by default as ASN.1), and `MEASURED` what lines are counted in.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuzz import grammar
from fuzz.bounds import Bounds

#: In the order of the way that foreign bytes take.
NAMES = (
    "ber",
    "signed",
    "enveloped",
    "request",
    "service",
    "reply",
    "query",
    "capabilities",
    "ca_certificates",
    "next_ca",
    "crl",
    "csr",
    "config",
    "keys",
    "pkcs12",
    "inspect",
    "texts",
)


@dataclass(frozen=True, slots=True)
class Harness:
    """One of the modules here, as values."""

    name: str
    invariant: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, random.Random], bytes]
    measured: tuple[str, ...]
    bounds: Bounds


def harness(name: str) -> Harness:
    """Load one; its imports are what a fuzzer wants to look into, hence only when asked for."""
    module = importlib.import_module(f"fuzz.harnesses.{name}")
    return Harness(
        name=name,
        invariant=(module.__doc__ or "").partition("\n")[0],
        run=module.run,
        seeds=module.seeds,
        mutate=getattr(module, "mutate", grammar.mutate),
        measured=module.MEASURED,
        bounds=getattr(module, "BOUNDS", Bounds()),
    )
