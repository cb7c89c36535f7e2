"""Import a library without the optional parts that it loads only because they happen to be installed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

__all__ = ["SPARED", "spared"]

#: What our long-running processes do without: 7 MB each, and a quarter of the time that a worker takes to start.
SPARED: Final = (
    # structlog's coloured tracebacks. They print local variables, so no log line of ours may use them.
    "rich",
    "better_exceptions",
    # redis-py's metrics of its own. Spans (workers/tracing.py) need the API of OpenTelemetry alone.
    "opentelemetry.sdk",
    # httpx's command line.
    "click",
)


@contextmanager
def spared() -> Iterator[None]:
    """Let the libraries that are imported inside this block believe that none of `SPARED` is installed.

    Python's garbage collector is off meanwhile: it would scan what is being loaded again and again, and find nothing to free.

    Python documents that None in `sys.modules` makes an import raise ModuleNotFoundError
    (https://docs.python.org/3/reference/import.html#the-module-cache). After the block they can be imported. Loaded modules stay loaded.
    """
    modules = cast("dict[str, Any]", sys.modules)
    hidden = [name for name in SPARED if name not in modules]
    modules.update(dict.fromkeys(hidden))
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        for name in hidden:
            del modules[name]
