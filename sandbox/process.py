"""A sandbox in a process of its own, for tests: `with Sandbox() as sandbox: ... sandbox.url ...`."""

import http.client
import os
import selectors
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast
from urllib.parse import urlencode

import orjson

from sandbox.settings import SandboxConfig

_START_SECONDS: Final = 60.0
_CONTROL_SECONDS: Final = 60.0
_IMPORT_ROOT: Final = str(Path(__file__).parents[1])


class SandboxStartError(RuntimeError):
    """The sandbox process ended, or said nothing, before it listened."""


class SandboxControlError(ValueError):
    """The sandbox refused a control call; the message says why."""


def url_of(host: str, port: int) -> str:
    """Return the base URL of a sandbox."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Sandbox:
    """Starts a sandbox on entry and kills it on exit; should this process die first, it ends by itself.

    `config` sets its settings, `port` its port (0: a free one).
    """

    def __init__(self, config: SandboxConfig | None = None, *, port: int = 0) -> None:
        self.config = config or SandboxConfig()
        self._asked_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._listening: dict[str, Any] = {}

    def __enter__(self) -> Self:
        # A checkout that is not installed is importable here, but not from every working directory.
        paths = [_IMPORT_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                # Do not import from the working directory: a folder there may be called sandbox, too.
                "-P",
                "-m",
                "sandbox",
                "--port",
                str(self._asked_port),
                "--parent-pid",
                str(os.getpid()),
                "--settings",
                self.config.model_dump_json(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        try:
            line = _first_line(cast(IO[bytes], self._process.stdout))
            if not line:
                code = self._process.wait()
                raise SandboxStartError(f"the sandbox process ended with exit code {code} before it listened")
            self._listening = orjson.loads(line)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._running()
        process.kill()
        process.communicate()
        self._process = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return str(self._listening["url"])

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listening["port"])

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running().pid

    def faults(self, kind: str, **parameters: Any) -> dict[str, Any]:
        """Install a fault, and return it as installed."""
        return self._call("POST", "faults", {"kind": kind, **parameters})

    def installed_faults(self) -> list[dict[str, Any]]:
        """Return the faults in force, each with how often it has fired."""
        return list(self._call("GET", "faults")["faults"])

    def clear_faults(self) -> None:
        """Take every fault out of force."""
        self._call("DELETE", "faults")

    def state(self) -> dict[str, Any]:
        """Return groups, contacts, webhooks and counts."""
        return self._call("GET", "state")

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the calls after this number, oldest first."""
        return list(self._call("GET", f"requests?{urlencode({'since': since})}")["requests"])

    def stats(self) -> dict[str, Any]:
        """Return counts of all calls (`total`) and of each endpoint's (`endpoints`)."""
        return self._call("GET", "stats")

    def reset(self, *, settings: bool = False) -> None:
        """Forget data, faults and log; with `settings`, also every change of a setting."""
        self._call("POST", "reset", {"settings": settings})

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings, and return all of them but the secret."""
        return self._call("POST", "settings", changes)

    def add_groups(self, channel: str, **fields: Any) -> dict[str, Any]:
        """Add one group (name, group_id, contacts) or `count` generated ones; return their ids."""
        return self._call("POST", "groups", {"channel": channel, **fields})

    def add_contacts(self, channel: str, group_id: str, **fields: Any) -> dict[str, Any]:
        """Add contacts (`contacts`), or `count` generated ones, to a group; return their ids and its size."""
        return self._call("POST", "contacts", {"channel": channel, "group_id": group_id, **fields})

    def issue_webhook(self, webhook_type: str | None = None, **options: Any) -> dict[str, Any]:
        """Issue a webhook (family, fields, answer), and return its body."""
        given = {} if webhook_type is None else {"type": webhook_type}
        return self._call("POST", "webhooks", {**given, **options})

    def _call(self, method: str, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(
            self._listening["host"], self._listening["port"], timeout=_CONTROL_SECONDS
        )
        try:
            connection.request(method, f"/_sandbox/{path}", None if fields is None else orjson.dumps(fields))
            response = connection.getresponse()
            document: dict[str, Any] = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise SandboxControlError(document["error"])
        return document

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the sandbox is not running: use it in a with statement")
        return self._process


def _first_line(output: IO[bytes]) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        if not selector.select(_START_SECONDS):
            raise SandboxStartError(f"the sandbox process said nothing for {_START_SECONDS:g} s")
    return output.readline()
