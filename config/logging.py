"""One log for everything that runs in a process, ours and every library's, with nothing personal in it.

structlog and the standard library's logging end in the same handler; so do warnings and every exception that
nobody caught (`config.uncaught`). In JSON mode a line is one object with `timestamp`, `level`, `event` and
`logger`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TextIO

from config.log_handler import LineHandler
from config.log_line import Fields, LineFormatter
from config.uncaught import install_hooks, log_loop_exception

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

__all__ = ["log_loop_exception", "setup_logging"]


def setup_logging(
    format: Literal["auto", "json", "console"],  # noqa: A002 - the setting's name
    level: str,
    *,
    stream: TextIO | None = None,
    with_structlog: bool = True,
) -> None:
    """Write every log line of this process to `stream` (stderr), from `level` up.

    `auto` is a readable console on a terminal, else JSON. Called again, it replaces what was set up before. Where only the standard
    library's loggers write, set `with_structlog` to False: structlog loads rich, together 10 MB.
    """
    if with_structlog:
        _configure_structlog()
    stream = sys.stderr if stream is None else stream
    handler = LineHandler(stream)
    console = format == "console" or (format == "auto" and stream.isatty())
    handler.setFormatter(LineFormatter(stream, console=console))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Loggers with handlers of their own (uvicorn's, Dramatiq's) would write lines past this one.
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers = []
            logger.propagate = True
    logging.captureWarnings(capture=True)
    install_hooks()


def _at(level: int) -> Callable[[_Straight, Fields, Any], None]:
    """Return the method that hands over a line of this level."""

    def hand_over(self: _Straight, fields: Fields, exc_info: Any = None) -> None:
        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif exc_info and not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
        name = self._logger.name
        self._logger.handle(logging.LogRecord(name, level, name, 0, fields, None, exc_info or None))

    return hand_over


class _Straight:
    """Hands structlog's lines to the handlers of the standard library's logger of this name.

    The logger's own methods would search all of structlog's frames for the line of code that wrote each line, which we do not show.
    """

    def __init__(self, name: str | None = None) -> None:
        self._logger = logging.getLogger(name)

    @property
    def disabled(self) -> bool:
        """Whether the logger was switched off."""
        return self._logger.disabled

    def getEffectiveLevel(self) -> int:  # noqa: N802 - stdlib's name
        """Return the lowest level that is written."""
        return self._logger.getEffectiveLevel()

    debug = _at(logging.DEBUG)
    info = _at(logging.INFO)
    warning = _at(logging.WARNING)
    error = _at(logging.ERROR)
    critical = _at(logging.CRITICAL)
    #: By then structlog has set `exc_info`.
    exception = error


def _configure_structlog() -> None:
    import structlog  # noqa: PLC0415 - see above

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _fill_in_arguments,
            structlog.processors.StackInfoRenderer(),
            _hand_over,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=_Straight,
        cache_logger_on_first_use=True,
    )


def _fill_in_arguments(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Fill in ``log.info("%d jobs", n)``, as stdlib does. Wrong arguments do not raise in the caller: the line reports them."""
    arguments = event_dict.pop("positional_args", None)
    if arguments:
        try:
            event_dict["event"] = str(event_dict["event"]) % arguments
        except (TypeError, ValueError, KeyError) as error:
            event_dict["log_error"] = f"{type(error).__name__}: {error}"
    return event_dict


def _hand_over(_: WrappedLogger, __: str, event_dict: EventDict) -> tuple[tuple[Fields], dict[str, Any]]:
    """Hand the fields to the standard library's logger as its message; `LineFormatter` makes a line of them."""
    error = event_dict.pop("exc_info", None)
    return (Fields(event_dict),), {"exc_info": error}
