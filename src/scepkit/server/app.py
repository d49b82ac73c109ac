"""The server as an ASGI application: which address is answered by what.

The rule of this file: it only routes.  Any path under an address of SCEP is SCEP's (RFC 8894
section 4.1: "the CA SHOULD ignore the path"), because devices append names of programs to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from scepkit.server.asking import Receive, Refusal, Scope, Send
from scepkit.server.front import Exchange, Front, Handler
from scepkit.server.monitoring import Monitor
from scepkit.server.publishing import Publisher
from scepkit.server.replies import Reply

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Ours, and the paths that clients of SCEP have built in (R87; Q02, Q06, Q34).
_SCEP = ("/scep", "/cgi-bin/pkiclient.exe", "/certsrv/mscep/mscep.dll", "/certsrv/mscep")
_BELOW_SCEP = tuple(f"{path}/" for path in _SCEP)


async def _not_found(exchange: Exchange) -> Reply:
    raise Refusal(404, "not found")


def create_app(front: Front, monitor: Monitor) -> Application:
    """The application; `front` has what changes on a reload.

    Nothing stands around the handlers: `Front.answer` catches whatever is raised.  There are no
    redirects, which old clients do not follow.
    """
    crl, ca = Publisher(front, "crl", ".crl"), Publisher(front, "ca", ".cer")
    pages: dict[str, Handler] = {
        "/healthz": monitor.healthz,
        "/readyz": monitor.readyz,
        "/metrics": monitor.metrics,
    }

    def handler_of(path: str) -> Handler:
        small = path.lower()  # as on Windows: CertSrv is what NDES's own pages say
        if small in _SCEP or (small.startswith(_BELOW_SCEP) and "\n" not in path):
            return front.scep
        if _is_file(path, "/crl/", ".crl"):
            return crl
        if _is_file(path, "/ca/", ".cer"):
            return ca
        return pages.get(path, _not_found)

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return front.answer(handler_of(scope["path"]), scope, receive, send)

    return answer


def _is_file(path: str, folder: str, suffix: str) -> bool:
    """Whether a path is that of a file right in a folder, with a name before its suffix."""
    if not (path.startswith(folder) and path.endswith(suffix)):
        return False
    name = path.removeprefix(folder).removesuffix(suffix)
    return name != "" and "/" not in name
