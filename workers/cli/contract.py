"""`contract`: prints the AsyncAPI document of jobs and events, or writes it and the JSON Schemas into a folder."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import orjson
import typer

from config.keys import Keys
from workers.asyncapi import asyncapi_document, contract_files
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings

__all__ = ["contract"]


def contract(
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Write the document into this folder, and a JSON Schema for each job, event and envelope.",
        ),
    ] = None,
) -> None:
    """Print the AsyncAPI 3 document of the jobs a service may enqueue and the events that answer them, as JSON.

    The channels' addresses are the Redis keys of your settings; with --folder, those of the default settings.

    Examples:

        coupontools-worker contract > asyncapi.json

        coupontools-worker contract --folder docs/contract
    """
    if folder is None:
        settings = command_settings()
        say_json(asyncapi_document(Keys.of(settings), version("coupontools-worker")), indent=True)
        return
    try:
        for name, document in contract_files(version("coupontools-worker")).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        say(f"--folder cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None
