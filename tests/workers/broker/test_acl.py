"""The smallest ACL that docs/operations.md gives is enough for a worker and its commands."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness import House, wait_for

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def rules() -> list[str]:
    (line,) = re.findall(
        r"^    ACL SETUSER worker (.*)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE
    )
    return str(line).replace(">PASSWORD", ">made-up").split()


def test_the_documented_acl_is_enough(fragile_house: House) -> None:
    house = fragile_house
    house.redis.execute_command("ACL", "SETUSER", "worker", *rules())
    as_worker = {"REDIS_URL": f"redis://worker:made-up@127.0.0.1:{house.server.port}/0"}
    group = house.new_group()
    killed = house.worker(WORKER_HEARTBEAT_SECONDS=1, **as_worker)
    house.sandbox.faults("close_after", endpoint="sms/addcontact", count=2)
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(20)],
    )
    ids.append(house.enqueue("create_group", channel="sms", name="Pizza"))
    ids.append(house.enqueue("list_contacts", channel="sms", group_id=group, idempotency_key="one"))
    ids.append(house.enqueue("verify_webhook", webhook_id="evt_1"))
    ids.append(house.enqueue("add_contact", channel="sms", group_id="gro_999999", phone="+32470000001"))
    house.push("contacts", "unreadable", "{")
    house.wait_answered(ids)
    # The unreadable entry leaves the dead letter that `dead retry` refuses.
    wait_for(lambda: house.tally()["message.rejected"] == 1, what="the rejection", show=house.log_tail)
    killed.kill()
    house.worker(WORKER_HEARTBEAT_SECONDS=1, WORKER_PROCESSES=2, REDIS_WAIT_REPLICAS=0, **as_worker)
    for command in (
        ["pause", "--reason", "a test"],
        ["status", "--json"],
        ["resume"],
        ["check"],
        ["dead", "list"],
        ["dead", "retry", "--all"],
        ["dead", "purge", "--yes"],
        ["enqueue", "list_groups", "--channel", "sms", "--wait"],
        ["events", "--json"],
    ):
        done = house.run(*command, **as_worker, WORKER_HEARTBEAT_SECONDS=20)
        # One of the two letters to be sent again is no readable job.
        assert done.returncode == (1 if command[1:] == ["retry", "--all"] else 0), (command, done.stderr)
    wait_for(
        lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="the retried job", show=house.log_tail
    )
    for worker in house.workers:
        worker.terminate()
    # The client library tells Redis its name (CLIENT SETINFO), and goes on if Redis refuses that.
    refused = {(entry["object"], entry["reason"]) for entry in house.redis.acl_log(128)}
    assert refused <= {("client", "command")}
