"""docs/deploy: its units and its manifest name existing settings, commands and queues, and leave a process enough time to stop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors import JOBS
from config import Settings

FOLDER = Path(__file__).parents[2] / "docs/deploy"
UNITS = sorted(FOLDER.glob("*.service"))
OBJECTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
)
SETTINGS = {name.upper() for name in Settings.model_fields} | {"SECRETS_DIR"}
#: What a process needs beyond SHUTDOWN_SECONDS, in seconds (docs/operations.md).
BEYOND = 25


def objects(kind: str) -> list[dict[str, Any]]:
    return [each for each in OBJECTS if each["kind"] == kind]


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("the units are not verified: systemd-analyze is not here (Debian: systemd)")
    assert len(UNITS) == 3
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        here = text.replace("/opt/coupontools-worker/bin/", f"{Path(sys.executable).parent}/")
        assert here != text
        (tmp_path / unit.name).write_text(here, encoding="utf-8")
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    # systemd-analyze may find fault with the machine's own units, too.
    assert [line for line in (done.stdout + done.stderr).splitlines() if "coupontools" in line] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_names_what_there_is(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    secrets = re.findall(r"^LoadCredential=(\w+):/etc/coupontools-worker/secrets/(\w+)$", text, re.MULTILINE)
    assert all(name == file for name, file in secrets)
    named = {name for name, _ in secrets} | set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE))
    assert named <= SETTINGS
    assert f"TimeoutStopSec={Settings().shutdown_seconds + BEYOND:g}\n" in text


def test_the_manifest_names_what_there_is() -> None:
    (config,) = objects("ConfigMap")
    assert set(config["data"]) <= SETTINGS
    assert float(config["data"]["SHUTDOWN_SECONDS"]) == Settings().shutdown_seconds
    commands = set()
    for deployment in objects("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        commands.add(container["args"][0])
        items = pod["volumes"][0]["secret"]["items"]
        assert {item["key"] for item in items} | {each["name"] for each in container["env"]} <= SETTINGS
        assert pod["terminationGracePeriodSeconds"] == Settings().shutdown_seconds + BEYOND
    assert commands == {"run", "receive"}


def test_the_manifest_scales_by_every_queue() -> None:
    (scaled,) = objects("ScaledObject")
    lists = {trigger["metadata"]["listName"] for trigger in scaled["spec"]["triggers"]}
    assert lists == {f"dramatiq:{queue}" for job in JOBS.values() for queue in (job.queue, *job.also)}
    assert scaled["spec"]["scaleTargetRef"]["name"] == "coupontools-worker"
    assert scaled["spec"]["minReplicaCount"] == 1
