"""The tokens that open the page, what each opens, and how often a wrong one may be tried."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Final, Literal

from config import Settings

__all__ = ["Role", "Slowly", "Tokens", "TooManyWrong"]

#: Who comes in: whoever has WEB_TOKEN sees everything, whoever has WEB_IMPORT_TOKEN the pages that say so.
Role = Literal["operator", "importer"]

#: Wrong tokens are answered one after the other, so many seconds apart.
SECONDS_APART: Final = 0.5
#: An answer waits for its turn for so many seconds at most; whoever comes when the queue is longer is told to come later.
LONGEST_SECONDS: Final = 10.0


class Tokens:
    """The tokens of this process."""

    def __init__(self, settings: Settings) -> None:
        given: dict[Role, str] = {
            "operator": settings.web_token.get_secret_value(),
            "importer": settings.web_import_token.get_secret_value(),
        }
        #: The token of each role that has one.
        self.of: dict[Role, bytes] = {role: token.encode() for role, token in given.items() if token}

    def role_of(self, presented: str) -> Role | None:
        """Return what this token opens; None of a wrong one. Takes the same time for every token of this length."""
        found: Role | None = None
        for role, token in self.of.items():
            # Compares with each, whatever the one before has shown.
            if hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), token):
                found = role
        return found


class TooManyWrong(Exception):  # noqa: N818 - says what happened
    """So many wrong tokens wait for their answer that one more is told at once to come later."""


class Slowly:
    """Makes whoever brings a wrong token wait. A right one never comes here, so nobody can lock an operator out."""

    def __init__(self) -> None:
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the turn of one more wrong token.

        Raises:
            TooManyWrong: its turn would be too late.
        """
        now = time.monotonic()
        turn = max(now, self._next) + SECONDS_APART
        if turn - now > LONGEST_SECONDS:
            raise TooManyWrong
        self._next = turn
        await asyncio.sleep(turn - now)
