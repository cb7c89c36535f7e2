"""`make pictures`: takes the pictures of docs/web.md from the running page, with a worker and the API's stand-in behind it."""

from __future__ import annotations

import base64
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from sandbox import Sandbox
from tests.harness import House, wait_for
from tests.harness.browser import missing_browser, open_browser
from tests.harness.house import message
from tests.harness.web import TOKEN, WebProcess
from workers.embedded import EmbeddedRedis
from workers.history import KEPT_MINUTES

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
#: The width of the window, and whether the page is dark.
WIDE, NARROW, DARK = (1200, False), (390, False), (1200, True)


@dataclass(frozen=True)
class Scene:
    """What to prepare, the page that shows it, and the windows in which its picture is taken."""

    name: str
    path: str
    looks: dict[str, tuple[int, bool]]
    prepare: Callable[[House], str | None] = lambda _: None


def enqueue_batch(house: House) -> str:
    """Enqueue a batch in which some rows name a wrong group; return the path of one job's page."""
    group = house.new_group("sms", "Pizza lovers")
    for number in range(3000):
        _, redis_id, body = message(
            "add_contact",
            {
                "channel": "sms", "group_id": group if number % 23 else "gro_404", "phone": f"+3247012{number:04d}", "first_name": "Ann",
                "batch_id": "spring-2026", "batch_size": 3000,
            },
            queue_name="bulk",
        )  # fmt: skip
        house.push("bulk", redis_id, json.dumps(body))
    house.enqueue_many("verify_webhook", [{"webhook_id": f"evt_{number}"} for number in range(40)])
    ids = house.enqueue_many(
        "add_contact",
        [
            {"channel": "sms", "group_id": group, "phone": f"+3247112{number:04d}", "first_name": "Ann"}
            for number in range(60)
        ],
    )
    house.wait_answered(ids[:1], seconds=120)
    wait_for(lambda: house.redis.zcard("dramatiq:bulk.XQ") > 8, seconds=120, what="dead letters")
    return f"/job?id={ids[0]}"


def pause(house: House) -> None:
    """Begin an operator's hold, and wait until it has parked jobs."""
    house.run("pause", "--scope", "sms", "--reason", "the vendor moves house until 14:00")
    wait_for(lambda: house.redis.keys("coupontools:parked:*"), seconds=60, what="parked jobs")
    time.sleep(3)


def remember(house: House) -> None:
    """Write two made-up days of history, the same at every run."""
    this = int(house.redis.time()[0]) // 60
    with house.redis.pipeline(transaction=False) as pipeline:
        for minute in range(this - KEPT_MINUTES + 1, this):
            day = 1.2 + math.sin(minute / 1440 * 2 * math.pi)
            importing = minute % 700 < 200
            counts = {
                "contacts|succeeded": round(170 * day + minute * 7 % 40), "webhooks|succeeded": 20 + minute % 7,
                "bulk|succeeded": 90 * importing, "bulk|replayed": 60 * (minute % 700 < 60),
                "contacts|failed:rejected": (0, 0, 3, 9)[minute % 4], "contacts|failed:expired": 12 * (minute % 47 == 0),
            }  # fmt: skip
            ages = {
                "webhooks": 400, "groups": 0, "reads": 900, "contacts": round(900 * day * (1 + minute * 13 % 5)),
                "bulk": minute % 700 * 9000 if importing else 0,
            }  # fmt: skip
            pipeline.hset(f"coupontools:minute:{minute}", mapping=counts)
            pipeline.hset(f"coupontools:age:{minute}", mapping=ages)
        pipeline.execute()


SCENES = (
    Scene("rest", "/", {"wide": WIDE}),
    Scene("job", "", {"wide": WIDE}, enqueue_batch),
    Scene("load", "/", {"wide": WIDE, "narrow": NARROW, "dark": DARK}),
    Scene("batch", "/batch?id=spring-2026", {"wide": WIDE}),
    Scene("dead", "/dead", {"wide": WIDE, "narrow": NARROW}),
    Scene("hold", "/", {"wide": WIDE, "narrow": NARROW}, pause),
    Scene("before", "/before", {"wide": WIDE, "dark": DARK}, remember),
)


def main() -> int:
    """Take all pictures; return 1 if there is no browser."""
    if problem := missing_browser():
        print(f"pictures: {problem}", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with EmbeddedRedis() as server, Sandbox() as sandbox, House(server, sandbox) as house:
        house.worker(COUPONTOOLS_RATE_LIMIT=20)
        with (
            tempfile.TemporaryDirectory(prefix="pictures-") as state,
            WebProcess(house.environment(STATE_DIR=state)) as web,
        ):
            for scene in SCENES:
                path = scene.prepare(house) or scene.path
                for look, (width, dark) in scene.looks.items():
                    with open_browser(width, dark=dark) as driver:
                        sign_in(driver, web)
                        driver.get(f"{web.url}{path}")
                        shoot(driver, FOLDER / f"{scene.name}-{look}.png")
                if scene.name == "rest":
                    import_a_file(house, web)
    return 0


def import_a_file(house: House, web: WebProcess) -> None:
    """Take the pictures of an import: of what was read from its file, and of its progress."""
    group = house.new_group("sms", "Summer")
    with open_browser() as driver, tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        file = Path(folder, "people.csv")
        rows = [
            f"0470 13 {n // 100:02d} {n % 100:02d},Ann,Lee" if n % 40 else f"0470 1{n},Ann,"
            for n in range(1, 800)
        ]
        file.write_text("\n".join(["phone,first_name,last_name", *rows]), encoding="utf-8")
        sign_in(driver, web)
        driver.get(f"{web.url}/imports")
        driver.find_element(By.ID, "file").send_keys(str(file))
        driver.find_element(By.CSS_SELECTOR, "main button.main").click()
        driver.find_element(By.ID, "country").send_keys("BE")
        driver.find_element(By.ID, "group-id").send_keys(group)
        driver.find_element(By.CSS_SELECTOR, "button[value=check]").click()
        shoot(driver, FOLDER / "import-file-wide.png")
        driver.find_element(By.CSS_SELECTOR, "button[value=begin]").click()
        wait_for(lambda: house.redis.xlen("coupontools:events") > 100, seconds=120, what="some answers")
        shoot(driver, FOLDER / "import-wide.png")


def sign_in(driver: WebDriver, web: WebProcess) -> None:
    """Sign in as an operator."""
    driver.get(f"{web.url}/sign-in")
    driver.find_element(By.ID, "token").send_keys(TOKEN)
    driver.find_element(By.CSS_SELECTOR, "main button").click()


def shoot(driver: WebDriver, file: Path) -> None:
    """Take a picture of a whole page, but cut off the end of a very long one."""
    if driver.find_elements(By.CSS_SELECTOR, "[data-live]"):
        live = "return document.querySelector('[data-live-state]').textContent"
        wait_for(lambda: driver.execute_script(live) == "Live", what="what moves")
    width, height = driver.execute_script(
        "const e = document.documentElement; return [e.clientWidth, e.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 1200 if width > 500 else 1500), "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    file.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    sys.exit(main())
