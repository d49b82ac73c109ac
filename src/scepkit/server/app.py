"""The server as an ASGI application: which address is answered by what.

The rule of this file: it only routes.  Any path under an address of SCEP is SCEP's (RFC 8894
section 4.1: "the CA SHOULD ignore the path"), because devices append names of programs to it.
"""

from __future__ import annotations

from starlette.routing import Route, Router

from scepkit.server.asking import Receive, Refusal, Scope, Send
from scepkit.server.front import Exchange, Front, Handler
from scepkit.server.monitoring import Monitor
from scepkit.server.publishing import Publisher
from scepkit.server.replies import Reply

#: The paths that clients of SCEP have built in (R87; Q02, Q06, Q34).
_OLD_PATHS = ("/cgi-bin/pkiclient.exe", "/certsrv/mscep/mscep.dll", "/certsrv/mscep")


class _Endpoint:
    """An ASGI application for one handler; it gets every method, also the ones it refuses."""

    def __init__(self, front: Front, handler: Handler) -> None:
        self._front = front
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front.answer(self._handler, scope, receive, send)


async def _not_found(exchange: Exchange) -> Reply:
    raise Refusal(404, "not found")


def create_app(front: Front, monitor: Monitor) -> Router:
    """The application; `front` has what changes on a reload.

    Nothing stands around the routes: `Front.answer` catches whatever is raised.
    """
    scep = _Endpoint(front, front.scep)

    def served(path: str, handler: Handler) -> Route:
        return Route(path, _Endpoint(front, handler))

    return Router(
        routes=[
            # Looked at in this order.
            Route("/scep/{rest:path}", scep),
            Route("/scep", scep),
            *(Route(path, scep) for path in _OLD_PATHS),
            *(Route(f"{path}/{{rest:path}}", scep) for path in _OLD_PATHS),
            served("/crl/{name}.crl", Publisher(front, "crl", ".crl")),
            served("/ca/{name}.cer", Publisher(front, "ca", ".cer")),
            served("/healthz", monitor.healthz),
            served("/readyz", monitor.readyz),
            served("/metrics", monitor.metrics),
        ],
        # An answer with a redirect is one that old clients do not follow.
        redirect_slashes=False,
        # Not a route: none matches a path with a line break.
        default=_Endpoint(front, _not_found),
    )
