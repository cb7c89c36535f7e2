"""`events` and `dead` show what is asked for alone."""

from __future__ import annotations

import json

from tests.harness import House
from tests.workers.cli.conftest import Command


def test_events_and_dead_letters_by_what_they_are_about(house: House, command: Command) -> None:
    group_id = house.new_group()
    house.worker()
    one = house.enqueue(
        "add_contact",
        channel="sms",
        group_id=group_id,
        phone="+32470000001",
        correlation_id="c 1",
        batch_id="b 1",
    )
    two = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="no", batch_id="b 1")
    three = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="no", batch_id="b 2")
    house.wait_answered([one, two, three])

    def shown(*options: str) -> list[str]:
        done = command("events", "--json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    assert shown("--id", one) == shown("--correlation-id", "c 1") == [one]
    assert sorted(shown("--batch", "b 1")) == sorted([one, two])
    assert len(shown("--limit", "2")) == 2
    assert len(shown("--since", "1h")) == 3
    assert shown("--since", "2099-01-01T00:00:00Z") == []
    assert command("events", "--since", "yesterday").returncode == 2

    def dead(*options: str) -> list[str]:
        done = command("dead", "list", "--json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["message_id"] for line in done.stdout.splitlines()]

    assert dead("--batch", "b 2") == [three]
    assert sorted(dead("--kind", "invalid")) == sorted([two, three])
    assert dead("--kind", "unknown") == []
    assert len(dead("--limit", "1")) == 1
    assert command("dead", "list", "--kind", "odd").returncode == 2
    # Nobody is there to be asked.
    refused = command("dead", "purge", stdin="")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert command("dead", "purge", "--yes", "--batch", "b 1").stdout.startswith("1 dead letters")
    assert dead() == [three]
