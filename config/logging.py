"""One log for everything that runs in a process, ours and every library's, with nothing personal in it.

structlog and the standard library's logging end in the same handler; so do warnings and every exception that
nobody caught (`config.uncaught`). In JSON mode a line is one object with `timestamp`, `level`, `event` and
`logger`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import orjson
import structlog

from config.log_handler import LineHandler
from config.scrub import scrub_field, scrub_name, scrub_text
from config.uncaught import install_hooks, log_loop_exception

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["log_loop_exception", "setup_logging"]

# What every line has comes first, so that lines read alike.
_FIRST: Final = ("timestamp", "level", "event", "logger")
_NOT_SHOWN: Final = frozenset({"_record", "_from_structlog", "color_message"})


def setup_logging(
    format: Literal["auto", "json", "console"],  # noqa: A002 - the setting's name
    level: str,
    *,
    stream: TextIO | None = None,
) -> None:
    """Write every log line of this process to `stream` (stderr), from `level` up.

    `auto` is a readable console on a terminal, else JSON. Called again, it replaces what was set up before.
    """
    stream = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _fill_in_arguments,
            *_ADDED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = LineHandler(stream)
    handler.setFormatter(_Formatter(_console_renderer(stream) if console else _JSONRenderer(stream)))
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


def _fill_in_arguments(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """``log.info("%d jobs", n)``, as in stdlib; wrong arguments raise nothing in the caller, but are told."""
    arguments = event_dict.pop("positional_args", None)
    if arguments:
        try:
            event_dict["event"] = str(event_dict["event"]) % arguments
        except (TypeError, ValueError, KeyError) as error:
            event_dict["log_error"] = f"{type(error).__name__}: {error}"
    return event_dict


def _redact(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """The last processor before a line is rendered: plain values, no secret, nothing personal."""
    line: dict[str, Any] = {key: event_dict.pop(key) for key in _FIRST if key in event_dict}
    line["event"] = scrub_text(str(line.get("event", "")))
    for key, value in event_dict.items():
        if key not in _NOT_SHOWN:
            line[scrub_name(key)] = scrub_field(key, value)
    return line


_ADDED: Final[tuple[Processor, ...]] = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    # Not "iso": it leaves the fraction out at a full second.
    structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%fZ", utc=True),
)


class _JSONRenderer:
    """One JSON object a line; ASCII alone where the stream's encoding is not UTF-8."""

    def __init__(self, stream: TextIO) -> None:
        self._utf8 = (stream.encoding or "utf-8").lower().replace("-", "") == "utf8"

    def __call__(self, _: WrappedLogger, __: str, event_dict: EventDict) -> str:
        if self._utf8:
            return orjson.dumps(event_dict).decode()
        return json.dumps(event_dict)


def _console_renderer(stream: TextIO) -> Processor:
    render = structlog.dev.ConsoleRenderer(
        # Rich tracebacks print local variables, and with them whatever the job was about.
        exception_formatter=structlog.dev.plain_traceback,
        # https://no-color.org
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        sort_keys=False,
    )
    encoding = stream.encoding or "utf-8"

    def render_for_stream(logger: WrappedLogger, name: str, event_dict: EventDict) -> str:
        text = render(logger, name, event_dict)
        return str(text).encode(encoding, "backslashreplace").decode(encoding)

    return render_for_stream


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders lines of structlog and of stdlib alike, and never fails."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer
        super().__init__(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_ADDED],
            processors=[structlog.processors.format_exc_info, _redact, renderer],
        )

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:
            # A line with broken arguments must neither be lost nor end the job that wrote it.
            line = {
                "event": f"log line could not be written: {type(error).__name__}",
                "level": record.levelname.lower(),
                "logger": record.name,
                "template": str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__,
                "where": f"{record.pathname}:{record.lineno}",
            }
            line = _ADDED[2](None, "", line)  # type: ignore[assignment]
            return str(self._renderer(None, record.levelname.lower(), _redact(None, "", dict(line))))
