"""The library's log lines: through `logging`, which is imported only where somebody hears them.

The rule of this file: importing `logging` takes 5 ms, a twentieth of a whole command.  Whoever
wants to read what is done has imported it, to say so.  For the others what is done is not worth the
time, and a warning is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

#: Called before a warning, which may be what imports `logging`: the moment to say where it goes.
#: Where nobody says so, Python writes it to stderr as it is.
before_warning: Callable[[], None] | None = None


def heard(name: str) -> Logger | None:
    """The logger `name` for what is done, or None when nobody has set up any logging."""
    found = _loggers.get(name)
    if found is None:
        # Not there either while another thread is still importing it.
        get_logger = getattr(sys.modules.get("logging"), "getLogger", None)
        if get_logger is not None:
            found = _loggers[name] = get_logger(name)
    return found


#: Kept, because `getLogger` takes a lock, and an enrolment has four steps that may be logged.
_loggers: dict[str, Logger] = {}


def warning(name: str, text: str, *arguments: object) -> None:
    """Log a warning, whether somebody has set up logging or not.

    :param name: the logger.
    :param text: what `Logger.warning` takes, with its `arguments`.
    """
    if before_warning is not None:
        before_warning()
    import logging

    logging.getLogger(name).warning(text, *arguments, stacklevel=2)
