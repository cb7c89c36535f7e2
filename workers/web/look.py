"""One look at everything, for the page Now."""

from __future__ import annotations

from typing import Final

import redis

from config import Settings
from workers.halts import halts, pace
from workers.other_queues import NO_OTHERS, find_other_queues
from workers.redis_link import trouble_of
from workers.state import State, read_state
from workers.web.rendering import Templates

__all__ = ["Look"]

#: The parts of the page that are updated live.
PARTS: Final = ("halts", "figures", "lanes", "workers")


class Look:
    """Looks at everything, and renders the live parts of the page."""

    def __init__(self, client: redis.Redis, settings: Settings, templates: Templates) -> None:
        self._client = client
        self._settings = settings
        self._templates = templates
        #: Queues that no worker knows; see `find_others`.
        self.others = NO_OTHERS

    def find_others(self) -> None:
        """Search all keys for queues that no worker knows. This takes up to a second: do it seldom, and not while somebody waits."""
        self.others = find_other_queues(self._client, self._settings)

    def __call__(self) -> dict[str, str]:
        """Return each part; while Redis is away, each says so."""
        try:
            state = read_state(self._client, self._settings, self.others)
        except redis.RedisError as error:
            away = trouble_of(error)
            return {name: self._part(name, away=away, state=None) for name in PARTS}
        return {name: self._part(name, away="", state=state) for name in PARTS}

    def _part(self, name: str, *, away: str, state: State | None) -> str:
        sentences = [away] if state is None else halts(state)
        if state is not None and not state.workers:
            sentences.append("no worker is running")
        return self._templates.part(
            "now_parts.html",
            name,
            halts=sentences,
            state=state,
            pace=pace(state) if state else "",
        )
