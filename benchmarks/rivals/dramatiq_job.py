"""The bare job with Dramatiq's threads and httpx. Runs in an environment of its own, which knows nothing of this project."""

import logging
import os
import sys

import dramatiq
import httpx
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
# httpx would write a line for each call.
logging.getLogger("httpx").setLevel(logging.WARNING)
HEADERS = {"X-Client-Id": "id", "X-Client-Secret": "secret"}
client = httpx.Client(
    base_url=os.environ["API_URL"],
    headers=HEADERS,
    timeout=30,
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
)


@dramatiq.actor
def add_contact(**contact: str) -> None:
    answer = client.post("/v4/messageservice/user/add", json=contact)
    if answer.json()["status"]["status"] != "OK":
        raise RuntimeError("not added")


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        add_contact.send(
            group_id="gro_119251", phone=f"+3247{number:08d}", first_name="Ada", last_name="Lovelace"
        )
