"""The records that wait for a listing because the answers of their calls were lost, and the verdicts on them.

Beside them, what is known about ids in listings: groups that are some job's answer, and rows that showed too little.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from config.keys import Keys
from delivery.job import Unknown, Verdict
from delivery.policy import Policy
from delivery.retry import Rests
from delivery.scripts import SCRIPTS, ScriptRunner

__all__ = ["Unknowns"]

#: How many records one listing looks for at most, the longest due first; the next one takes the rest. And how many one script handles.
UNKNOWNS_OF_A_LISTING = 20_000
UNKNOWNS_AT_ONCE = 500
VERDICTS_AT_ONCE = 500


class Unknowns:
    """The scripts for reading back, typed. Implements KnownIds."""

    def __init__(self, runner: ScriptRunner, keys: Keys, policy: Policy) -> None:
        self._runner = runner
        self._keys = keys
        self._policy = policy

    async def of(self, listing: str) -> tuple[int, list[Unknown]]:
        """Return Redis's time in milliseconds, and the records that wait for this listing: all that are due, and some that will be soon."""
        began_at = 0
        found: list[Unknown] = []
        while len(found) < UNKNOWNS_OF_A_LISTING and all(unknown.due for unknown in found[-1:]):
            now, *rows = await self._runner.run(
                SCRIPTS["unknowns"], [self._keys.unknown(listing)], [len(found), UNKNOWNS_AT_ONCE]
            )
            began_at = began_at or int(now)
            if not rows:
                break
            found += [
                Unknown(
                    record.decode(),
                    int(ended),
                    needle.decode(),
                    tuple(orjson.loads(baseline or b"[]")),
                    # If the call began later than now, the clock was set back, and nobody knows what came first.
                    began=int(began) if int(began) <= int(now) else 0,
                    due=int(look_at) <= int(now),
                    message_id=message_id.decode(),
                    another=int(another),
                )
                for record, ended, began, look_at, needle, baseline, message_id, another in zip(
                    *[iter(rows)] * 8, strict=True
                )
            ]
        return began_at, found

    async def judge(self, listing: str, token: str, verdicts: list[Verdict], rests: Rests) -> None:
        """Write the verdicts of a listing."""
        keys = [self._keys.unknown(listing), self._keys.reader(listing)]
        pauses = [round(rest * 1000) for rest in (rests.rest, rests.again, rests.seldom)]
        # Run it without verdicts, too: it begins the rest before the next listing.
        for start in range(0, len(verdicts) or 1, VERDICTS_AT_ONCE):
            arguments: list[Any] = [token, *pauses]
            for verdict in verdicts[start : start + VERDICTS_AT_ONCE]:
                unknown = verdict.unknown
                arguments += [unknown.record, unknown.ended, verdict.word, orjson.dumps(verdict.evidence)]
            await self._runner.run(SCRIPTS["verdicts"], keys, arguments)

    async def claimed(self, channel: str, ids: Iterable[str]) -> set[str]:
        """Return those of these group ids that are some job's answer already."""
        return {
            group_id
            for group_id in ids
            if await self._runner.command("EXISTS", self._keys.claimed(channel, group_id))
        }

    async def doubtful(self, listing: str) -> dict[str, int]:
        """Return the ids of rows that showed too little in an earlier listing, and since when (ms) they are known to be there."""
        key = self._keys.doubtful(listing)
        ids = await self._runner.command("HKEYS", key)
        times = await self._runner.command("HMGET", key, *ids) if ids else []
        return {row_id.decode(): int(since) for row_id, since in zip(ids, times, strict=True) if since}

    async def note_doubtful(self, listing: str, ids: list[str]) -> None:
        """Note the ids of all rows that show too little now, and forget all others."""
        key, life = self._keys.doubtful(listing), round(self._policy.unsettled * 1000)
        await self._runner.run(SCRIPTS["doubtful"], [key], [life, *ids])
