"""Faults of the line: the API's own answer is lost, late, sent twice, or not sent to its end."""

import asyncio
from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import Field

from sandbox.answers import Answer
from sandbox.exchange import Exchange
from sandbox.fault_base import Fault, Seconds

_NEVER_CARRIED_OUT: Final = Answer(200, b'{"status":{"status":"OK"},"result":"saved_successfully"}')


class Close(Fault):
    """The connection is closed (FIN), and the call is carried out before that or never."""

    kind: Literal["close_before", "close_after"]

    async def perform(self, exchange: Exchange) -> None:
        if self.kind == "close_after":
            exchange.carry_out()
        await exchange.close()


class Reset(Fault):
    """The connection is reset (RST)."""

    kind: Literal["reset"]
    carry_out: bool = False

    async def perform(self, exchange: Exchange) -> None:
        if self.carry_out:
            exchange.carry_out()
        await exchange.reset()


class _Hang(Fault):
    """No answer until the client gives up, or until the connection is closed (FIN) after `seconds`."""

    seconds: Seconds | None = None

    async def perform(self, exchange: Exchange) -> None:
        if not await exchange.gone_within(self.seconds):
            await exchange.close()


class HangBefore(_Hang):
    """The call is carried out `commit_after_seconds` after it arrived, even if the client has left; or never."""

    kind: Literal["hang_before"]
    commit_after_seconds: Seconds | None = None

    async def perform(self, exchange: Exchange) -> None:
        if self.commit_after_seconds is not None:
            asyncio.get_running_loop().call_later(self.commit_after_seconds, exchange.carry_out)
        await super().perform(exchange)


class HangAfter(_Hang):
    """The call is carried out at once."""

    kind: Literal["hang_after"]

    async def perform(self, exchange: Exchange) -> None:
        exchange.carry_out()
        await super().perform(exchange)


class Slow(Fault):
    """The call is carried out at once, and answered after `seconds`."""

    kind: Literal["slow"]
    seconds: Seconds = 1.0

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        if not await exchange.gone_within(self.seconds):
            await exchange.answer(answer)


class Trickle(Fault):
    """The call is carried out, and its answer's body sent byte by byte, `interval_seconds` apart."""

    kind: Literal["trickle"]
    interval_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        body = answer.whole()
        await exchange.begin(answer, len(body))
        for position in range(len(body)):
            if await exchange.gone_within(self.interval_seconds):
                return
            await exchange.send_body(body[position : position + 1], last=position == len(body) - 1)


class CutOff(Fault):
    """Half of the announced body is sent, then the connection is closed (FIN).

    If the call is not carried out, this is half of an answer that claims it was.
    """

    kind: Literal["cut_off"]
    carry_out: bool = True

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out() if self.carry_out else _NEVER_CARRIED_OUT
        body = answer.whole()
        await exchange.begin(answer, len(body))
        await exchange.send_body(body[: len(body) // 2])
        await exchange.close()


class LeftOver(Fault):
    """The call is carried out and answered; when the next request arrives on the connection, the answer is sent again.

    So it comes before that request's own answer.
    """

    kind: Literal["left_over"]

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        answer = replace(answer, body=answer.whole())
        exchange.connection.leave_over(answer.written())
        await exchange.answer(answer)


class Unasked(Fault):
    """The call is carried out and answered; `seconds` later, when the connection may be idle, the answer is sent again."""

    kind: Literal["unasked"]
    seconds: Seconds = 0.05

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        answer = replace(answer, body=answer.whole())
        await exchange.answer(answer)
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds, exchange.connection.send_unasked, answer.written())
