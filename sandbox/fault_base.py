"""What every kind of fault is: validated parameters, and what it does with one call."""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sandbox.exchange import Exchange

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(BaseModel, ABC):
    """One kind of fault with its parameters, or several kinds that differ in one detail."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str

    @abstractmethod
    async def perform(self, exchange: Exchange) -> None:
        """Handle this call in place of the API."""
