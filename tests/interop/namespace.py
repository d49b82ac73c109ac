"""A network namespace of its own for a server that listens on every address.

The namespace has a loopback interface and nothing else, so nobody but these tests reaches the
server.  Sockets made inside it belong to it: a client runs in a thread that has moved there, or as
a command under `nsenter`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.interop import foreign

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
#: Seconds a server may take until it accepts connections.
_START = 15.0


class Namespace:
    """The network namespace of a running process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that is inside; what it raises is raised here.

        Threads that it starts are inside too; connections from before stay where they were made.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._enter()
                results.append(function())
            except BaseException as exc:
                errors.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def command(self, *command: str | Path) -> list[str]:
        """The command that runs `command` inside."""
        nsenter = foreign.program("nsenter", "util-linux")
        return [nsenter, "--target", str(self.pid), "--net", *map(str, command)]

    def _enter(self) -> None:
        # os.setns is there from Python 3.12 only.
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(descriptor)


@contextmanager
def serve(command: Sequence[str | Path], port: int, log: Path) -> Iterator[Namespace]:
    """Run a server in a new namespace, until the block ends; its output goes to the file `log`."""
    unshare = foreign.program("unshare", "util-linux")
    ip = foreign.program("ip", "iproute2")
    if subprocess.run([unshare, "--net", "true"], capture_output=True, check=False).returncode:
        foreign.missing("network namespaces cannot be made here (they need root)")
    # Both shell and unshare replace themselves, so the process is the server in the end.
    script = f'{ip} link set lo up && exec "$@"'
    inside = [unshare, "--net", "--", "sh", "-c", script, "sh", *map(str, command)]
    with log.open("wb") as output:
        server = subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        namespace = Namespace(server.pid)
        _wait(server, namespace, port, log)
        yield namespace
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], namespace: Namespace, port: int, log: Path) -> None:
    """Until the server accepts connections, on its own loopback interface."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def ready() -> bool:
        # Until unshare is done the process is in our own namespace: do not look there.
        if Path(f"/proc/{server.pid}/ns/net").readlink() == ours:
            return False
        return namespace.run(accepts)

    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _START
    while server.poll() is None and time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text('utf-8', 'replace')}")
