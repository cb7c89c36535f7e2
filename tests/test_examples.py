"""examples/: each page's shell blocks run in order, in a copy of its folder, out of reach of this project's code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.harness import House
from tests.test_readme import redis_cli_folder

FOLDER = Path(__file__).parents[1] / "examples"
#: Set by `make examples`: run the install commands of the pages, too, which download from registries.
INSTALL = os.environ.get("EXAMPLES") == "install"
#: For each example: a command that prints versions, and fails if the language is missing; and the Debian packages to install then.
LANGUAGES = {
    "go": (
        "test -d /usr/share/gocode/src/github.com/gomodule/redigo && go version",
        "golang-go golang-github-gomodule-redigo-dev",
    ),
    "node": ("npm --version >/dev/null && echo Node $(node --version)", "nodejs npm"),
    "php": (
        """php -r 'extension_loaded("redis") || exit(1); echo "PHP ", PHP_VERSION, ", phpredis ", phpversion("redis"), "\\n";'""",
        "php-cli php-redis",
    ),
    "python": ("python3 -c 'import ensurepip, venv' && python3 --version", "python3-venv"),
    "redis-cli": ("redis-cli --version", "redis-tools"),
    "ruby": ("ruby -r redis -e 'puts %(Ruby #{RUBY_VERSION}, redis #{Redis::VERSION})'", "ruby ruby-redis"),
}
#: The events that each example causes.
EVENTS = {"contact.added", "contacts.listed", "group.created", "groups.listed", "webhook.rejected"}


def environment(house: House, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a stranger's shell: none of this project's programs, modules or settings but the address of Redis."""
    own = Path(sys.executable).parent
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != own]
    if not shutil.which("redis-cli") and (bundled := redis_cli_folder()):
        # Link redis-cli alone: its folder also has a Redis server.
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/redis-cli").symlink_to(Path(bundled) / "redis-cli")
        folders.append(str(tmp_path / "bin"))
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("HOME", "LANG", "PIP_", "npm_"))
    }
    return {**kept, "PATH": os.pathsep.join(folders), "REDIS_URL": house.server.url}


def make_venv(folder: Path) -> None:
    """Make the environment that the Python page makes, with our copies of the packages that it would download."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    for name in ("redis", "dramatiq"):
        source = Path(__import__(name).__file__).parent
        (packages / name).symlink_to(source)


@pytest.mark.story
@pytest.mark.parametrize("language", sorted(path.parent.name for path in FOLDER.glob("*/README.md")))
def test_an_example_runs_as_its_page_says(house: House, tmp_path: Path, language: str) -> None:
    check, debian = LANGUAGES[language]
    outside = environment(house, tmp_path)
    here = subprocess.run(["sh", "-c", check], env=outside, capture_output=True, text=True, check=False)
    if here.returncode:
        pytest.skip(f"the example is not run: its language is not here (Debian: {debian})")
    if language == "node" and not INSTALL:
        pytest.skip("the example is not run: it installs its client from a registry (make examples)")
    sys.stdout.write(f"\n{language}: {here.stdout}")
    copy = tmp_path / language
    shutil.copytree(
        FOLDER / language, copy, ignore=shutil.ignore_patterns("node_modules", ".venv", "jobs.txt*")
    )
    page = (copy / "README.md").read_text(encoding="utf-8")
    install, *blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if language == "python" and not INSTALL:
        make_venv(copy / ".venv")
    else:
        blocks.insert(0, install)
    house.worker()
    said = ""
    for block in blocks:
        done = subprocess.run(
            ["sh", "-e", "-c", block],
            env=outside,
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        said += done.stdout
    assert "one died with exit code 137" in said
    assert said.count("handled before, dropped") == 1
    rounds = said.count("(new)") // 5
    assert {kind: house.tally()[kind] for kind in EVENTS} == dict.fromkeys(EVENTS, rounds) == house.tally()
    (group,) = house.redis.xinfo_groups("coupontools:events")
    assert group["pending"] == 0
    assert house.counts()["surplus_contacts"] == house.counts()["surplus_groups"] == 0
