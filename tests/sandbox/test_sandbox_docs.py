"""The examples of docs/sandbox.md, run as they stand."""

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from coupontools import ENDPOINTS
from sandbox import Sandbox, SandboxConfig
from sandbox.faults import Schedule, SimpleFault
from sandbox.shapes import SHAPES

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's examples use curl")
def test_the_shell_examples_do_what_the_page_says(sandbox: Sandbox) -> None:
    # The last block resets the sandbox, so count the doubles that the page promises before running it.
    *examples, settings = blocks("sh")
    start = ["sh", "-e", "-c"]
    environment = {"SANDBOX": sandbox.url, "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_PROXY": "*"}
    ran = subprocess.run(
        [*start, "\n".join(examples)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"groupid":119251' in ran.stdout
    assert '"campaign":"cam_9"' in ran.stdout
    state = sandbox.state()
    assert state["counts"]["surplus_contacts"] == 1
    assert state["counts"]["contacts"] == 50_003
    assert sandbox.installed_faults() == []
    ran = subprocess.run(
        [*start, examples[0] + settings],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"latency_ms":20' in ran.stdout
    assert sandbox.settings()["latency_ms"] == 0


def test_the_python_example_runs() -> None:
    (example,) = blocks("python")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(example, "docs/sandbox.md", "exec"), {})  # noqa: S102 - our own page
    assert said.getvalue().startswith("http://127.0.0.1:")


def test_every_setting_and_fault_kind_is_on_the_page() -> None:
    kinds = [
        name
        for fault in get_args(get_args(SimpleFault)[0])
        for name in get_args(fault.model_fields["kind"].annotation)
    ]
    assert len(kinds) == 20
    for name in [*SandboxConfig.model_fields, *Schedule.model_fields, *kinds, "mixed", *SHAPES]:
        assert f"`{name}`" in PAGE, name


def test_every_endpoint_is_on_the_page() -> None:
    for endpoint in ENDPOINTS:
        folder, _, name = endpoint.name.partition("/")
        assert f"`{endpoint.name}`" in PAGE or (f"`{folder}/`" in PAGE and f"`{name}`" in PAGE), endpoint
