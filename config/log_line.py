"""What a log line contains: the fields of a record, ours or a library's, with nothing personal in them, as JSON or for a console."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TextIO

import orjson

from config.plain import json_line, plain
from config.scrub import scrub_field, scrub_name, scrub_text

__all__ = ["Fields", "LineFormatter", "name_worker"]

#: The fields that every line has come first, so that lines look alike.
_FIRST: Final = ("timestamp", "level", "event", "logger")
#: The attributes that every record has; any other is a field that the record's writer gave as ``extra``.
_OF_EVERY_RECORD: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
#: The events of these loggers are our own words, and are not searched for the job's values.
_OUR_LOGGERS: Final = frozenset({"actors", "delivery", "workers"})
#: Fields whose text has several lines.
_OF_LINES: Final = frozenset({"exception", "stack_info", "where"})
#: uvicorn repeats its text here, with colours.
_NOT_SHOWN: Final = frozenset({"color_message"})


#: Fields that every line of this process gets beside its own.
_of_every_line: dict[str, str] = {}


def name_worker(worker: str) -> None:
    """From now on, name this worker in every line of this process that does not name one itself."""
    _of_every_line["worker"] = worker


class Fields(dict[str, Any]):
    """The fields of a line, which structlog hands to the standard library's logger as its message."""


class LineFormatter(logging.Formatter):
    """Formats lines of structlog and of the standard library alike, and never fails."""

    def __init__(self, stream: TextIO, *, console: bool) -> None:
        super().__init__()
        self._render = _console_renderer(stream) if console else _json_renderer(stream)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        try:
            return self._render(_redacted(self._fields(record) | _stamp(record)))
        except Exception as error:
            # A line with broken arguments must neither be lost nor end the job that wrote it.
            fields = {
                "event": f"log line could not be written: {type(error).__name__}",
                "template": str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__,
                "where": f"{record.pathname}:{record.lineno}",
            }
            return self._render(_redacted(fields | _stamp(record)))

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any]
        if isinstance(record.msg, Fields):
            fields = dict(record.msg)
        else:
            fields = {"event": record.getMessage()}
            fields |= {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}
            if record.stack_info:
                fields["stack_info"] = record.stack_info
        fields = _of_every_line | fields
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = self.formatException(record.exc_info)
        return fields


def _stamp(record: logging.LogRecord) -> dict[str, str]:
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return {
        "timestamp": f"{_second(second)}.{micros:06}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
    }


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    """Return a Unix time as text. Cached, since hundreds of lines are written in one second."""
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _redacted(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as plain values, without secrets and personal data."""
    line: dict[str, Any] = {key: fields.pop(key, "") for key in _FIRST}
    ours = str(line["logger"]).partition(".")[0] in _OUR_LOGGERS
    line["event"] = scrub_text(str(line["event"]), known=not ours)
    for key, value in fields.items():
        if key not in _NOT_SHOWN:
            line[scrub_name(key)] = scrub_field(key, value)
    return line


def _json_renderer(stream: TextIO) -> Callable[[dict[str, Any]], str]:
    """Return a function that writes one JSON object a line, in ASCII unless the stream's encoding is UTF-8."""
    if (stream.encoding or "utf-8").lower().replace("-", "") == "utf8":
        return lambda fields: json_line(orjson.dumps(fields).decode())
    return lambda fields: json_line(json.dumps(fields))


def _for_terminal(name: str, value: Any) -> Any:
    return plain(value, keep="\n\t" if name in _OF_LINES else "") if isinstance(value, str) else value


def _console_renderer(stream: TextIO) -> Callable[[dict[str, Any]], str]:
    """Return a function that writes a readable line in the stream's encoding."""
    from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415 - it loads rich, which JSON does not need

    render = ConsoleRenderer(
        # Rich tracebacks print local variables, and with them the people that the job was about.
        exception_formatter=plain_traceback,
        # https://no-color.org
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        sort_keys=False,
    )
    encoding = stream.encoding or "utf-8"

    def render_for_stream(fields: dict[str, Any]) -> str:
        shown = {plain(name): _for_terminal(name, value) for name, value in fields.items()}
        return str(render(None, shown["level"], shown)).encode(encoding, "backslashreplace").decode(encoding)

    return render_for_stream
