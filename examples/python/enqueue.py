"""Enqueue all five jobs with redis alone, and print their message ids."""

import json
import os
import sys
import time
import uuid

import redis

STREAM, GROUP = "coupontools:events", "example-python"

client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def create_consumer_group() -> None:
    """Create it before the first job: "$" is the end of the stream at this moment, so no answer is in its past."""
    try:
        client.xgroup_create(STREAM, GROUP, id="$", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def enqueue(queue: str, actor: str, **arguments: object) -> str:
    """Enqueue one job and return its message id, by which its answer is found."""
    entry, message_id = str(uuid.uuid4()), str(uuid.uuid4())
    message = {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": arguments,
        "options": {"redis_message_id": entry},
        "message_id": message_id,
        "message_timestamp": int(time.time() * 1000),
    }
    # In one MULTI: neither stands there without the other.
    with client.pipeline(transaction=True) as pipeline:
        pipeline.hset(f"dramatiq:{queue}.msgs", entry, json.dumps(message))
        pipeline.rpush(f"dramatiq:{queue}", entry)
        pipeline.execute()
    print(message_id)
    return message_id


def wait_for_answer(reply_to: str) -> dict:
    """Return the event that answers the job with this `reply_to`."""
    answer = client.blpop([f"coupontools:reply:{reply_to}"], timeout=30)
    if answer is None:
        sys.exit("no answer within 30 s: does a worker run?")
    return json.loads(answer[1])


def main() -> None:
    """Create a group, wait for its id, and do the rest with it."""
    create_consumer_group()
    reply_to = f"{GROUP}-{uuid.uuid4()}"
    enqueue("groups", "create_group", channel="sms", name=f"Example {reply_to}", reply_to=reply_to)
    answer = wait_for_answer(reply_to)
    if answer["type"] != "coupontools.group.created":
        sys.exit(f"the group was not created: {answer['data']}")
    group_id = answer["data"]["group_id"]
    enqueue(
        "contacts", "add_contact", channel="sms", group_id=group_id, phone="+32470123456", first_name="Ada"
    )
    enqueue("reads", "list_groups", channel="sms")
    enqueue("reads", "list_contacts", channel="sms", group_id=group_id)
    enqueue(
        "webhooks", "verify_webhook", payload={"id": f"evt_{uuid.uuid4().hex}", "type": "coupon_validated"}
    )


main()
