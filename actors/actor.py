"""The actors of Dramatiq: calling one hands its coroutine on and returns.

Dramatiq's own middleware for coroutines parks a thread for each job; here hundreds of jobs share one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

from actors.entrance import Entrance, Incoming
from actors.job import Job
from actors.jobs import JOBS
from config.names import QUEUES

__all__ = ["Submit", "declare_actors"]

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
        """Submit the coroutine. Do not log the arguments: they are personal data."""
        del args, kwargs
        message = CurrentMessage.get_current_message()
        if message is None:
            raise RuntimeError(
                f"{self.actor_name} is called by a worker with a message; to enqueue it, use send()"
            )
        self._submit(self._coroutine(message))


def declare_actors(broker: dramatiq.Broker, entrance: Callable[[], Entrance], submit: Submit) -> None:
    """Declare every kind of job as an actor of ``broker``.

    ``submit`` hands each job's coroutine to the event loop. There, ``entrance`` is called for each job; it must be ready by the first one.
    """

    def coroutine_for(job: type[Job]) -> Callable[..., Coroutine[Any, Any, None]]:
        async def carry_out(message: Incoming) -> None:
            await entrance().carry_out(job, message)

        return carry_out

    for queue in QUEUES:
        broker.declare_queue(queue)
    for name, job in JOBS.items():
        dramatiq.actor(
            actor_class=partial(JobActor, submit=submit),
            actor_name=name,
            queue_name=job.queue,
            also=job.also,
            broker=broker,
        )(coroutine_for(job))
