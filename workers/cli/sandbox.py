"""`sandbox`: runs the API's stand-in without anything else."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox import CannotListen, SandboxConfig, serve
from sandbox.process import url_of
from workers.cli.output import say, say_json

__all__ = ["sandbox"]


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="Print where it listens as one JSON line.")] = False,
) -> None:
    """Run the stand-in of the Coupontools API, for integration tests and for trying things out.

    It keeps groups, contacts and webhooks in memory and can be told over HTTP to fail in every way a network can; see docs/sandbox.md.

    Examples:

        coupontools-worker sandbox

        coupontools-worker sandbox --port 9000

        coupontools-worker sandbox --port 0 --json
    """
    config = SandboxConfig()

    def listening(address: str, number: int) -> None:
        if as_json:
            credentials = {"client_id": config.client_id, "client_secret": config.client_secret}
            say_json({"event": "listening", "url": url_of(address, number), **credentials})
            return
        say(f"client id {config.client_id}, client secret {config.client_secret}", err=True)
        say(f"listening on {url_of(address, number)}")

    try:
        serve(host, port, config=config, on_listening=listening)
    except CannotListen as error:
        say(str(error), err=True)
        raise typer.Exit(1) from None
