"""Faults that give no answer: the connection is closed, reset, or left hanging."""

import asyncio
from typing import Literal

from sandbox.exchange import Exchange
from sandbox.fault_base import Behaviour, Seconds


class CloseBefore(Behaviour):
    """The connection is closed (FIN); the call is not carried out."""

    kind: Literal["close_before"] = "close_before"

    async def perform(self, exchange: Exchange) -> None:
        await exchange.close()


class CloseAfter(Behaviour):
    """The call is carried out, then the connection is closed (FIN)."""

    kind: Literal["close_after"] = "close_after"

    async def perform(self, exchange: Exchange) -> None:
        exchange.carry_out()
        await exchange.close()


class Reset(Behaviour):
    """The connection is reset (RST)."""

    kind: Literal["reset"] = "reset"
    carry_out: bool = False

    async def perform(self, exchange: Exchange) -> None:
        if self.carry_out:
            exchange.carry_out()
        await exchange.reset()


class HangBefore(Behaviour):
    """No answer until the client gives up, or until the connection is closed after `seconds`.

    The call is carried out `commit_after_seconds` after it arrived, whether the client still waits or not; if
    that is not given, never.
    """

    kind: Literal["hang_before"] = "hang_before"
    seconds: Seconds | None = None
    commit_after_seconds: Seconds | None = None

    async def perform(self, exchange: Exchange) -> None:
        if self.commit_after_seconds is not None:
            asyncio.get_running_loop().call_later(self.commit_after_seconds, exchange.carry_out)
        await _hang(exchange, self.seconds)


class HangAfter(Behaviour):
    """The call is carried out; no answer until the client gives up, or a close (FIN) after `seconds`."""

    kind: Literal["hang_after"] = "hang_after"
    seconds: Seconds | None = None

    async def perform(self, exchange: Exchange) -> None:
        exchange.carry_out()
        await _hang(exchange, self.seconds)


async def _hang(exchange: Exchange, seconds: float | None) -> None:
    if not await exchange.gone_within(seconds):
        await exchange.close()
