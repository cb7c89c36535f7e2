"""`python -m sandbox`: the sandbox as a process of its own, as `Sandbox` starts it.

Once it listens it writes one JSON line: {"event": "listening", "host": ..., "port": ..., "url": ...}.
"""

import argparse
import sys

import orjson
from pydantic import ValidationError

from sandbox.control_models import sentence
from sandbox.process import url_of
from sandbox.server import CannotListen, serve
from sandbox.settings import SandboxConfig


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve; a wrong setting ends it with exit code 2 and a sentence."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0 takes a free one")
    parser.add_argument("--settings", default="{}", help="settings as a JSON object")
    parser.add_argument("--parent-pid", type=int, help="end when the parent is no longer this process")
    options = parser.parse_args(arguments)
    try:
        config = SandboxConfig.model_validate_json(options.settings)
    except ValidationError as error:
        parser.error(f"--settings: {sentence(error.errors())}")
    try:
        serve(
            options.host,
            options.port,
            config=config,
            on_listening=_tell,
            parent_pid=options.parent_pid,
        )
    except CannotListen as error:
        parser.exit(1, f"{error}\n")


def _tell(host: str, port: int) -> None:
    line = orjson.dumps({"event": "listening", "host": host, "port": port, "url": url_of(host, port)})
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
