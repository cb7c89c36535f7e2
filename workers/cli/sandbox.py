"""`sandbox`: the API stand-in alone."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox import SandboxConfig, serve

__all__ = ["sandbox"]


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run the stand-in of the Coupontools API, for integration tests and for trying things out.

    It keeps groups, contacts and webhooks in memory and can be told over HTTP to fail in every way a network can; see docs/sandbox.md.

    Examples:

        coupontools-worker sandbox

        coupontools-worker sandbox --port 9000
    """
    config = SandboxConfig()
    typer.echo(f"client id {config.client_id}, client secret {config.client_secret}", err=True)

    def listening(address: str, number: int) -> None:
        typer.echo(f"listening on http://{address}:{number}")

    serve(host, port, config=config, on_listening=listening)
