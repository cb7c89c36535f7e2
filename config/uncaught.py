"""Exceptions that nobody caught, in the main thread, in others or in an event loop: a line in the log instead of bare text on stderr."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

__all__ = ["install_hooks", "log_loop_exception"]

_logger = logging.getLogger("uncaught")


def install_hooks() -> None:
    """Log what nobody caught in the main thread, in other threads, and in finalizers, where nothing can catch it."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_thread_exception
    sys.unraisablehook = _log_unraisable


def log_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001
    """For ``loop.set_exception_handler``: log what a task or callback raised and nobody awaited."""
    error = context.get("exception")
    where = context.get("task") or context.get("future") or context.get("handle") or context.get("protocol")
    _logger.error(
        "%s",
        context.get("message") or "Unhandled exception in the event loop",
        exc_info=error,
        extra={"where": repr(where)} if where is not None else None,
    )


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _logger.warning("interrupted from the keyboard")
        return
    _logger.critical("uncaught exception", exc_info=(kind, error, traceback))


def _log_thread_exception(details: threading.ExceptHookArgs) -> None:
    # A thread may end itself by SystemExit; the standard library's own hook is silent about it, too.
    if details.exc_type is SystemExit:
        return
    name = details.thread.name if details.thread is not None else "?"
    error = details.exc_value or details.exc_type()
    _logger.critical(
        "uncaught exception in thread %s", name, exc_info=(details.exc_type, error, details.exc_traceback)
    )


def _log_unraisable(details: sys.UnraisableHookArgs) -> None:
    error = details.exc_value or details.exc_type()
    _logger.error(
        "%s: %s",
        details.err_msg or "exception ignored in",
        type(details.object).__name__,
        exc_info=(details.exc_type, error, details.exc_traceback),
    )
