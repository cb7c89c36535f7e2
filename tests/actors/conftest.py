"""The hand-written server and the client from the tests of the API's client, for tests of what an answer means to a job."""

from __future__ import annotations

from tests.coupontools.conftest import connect, wire

__all__ = ["connect", "wire"]
