"""What every kind of fault is: validated parameters, and what it does with one call."""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field

from sandbox.exchange import Exchange
from sandbox.settings import Strict

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(Strict, ABC):
    """One kind of fault with its parameters, or several kinds that differ in one detail."""

    kind: str

    @abstractmethod
    async def perform(self, exchange: Exchange) -> None:
        """Handle this call in place of the API."""
