"""What is read of the machine: processor time, memory, how long its disk takes, what it is.

Processor time is in seconds, memory in MB (10^6 bytes), everything else in milliseconds.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = bytes(4096)


def described() -> str:
    """What the figures were taken on, and with."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors,"
        f" Linux {platform.release()}; Python {platform.python_version()},"
        f" cryptography {version('cryptography')}, SQLite {sqlite3.sqlite_version}."
    )


@dataclass(frozen=True)
class Disk:
    """How long it takes to write 4 KiB and force them to the disk: half of the times, and 99 %."""

    p50: float
    p99: float


def disk(folder: Path, times: int = 300) -> Disk:
    """Measure it in a file of that folder."""
    file, took = folder / "forced", []
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for at in range(times):
            began = time.perf_counter()
            os.pwrite(descriptor, _BLOCK, at * len(_BLOCK))
            os.fdatasync(descriptor)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        file.unlink()
    took.sort()
    return Disk(took[times // 2], took[times * 99 // 100])


def floor_milliseconds(repeats: int = 300) -> float:
    """CPU of what it cannot do without: 3 private operations, 2 verifications, 1 encryption.

    The verifications are with a key that was not used before: that of the request.
    """
    key = rsa.generate_private_key(65537, 2048)
    pkcs1, sha256, data = padding.PKCS1v15(), hashes.SHA256(), bytes(300)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(data, pkcs1, sha256)
    encrypted = key.public_key().encrypt(bytes(16), pkcs1)

    def once() -> float:
        began = time.thread_time()
        public = load_der_public_key(spki)
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature, data, pkcs1, sha256)
        key.decrypt(encrypted, pkcs1)
        public.verify(signature, data, pkcs1, sha256)
        key.sign(data, pkcs1, sha256)
        public.encrypt(bytes(16), pkcs1)
        key.sign(data, pkcs1, sha256)
        return time.thread_time() - began

    return statistics.median(once() for _ in range(repeats)) * 1000


def cpu_seconds(pid: int) -> float:
    """CPU that a process and those below it have used."""
    total = 0.0
    for one in below(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def megabytes(pid: int) -> float:
    """What a process has in memory (RSS)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def most_megabytes() -> float:
    """The most that this process has had in memory (RSS) since its program began.

    `getrusage` would count what the process had that started it.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def below(pid: int) -> list[int]:
    """A process, its children, theirs, ..."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        found += map(int, children)
    return found
