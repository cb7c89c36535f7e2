"""`contract`: prints the AsyncAPI document of jobs and events."""

from __future__ import annotations

from importlib.metadata import version

from config import load_settings
from config.keys import Keys
from workers.asyncapi import asyncapi_document
from workers.cli.output import say_json

__all__ = ["contract"]


def contract() -> None:
    """Print the AsyncAPI 3 document of the jobs a service may enqueue and the events that answer them, as JSON.

    The channels' addresses are the Redis keys that these settings name.

    Example:

        coupontools-worker contract > asyncapi.json
    """
    settings = load_settings(require_credentials=False)
    document = asyncapi_document(Keys.of(settings), version("coupontools-worker"))
    say_json(document, indent=True)
