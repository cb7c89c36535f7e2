"""What `pause` and `resume` share: an operator's hold is set and ended by one script."""

from __future__ import annotations

from typing import Annotated

import typer

from config import load_settings
from config.keys import SCOPES
from delivery import pausing
from workers.redis_link import ThreadRunner, sync_client
from workers.worker_list import account_keys, read_workers

__all__ = ["Scope", "change_pause"]

Scope = Annotated[str, typer.Option("--scope", metavar="SCOPE", help=f"What to hold: {', '.join(SCOPES)}.")]


def change_pause(word: str, scope: str, reason: str = "") -> bool:
    """``pause`` or ``resume`` a scope of the account that the workers carry out jobs for. Return whether that changed anything."""
    if scope not in SCOPES:
        raise typer.BadParameter(
            f"there is no scope {scope!r}; known are {', '.join(SCOPES)}", param_hint="--scope"
        )
    settings = load_settings(require_credentials=False)
    with sync_client(settings.redis_url) as client:
        workers = read_workers(client, settings)
        keys = account_keys(settings, workers)
        script = pausing(keys, settings.events_maxlen, word=word, scope=scope, reason=reason)
        return bool(ThreadRunner(client).run(*script))
