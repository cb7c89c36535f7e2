"""The tokens that open the page, what each opens, and how often a wrong one may be tried."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Final, Literal

from config import Settings
from workers.http_server import Refused

__all__ = ["Role", "Slowly", "Tokens"]

#: WEB_TOKEN opens every page, as an operator; WEB_IMPORT_TOKEN opens, as an importer, the pages that list this role.
Role = Literal["operator", "importer"]

#: Wrong tokens are answered one after the other, this many seconds apart.
SECONDS_APART: Final = 0.5
#: The longest that an answer waits for its turn, in seconds; while the queue is longer, a wrong token is refused at once.
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
        """Return the role that this token opens; None for a wrong one. Takes the same time for every token of the same length."""
        found: Role | None = None
        for role, token in self.of.items():
            # Compare with every token, so that the time does not show which one it was.
            if hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), token):
                found = role
        return found


class Slowly:
    """Makes wrong tokens wait. A right token never waits here, so nobody can lock an operator out."""

    def __init__(self) -> None:
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the turn of one more wrong token.

        Raises:
            Refused: its turn would come too late, because too many wait already.
        """
        now = time.monotonic()
        turn = max(now, self._next) + SECONDS_APART
        if turn - now > LONGEST_SECONDS:
            raise Refused(429, "there were too many wrong tokens; try again in a while", retry_after="10")
        self._next = turn
        await asyncio.sleep(turn - now)
