"""`contract`: prints the AsyncAPI document of jobs and events."""

from __future__ import annotations

from importlib.metadata import version

import orjson
import typer

from config import load_settings
from config.keys import Keys
from workers.asyncapi import asyncapi_document

__all__ = ["contract"]


def contract() -> None:
    """Print the AsyncAPI 3 document of the jobs a service may enqueue and the events that answer them, as JSON.

    The channels' addresses are the Redis keys that these settings name.

    Example:

        coupontools-worker contract > asyncapi.json
    """
    settings = load_settings(require_credentials=False)
    document = asyncapi_document(Keys.of(settings), version("coupontools-worker"))
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
