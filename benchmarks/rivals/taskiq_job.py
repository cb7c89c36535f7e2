"""The bare job with taskiq and aiohttp. Runs in an environment of its own, which knows nothing of this project."""

import asyncio
import os
import sys

import aiohttp
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])
HEADERS = {"X-Client-Id": "id", "X-Client-Secret": "secret"}


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    state.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=HEADERS)
    broker.session = state.session


@broker.task
async def add_contact(**contact: str) -> None:
    async with broker.session.post(
        f"{os.environ['API_URL']}/v4/messageservice/user/add", json=contact
    ) as answer:
        if (await answer.json())["status"]["status"] != "OK":
            raise RuntimeError("not added")


async def enqueue(count: int) -> None:
    await broker.startup()
    for number in range(count):
        await add_contact.kiq(
            group_id="gro_119251", phone=f"+3247{number:08d}", first_name="Ada", last_name="Lovelace"
        )
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
