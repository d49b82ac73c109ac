"""That a cell says ok for what it is about: how each message came, from our server's log."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scepkit.core.algorithms import Cipher
from tests.interop.authority import Authority
from tests.interop.matrix.cells import ALIASES, Trial

_FIELD = re.compile(r"(\w+)=(\S+)")


def deviations(authority: Authority, made: Mapping[int, Trial]) -> list[str]:
    """The certificates that were not asked for in the way of their trial, by serial number."""
    logged = _logged(authority)
    wrong = []
    for serial, trial in made.items():
        if serial not in logged:
            authority.server.wait_for(re.compile(rf" serial={serial:x} "))
            logged = _logged(authority)
        came = logged[serial]
        if not _fits(trial, came):
            how = ", ".join(came[word] for word in ("cipher", "digest", "method"))
            wrong.append(f"{trial.name} came with {how}")
    return wrong


def _fits(trial: Trial, came: Mapping[str, str]) -> bool:
    if trial.operation in ALIASES:
        return came["cipher"] == Cipher.DES_CBC.value
    wanted = trial.suite
    if wanted.cipher is Cipher.AES128_CBC:
        same = came["cipher"].startswith("aes")
    else:
        same = came["cipher"] == wanted.cipher.value
    return same and (came["digest"], came["method"]) == (wanted.digest.value, wanted.method)


def _logged(authority: Authority) -> dict[int, dict[str, str]]:
    """The newest line about each certificate that was sent to somebody."""
    found = {}
    for line in authority.server.lines:
        fields = dict(_FIELD.findall(line))
        if "messageType" in fields and "serial" in fields:
            found[int(fields["serial"], 16)] = fields
    return found
