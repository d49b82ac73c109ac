"""Invariant: any file is settings, or a list of what is wrong with it, each on one line."""

from __future__ import annotations

import atexit
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from scepkit.errors import ConfigErrors
from scepkit.server.reference import EXAMPLE
from scepkit.server.settings import Settings, load_settings

MEASURED = (
    "scepkit.config.loading",
    "scepkit.config.schema",
    "scepkit.config.values",
    "scepkit.server.settings",
    "scepkit.server.profile_settings",
    "scepkit.server.auth_settings",
    "scepkit.server.parsing",
)

_PLACE = Path(mkdtemp(prefix="scepkit-fuzz-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
_FILE = _PLACE / "scepkit.toml"
_LEAST = """[secrets]
challenge_key = "kkkkkkkkkkkkkkkk"
[ca.main]
key = "k"
certificate = "c"
[profile.default]
"""
_WORDS = [
    *(word.encode() for word in (EXAMPLE + _LEAST).split()),
    b"true", b"-1", b"1e999", b"nan", b"0x10", b"9" * 40, b"1979-05-27", b"'''", b'"\\u0000"',
    b"[]", b"{}", b"[[", b"]]", b"\n", b"=", b".", b'"', b"[", b"]", b"{a=1}", b"[1, 'a']", b"''",
    b"\\",
    b'"P1D"', b'"-1h"', b'"1.5d"', b'"::1"', b'"[::1]:80"', b'"unix:"', b'"http://[::"',
    b'"(a+)+$"', b'"CN=a,"', b'"1.2.3"', b'"0/0"', b'"10GB"', b'"1/s"', "\u00e9\u202e".encode(),
    b"\xff",
]  # fmt: skip


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        assert isinstance(load_settings(_FILE, {}), Settings)
    except ConfigErrors as error:
        if not error.errors or any("\n" in str(one) for one in error.errors):
            raise AssertionError("what is wrong is not shown on a line each") from error
        raise


def seeds() -> Iterator[bytes]:
    # With the secrets in it: there are no files.
    yield re.sub(r"(\w+)_file = .*", r'\1 = "kkkkkkkkkkkkkkkk"', EXAMPLE).encode()
    yield _LEAST.encode()
    # Every setting of the reference, with a value of the wrong kind.
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    for section in page.read_text("utf-8").split("\n## ")[1:]:
        title = section.partition("\n")[0].strip("`").replace("NAME", "default")
        names = re.findall(r"^\* \*\*`(\w+)`", section, re.MULTILINE)
        if title.startswith("[") and names:
            lines = [title, *(f'{name} = "1"' for name in names)]
            yield (_LEAST + "\n".join(lines)).encode()


def mutate(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    words = lines[at].split(b" ")
    match chance.randrange(6):
        case 0:
            words[chance.randrange(len(words))] = chance.choice(_WORDS)
            lines[at] = b" ".join(words)
        case 1:
            del lines[at]
        case 2:
            lines.insert(chance.randrange(len(lines)), lines[at])
        case 3:
            words.insert(chance.randrange(len(words) + 1), chance.choice(_WORDS))
            lines[at] = b" ".join(words)
        case 4:
            lines[at] = lines[at].rpartition(b"=")[0] + b"= " + chance.choice(_WORDS)
        case _:
            line = bytearray(lines[at] or b" ")
            line[chance.randrange(len(line))] = chance.randrange(256)
            lines[at] = bytes(line)
    return b"\n".join(lines)
