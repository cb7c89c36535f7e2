"""The control API under /_sandbox/: faults, data, settings, and what was seen. It needs no credentials."""

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import inspection
from sandbox.control_models import (
    IssueWebhook,
    Reset,
    SeedContacts,
    SeedGroups,
    Since,
    sentence,
)
from sandbox.state import SandboxState
from sandbox.webhooks import family_of, issue

Fields = dict[str, Any]


class ControlInputError(ValueError):
    """The input cannot be followed; the message says why, in one sentence."""


class Control:
    """The handlers of the control API over one sandbox's state."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def install_fault(self, fields: Fields) -> object:
        """Put a fault in force."""
        return self._state.faults.install(fields).shown()

    def list_faults(self, _fields: Fields) -> object:
        """The faults in force."""
        return {"faults": self._state.faults.shown()}

    def clear_faults(self, _fields: Fields) -> object:
        """Take every fault out of force."""
        self._state.faults.clear()
        return {"faults": []}

    def show_state(self, _fields: Fields) -> object:
        """Groups, contacts, webhooks and counts."""
        return inspection.show(self._state.store)

    def list_requests(self, query: Fields) -> object:
        """The calls after a number; `next` is the number to ask after next time."""
        asked = Since.model_validate(query)
        calls = [call.shown() for call in islice(self._state.journal.since(asked.since), asked.limit)]
        return {"requests": calls, "next": calls[-1]["number"] if calls else asked.since}

    def show_stats(self, _fields: Fields) -> object:
        """Counts of calls."""
        return self._state.journal.stats()

    def reset(self, fields: Fields) -> object:
        """Forget data, faults and log, on request changed settings too."""
        self._state.reset(settings=Reset.model_validate(fields).settings)
        return {"reset": True}

    def change_settings(self, fields: Fields) -> object:
        """Change settings; answers all of them but the secret."""
        self._state.settings = self._state.settings.changed(fields)
        return self._state.settings.shown()

    def seed_groups(self, fields: Fields) -> object:
        """Add groups."""
        asked = SeedGroups.model_validate(fields)
        store = self._state.store
        if asked.count is not None:
            names = (f"{asked.name} {number}" for number in range(1, asked.count + 1))
            groups = [store.add_group(asked.channel, name) for name in names]
            return {"first_group_id": groups[0].group_id, "count": len(groups)}
        group = store.add_group(asked.channel, asked.name, asked.group_id)
        return {
            "group_id": group.group_id,
            "contact_ids": [contact.put(store, group) for contact in asked.contacts],
        }

    def seed_contacts(self, fields: Fields) -> object:
        """Add contacts to a group."""
        asked = SeedContacts.model_validate(fields)
        store = self._state.store
        group = store.groups[asked.channel].get(asked.group_id)
        if group is None:
            raise ControlInputError(f"there is no {asked.channel} group {asked.group_id}")
        contact_ids = [contact.put(store, group) for contact in asked.contacts]
        if asked.count is not None:
            store.generate_contacts(group, asked.count)
        return {"group_id": group.group_id, "contact_ids": contact_ids, "amount_of_contacts": group.size()}

    def issue_webhook(self, fields: Fields) -> object:
        """Issue a webhook; answers its body."""
        asked = IssueWebhook.model_validate(fields)
        family = asked.family or family_of(asked.type or "")
        return issue(
            self._state.store,
            family,
            webhook_type=asked.type,
            fields=asked.fields,
            old_answer=asked.answer == "old",
        )


def control_routes(state: SandboxState) -> list[Route]:
    """The routes of the control API."""
    control = Control(state)
    return [
        _route("/faults", "POST", control.install_fault),
        _route("/faults", "GET", control.list_faults),
        _route("/faults", "DELETE", control.clear_faults),
        _route("/state", "GET", control.show_state),
        _route("/requests", "GET", control.list_requests),
        _route("/stats", "GET", control.show_stats),
        _route("/reset", "POST", control.reset),
        _route("/settings", "POST", control.change_settings),
        _route("/groups", "POST", control.seed_groups),
        _route("/contacts", "POST", control.seed_contacts),
        _route("/webhooks", "POST", control.issue_webhook),
    ]


def _route(path: str, method: str, handler: Callable[[Fields], object]) -> Route:
    return Route(f"/_sandbox{path}", _endpoint(handler), methods=[method])


def _endpoint(handler: Callable[[Fields], object]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            answer = handler(await _fields(request))
        except ValidationError as error:
            return _json(400, {"error": sentence(error.errors())})
        except ValueError as error:
            return _json(400, {"error": str(error)})
        return _json(200, answer)

    return endpoint


async def _fields(request: Request) -> Fields:
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    try:
        fields = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise ControlInputError(f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ControlInputError("the body must be a JSON object")
    return fields


def _json(status: int, document: object) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
