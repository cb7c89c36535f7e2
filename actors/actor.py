"""A Dramatiq actor whose function is a coroutine: calling it hands the coroutine on and returns.

Dramatiq's own middleware for coroutines parks a thread for each job; here hundreds of jobs share one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

__all__ = ["JobActor", "Submit"]

#: Runs a coroutine somewhere else and returns at once.
Submit = Callable[[Coroutine[Any, Any, None]], None]


class JobActor(dramatiq.Actor[Any, Any]):
    """Submits its coroutine with the message that called it; the message is settled by the coroutine, not by the return."""

    def __init__(
        self, fn: Callable[..., Coroutine[Any, Any, None]], *, submit: Submit, **options: Any
    ) -> None:
        # Actor itself would wrap a coroutine function for the middleware that parks threads.
        super().__init__(lambda **_: None, **options)
        self._coroutine = fn
        self._submit = submit

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Submits. The arguments are not logged: they are people's."""
        del args, kwargs
        message = CurrentMessage.get_current_message()
        if message is None:
            raise RuntimeError(
                f"{self.actor_name} is called by a worker with a message; to enqueue it, use send()"
            )
        self._submit(self._coroutine(message))
