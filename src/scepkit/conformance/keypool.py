"""The keys of requesters.

The rule of this file: a key that a certificate was issued for is not used for another request, as a
CA may refuse a key that it knows; any other is used again, as making one takes time.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from scepkit.core.certificates import PrivateKey


def _generated(spec: str) -> PrivateKey:
    from scepkit.keys.generating import generate_key

    return generate_key(spec)


class KeyPool:
    """Keys by type, as `keys.parse_key_spec` names them; usable from several threads.

    :param make: makes a key of a type.

    Attributes:
        usual: the type that is taken where a test does not care.
    """

    def __init__(self, make: Callable[[str], PrivateKey] = _generated) -> None:
        self.usual = "rsa:2048"
        self._make = make
        self._lock = threading.Lock()
        self._unused: defaultdict[str, list[PrivateKey]] = defaultdict(list)
        self._taken: list[tuple[str, PrivateKey]] = []

    def take(self, spec: str = "") -> PrivateKey:
        """A key that nobody else has until `give_back`."""
        spec = spec or self.usual
        with self._lock:
            key = self._unused[spec].pop() if self._unused[spec] else None
        if key is None:
            key = self._make(spec)
        with self._lock:
            self._taken.append((spec, key))
        return key

    def give_back(self, *, used: bool) -> None:
        """A test is over: what it took may be taken again, unless certificates were issued."""
        with self._lock:
            taken, self._taken = self._taken, []
            if not used:
                for spec, key in taken:
                    self._unused[spec].append(key)
