"""What the library logs, said on stderr like everything else.

The rule of this file: `logging` is not imported for a command that has nothing to warn of and was
not asked to tell its steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from scepkit import logs
from scepkit.cli.output import Output

if TYPE_CHECKING:
    from logging import Handler, Logger, LogRecord


#: Those of the client.  A server that is started from a command has its own ways.
_LOGGERS = ("scepkit.client", "scepkit.transport")


class LogLines:
    """While this context is open, `out` says what the client logs.

    Warnings always; with ``-v`` also the steps and the HTTP exchanges.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._restore: list[Callable[[], None]] = []

    def __enter__(self) -> LogLines:
        if self._out.verbosity or "logging" in sys.modules:
            self._attach()
        else:
            logs.before_warning = self._attach
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logs.before_warning = None
        for restore in self._restore:
            restore()

    def _attach(self) -> None:
        import logging

        say = self._say

        class Speaking(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                say(record)

        logs.before_warning = None
        handler = Speaking()
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            self._restore.append(partial(_reset, logger, logger.level, logger.propagate, handler))
            logger.setLevel(logging.DEBUG if self._out.verbosity else logging.WARNING)
            logger.propagate = False
            logger.addHandler(handler)

    def _say(self, record: LogRecord) -> None:
        import logging

        say = self._out.warn if record.levelno >= logging.WARNING else self._out.step
        say(record.getMessage())


def _reset(logger: Logger, level: int, propagate: bool, handler: Handler) -> None:
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate
