"""`contract`: prints the AsyncAPI document of jobs and events."""

from __future__ import annotations

from importlib.metadata import version

from config.keys import Keys
from workers.asyncapi import asyncapi_document
from workers.cli.output import say_json
from workers.cli.settings import command_settings

__all__ = ["contract"]


def contract() -> None:
    """Print the AsyncAPI 3 document of the jobs a service may enqueue and the events that answer them, as JSON.

    The channels' addresses are the Redis keys that these settings name.

    Example:

        coupontools-worker contract > asyncapi.json
    """
    settings = command_settings()
    document = asyncapi_document(Keys.of(settings), version("coupontools-worker"))
    say_json(document, indent=True)
