"""docs/integrate.md: its messages are answered, and its reader reads, takes over from a dead reader, and notices lost events."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.harness import House, wait_for
from tests.test_readme import redis_cli_folder, run, runnable
from workers.broker.entries import FIELDS

TEXT = (Path(__file__).parents[1] / "docs/integrate.md").read_text(encoding="utf-8")
#: Stands in for the Redis client of Node: prints the commands that the client would send, as one line of JSON.
NODE_CLIENT = """
const commands = [];
const transaction = {
  hSet(...words) { commands.push(["HSET", ...words]); return transaction; },
  rPush(...words) { commands.push(["RPUSH", ...words]); return transaction; },
  async exec() { console.log(JSON.stringify(commands)); },
};
const client = { async connect() { return client; }, multi() { return transaction; }, async close() {} };
export function createClient() { return client; }
"""


def block(language: str) -> str:
    """Return the page's first example in this language that is not marked as runnable."""
    return next(
        text for text in re.findall(rf"(?<!-->\n)```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    )


def ignore(event: dict[str, Any]) -> None:
    """Do nothing with an event."""


@pytest.fixture
def reader(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's reader as a module."""
    monkeypatch.setenv("REDIS_URL", house.server.url)
    file = tmp_path / "reader.py"
    file.write_text(block("python"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("reader", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.story
def test_the_messages_are_answered(house: House, tmp_path: Path) -> None:
    house.new_group(group_id="gro_119251")
    house.worker()
    assert [language for language, _ in runnable(TEXT)] == ["python", "sh"]
    run(house, tmp_path, TEXT)
    expected = {"contact.added": 2 if redis_cli_folder() else 1}
    wait_for(lambda: house.tally() == expected, what="the answers", show=house.tally)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_message_of_node_is_answered(house: House, tmp_path: Path) -> None:
    house.new_group(group_id="gro_119251")
    house.worker()
    library = tmp_path / "node_modules/redis"
    library.mkdir(parents=True)
    (library / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (library / "index.js").write_text(NODE_CLIENT)
    (tmp_path / "example.mjs").write_text(block("js"))
    done = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    commands: list[list[Any]] = json.loads(done.stdout)
    for command in commands:
        house.redis.execute_command(*command)
    assert house.answer(json.loads(commands[0][3])["message_id"])["type"] == "coupontools.contact.added"


@pytest.mark.parametrize("language", ["js", "php", "go", "ruby"])
def test_every_language_writes_the_whole_message(language: str) -> None:
    example = block(language)
    for name in (*FIELDS, "redis_message_id", "dramatiq:contacts.msgs", "add_contact"):
        assert name in example, f"{language}: {name}"


def test_the_reader_reads_what_is_there_and_what_comes(house: House, reader: ModuleType) -> None:
    reader.create_group()
    reader.create_group()
    seen: list[str] = []
    for number in range(3):
        house.redis.xadd("coupontools:events", {"type": "t", "event": json.dumps({"id": str(number)})})
    reader.read("one", lambda event: seen.append(event["id"]), block=100)
    reader.read("two", lambda event: seen.append(event["id"]), block=100)
    assert seen == ["0", "1", "2"]
    assert house.redis.xpending("coupontools:events", "billing")["pending"] == 0
    reader.client.close()


def test_the_reader_takes_over_from_one_that_died(house: House, reader: ModuleType) -> None:
    reader.create_group()
    house.redis.xadd("coupontools:events", {"type": "t", "event": '{"id": "1"}'})

    def die(event: dict[str, Any]) -> None:
        raise KeyboardInterrupt(event["id"])

    with pytest.raises(KeyboardInterrupt):
        reader.read("one", die, block=100)
    # A second event was read and never acknowledged, and is gone from the stream.
    gone = house.redis.xadd("coupontools:events", {"type": "t", "event": '{"id": "2"}'})
    house.redis.xreadgroup("billing", "one", {"coupontools:events": ">"})
    house.redis.xdel("coupontools:events", gone)
    seen: list[str] = []
    reader.read("two", lambda event: seen.append(event["id"]), block=100)
    assert seen == []
    reader.read("two", lambda event: seen.append(event["id"]), idle=0, block=100)
    assert seen == ["1"]
    reader.client.close()


def test_the_reader_notices_that_the_cap_overtook_it(house: House, reader: ModuleType) -> None:
    reader.create_group()
    assert not reader.was_overtaken()
    for number in range(10):
        house.redis.xadd("coupontools:events", {"type": "t", "event": json.dumps({"id": str(number)})})
        if number == 2:
            reader.read("one", ignore, block=100)
    assert not reader.was_overtaken()
    house.redis.xtrim("coupontools:events", maxlen=4, approximate=False)
    assert reader.was_overtaken()
    reader.read("one", ignore, block=100)
    assert not reader.was_overtaken()
    reader.client.close()
