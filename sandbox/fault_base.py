"""What every kind of fault is: validated parameters, and a way to treat one call."""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sandbox.exchange import Exchange

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Behaviour(BaseModel, ABC):
    """One kind of fault with its parameters; `carry_out` says whether the call takes effect all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str

    @abstractmethod
    async def perform(self, exchange: Exchange) -> None:
        """Treat this call in place of the ordinary course."""
