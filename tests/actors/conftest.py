"""The hand-written server and the client of the API's own tests, for what an answer means to a job."""

from __future__ import annotations

from tests.coupontools.conftest import connect, wire

__all__ = ["connect", "wire"]
