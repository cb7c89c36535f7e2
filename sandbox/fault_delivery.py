"""Faults in how a right answer is sent: late, in drips, or not to its end."""

from typing import Annotated, Final, Literal

from pydantic import Field

from sandbox.answers import Answer
from sandbox.exchange import Exchange
from sandbox.fault_base import Behaviour, Seconds

_NEVER_CARRIED_OUT: Final = Answer(200, b'{"status":{"status":"OK"},"result":"saved_successfully"}')


class Slow(Behaviour):
    """The call is carried out at once, and answered after `seconds`."""

    kind: Literal["slow"] = "slow"
    seconds: Seconds = 1.0

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        if not await exchange.gone_within(self.seconds):
            await exchange.answer(answer)


class Trickle(Behaviour):
    """The call is carried out, and its answer's body sent byte by byte, `interval_seconds` apart."""

    kind: Literal["trickle"] = "trickle"
    interval_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        body = answer.whole()
        await exchange.begin(answer, len(body))
        for position in range(len(body)):
            if await exchange.gone_within(self.interval_seconds):
                return
            await exchange.send_body(body[position : position + 1], last=position == len(body) - 1)


class CutOff(Behaviour):
    """Half of the announced body is sent, then the connection is closed (FIN).

    Not carried out, it is half of an answer that would have said it was.
    """

    kind: Literal["cut_off"] = "cut_off"
    carry_out: bool = True

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out() if self.carry_out else _NEVER_CARRIED_OUT
        body = answer.whole()
        await exchange.begin(answer, len(body))
        await exchange.send_body(body[: len(body) // 2])
        await exchange.close()
