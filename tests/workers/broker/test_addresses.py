"""Ways to a Redis: a socket of this machine, a password, another database."""

from __future__ import annotations

import pytest

from tests.harness import House


@pytest.mark.parametrize("way", ["unix", "password"])
def test_a_job_is_answered_and_commands_work(fragile_house: House, way: str) -> None:
    house, server = fragile_house, fragile_house.server
    if way == "unix":
        server.kill()
        server.launch("--unixsocket", str(server.folder / "s"))
        server.wait_ready()
        url = f"unix://{server.folder}/s?db=0"
    else:
        house.redis.config_set("requirepass", "hunter 2/x")
        url = f"redis://:hunter%202%2Fx@127.0.0.1:{server.port}/0"
    worker = house.worker(REDIS_URL=url)
    done = house.run("enqueue", "list_groups", "--channel", "sms", "--wait", REDIS_URL=url)
    assert (done.returncode, "groups.listed" in done.stdout) == (0, True), done.stderr
    # Long enough that a busy machine does not look like a dead worker.
    assert house.run("check", REDIS_URL=url, WORKER_HEARTBEAT_SECONDS=20).returncode == 0
    assert worker.terminate() == 0
    assert "hunter" not in worker.log_text
