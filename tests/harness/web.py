"""The operators' page in a process of its own, as it is deployed."""

from __future__ import annotations

from tests.harness.served import Served

__all__ = ["IMPORT_TOKEN", "TOKEN", "WebProcess"]

TOKEN = "operators-token-hard-to-guess"
IMPORT_TOKEN = "importers-token-hard-to-guess"


class WebProcess(Served):
    """`coupontools-worker web`."""

    def __init__(self, environment: dict[str, str], port: int = 0) -> None:
        super().__init__(
            "web", "web", {"WEB_TOKEN": TOKEN, "WEB_IMPORT_TOKEN": IMPORT_TOKEN, **environment}, port
        )
