"""The socket that a server listens at.

The rule of this file: what a process that was killed left behind is no obstacle, and what somebody
else uses is not taken away.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from pathlib import Path

from scepkit.config import Address
from scepkit.errors import ConfigError

#: How many connections may wait to be accepted.
QUEUE = 1024
#: Of a Unix socket: its user, and the group that a reverse proxy is put into.
_PERMISSIONS = 0o660


#: What to do about it, by errno.
_HINTS = {
    errno.EADDRINUSE: "another program, or this server a second time, listens there: stop it, or "
    "choose another address with --bind",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 and [::] are all it has",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE): choose another with "
    "--bind, or put a proxy in front",
}
#: The same where the address is a path.
_PATH_HINTS = {
    errno.EADDRINUSE: "another program, or this server a second time, listens there: stop it, or "
    "choose another path",
    errno.ENOENT: "make the directory of the socket first; systemd does with RuntimeDirectory=",
    errno.EACCES: "the server's user has to be able to write in the directory of the socket; "
    "systemd makes one for it with RuntimeDirectory=",
}


def listen(address: Address) -> socket.socket:
    """Listen at an address.

    :raises ConfigError: that is not possible.
    """
    try:
        if address.path:
            return _listen_at_path(address.path)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        # "[::]" is for everybody, which includes IPv4.
        both = address.host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(
            (address.host, address.port), family=family, backlog=QUEUE, dualstack_ipv6=both
        )
    except OSError as error:
        # `create_server` says the address after it, which stands before it already.
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        hint = (_PATH_HINTS if address.path else _HINTS).get(error.errno or 0, "")
        text = f"cannot listen at {address}: {reason}"
        raise ConfigError(text, path="server.bind", hint=hint) from error


def _listen_at_path(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket that nobody listens at any more is left over from a process that was killed.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            except OSError:
                pass
        listening.bind(path)
        Path(path).chmod(_PERMISSIONS)
        listening.listen(QUEUE)
    except BaseException:
        listening.close()
        raise
    return listening


def bound_to(listening: socket.socket) -> str:
    """Where a socket listens, with the port that the system chose."""
    name = listening.getsockname()
    if isinstance(name, str):
        return str(Address(path=name))
    return str(Address(name[0], name[1]))


def allow_many_files() -> None:
    """Raise the number of open files: each connection is one."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
