"""Enqueue all five jobs with stock Dramatiq, and print their message ids."""

import json
import os
import sys
import uuid

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

STREAM, GROUP = "coupontools:events", "example-python"

# Dramatiq's maintenance is the worker's: done by a producer, it would search all of Redis's keys.
broker = RedisBroker(url=os.environ["REDIS_URL"], maintenance_chance=0)


def declare(actor_name: str, queue_name: str) -> dramatiq.Actor:
    """Return an actor that is only sent to: its name and queue are all that this service knows of it."""

    def elsewhere(**_: object) -> None:
        raise RuntimeError("the worker carries this out")

    return dramatiq.actor(elsewhere, actor_name=actor_name, queue_name=queue_name, broker=broker)


create_group = declare("create_group", "groups")
add_contact = declare("add_contact", "contacts")
list_groups = declare("list_groups", "reads")
list_contacts = declare("list_contacts", "reads")
verify_webhook = declare("verify_webhook", "webhooks")


def create_consumer_group() -> None:
    """Create it before the first job: "$" is the end of the stream at this moment, so no answer is in its past."""
    try:
        broker.client.xgroup_create(STREAM, GROUP, id="$", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def wait_for_answer(reply_to: str) -> dict:
    """Return the event that answers the job with this `reply_to`."""
    answer = broker.client.blpop([f"coupontools:reply:{reply_to}"], timeout=30)
    if answer is None:
        sys.exit("no answer within 30 s: does a worker run?")
    return json.loads(answer[1])


def main() -> None:
    """Create a group, wait for its id, and do the rest with it."""
    create_consumer_group()
    reply_to = f"{GROUP}-{uuid.uuid4()}"
    print(create_group.send(channel="email", name=f"Example {reply_to}", reply_to=reply_to).message_id)
    answer = wait_for_answer(reply_to)
    if answer["type"] != "coupontools.group.created":
        sys.exit(f"the group was not created: {answer['data']}")
    group_id = answer["data"]["group_id"]
    contact = {"channel": "email", "group_id": group_id, "email": "ada@example.com"}
    # `delay` is in milliseconds.
    print(add_contact.send_with_options(kwargs=contact, delay=1000).message_id)
    print(list_groups.send(channel="email").message_id)
    print(list_contacts.send(channel="email", group_id=group_id).message_id)
    print(verify_webhook.send(webhook_id=f"evt_{uuid.uuid4().hex}").message_id)


main()
