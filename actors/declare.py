"""The five actors, declared on a broker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import dramatiq

from actors.actor import JobActor, Submit
from actors.add_contact import AddContactKind
from actors.create_group import CreateGroupKind
from actors.delivery import Kind
from actors.entrance import Entrance, Incoming
from actors.list_contacts import ListContactsKind
from actors.list_groups import ListGroupsKind
from actors.verify_webhook import VerifyWebhookKind

__all__ = ["KINDS", "declare_actors"]

#: Every kind of job, by the name of its actor.
KINDS: dict[str, Kind[Any]] = {
    kind.job.actor: kind
    for kind in (
        AddContactKind(),
        CreateGroupKind(),
        VerifyWebhookKind(),
        ListGroupsKind(),
        ListContactsKind(),
    )
}


def declare_actors(
    broker: dramatiq.Broker, entrance: Callable[[], Entrance], submit: Submit
) -> list[dramatiq.Actor[Any, Any]]:
    """Declares every kind of job as an actor of ``broker``.

    ``submit`` takes each job's coroutine to a loop; there ``entrance`` is asked for, at the first job at the latest.
    """

    def coroutine_for(kind: Kind[Any]) -> Callable[..., Coroutine[Any, Any, None]]:
        async def carry_out(message: Incoming) -> None:
            await entrance().carry_out(kind, message)

        return carry_out

    return [
        dramatiq.actor(
            actor_class=partial(JobActor, submit=submit),
            actor_name=name,
            queue_name=kind.job.queue,
            broker=broker,
        )(coroutine_for(kind))
        for name, kind in KINDS.items()
    ]
