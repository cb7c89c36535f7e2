"""The page in a real browser: it updates itself, says when it has lost the server, and runs nothing that came from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.harness import House, wait_for
from tests.harness.browser import missing_browser, open_browser
from tests.harness.web import TOKEN, WebProcess
from workers.web.pages import PAGES

pytestmark = pytest.mark.skipif(bool(missing_browser()), reason=missing_browser())

#: Each of these would set `window.ran` if a browser took it for markup, and a template would multiply the numbers.
MARKUP = (
    '<script>window.ran = 1</script><img src=x onerror="window.ran = 2"><svg onload="window.ran = 3">'
    "\"'><a href=javascript:window.ran=4 autofocus onfocus=window.ran=5>{{ 7919 * 7907 }}"
)


@pytest.fixture
def full(house: House) -> House:
    """A house with something on every page, and markup in every field that comes from outside."""
    seconds = int(house.redis.time()[0])
    event = {
        "specversion": "1.0", "id": f"job {MARKUP}", "source": MARKUP, "type": f"coupontools.{MARKUP}", "time": MARKUP,
        "correlationid": "corr", "batchid": f"batch {MARKUP}", "data": {"phone": MARKUP, "error": {"kind": MARKUP, "message": MARKUP}},
    }  # fmt: skip
    hold = {"scope": "sms", "kind": "paused", "code": "", "message": MARKUP, "since": 1, "worker": MARKUP}
    letter = {
        "job": MARKUP,
        "kind": MARKUP,
        "code": MARKUP,
        "message": MARKUP,
        "message_id": MARKUP,
        "batch_id": MARKUP,
    }
    about = {"queues": [MARKUP], "host": MARKUP, "pid": 1, "account": "none", "without": MARKUP}
    redis = house.redis
    redis.xadd("coupontools:events", {"type": "x", "event": json.dumps(event)})
    redis.hset("coupontools:workers", MARKUP, json.dumps(about))
    redis.zadd("dramatiq:__heartbeats__", {MARKUP: seconds * 1000})
    redis.hset("coupontools:holds:none", "sms", json.dumps(hold))
    redis.hset(f"dramatiq:{MARKUP}.msgs", "x", "x")
    redis.hset(
        f"coupontools:minute:{seconds // 60 - 30}",
        mapping={f"{MARKUP}|failed:{MARKUP}": 5, "contacts|succeeded": 90},
    )
    redis.hset(f"coupontools:age:{seconds // 60 - 30}", mapping={"contacts": 90_000})
    redis.zadd("dramatiq:contacts.XQ", {MARKUP: seconds * 1000})
    redis.hset(
        "dramatiq:contacts.XQ.msgs",
        MARKUP,
        json.dumps({"message_id": MARKUP, "kwargs": {"phone": MARKUP, MARKUP: MARKUP}}),
    )
    redis.hset("coupontools:dead:contacts", MARKUP, json.dumps(letter))
    redis.zadd("coupontools:batches", {"digest": 1})
    redis.hset(
        "coupontools:batch:digest",
        mapping={"id": MARKUP, "size": 9, "answered": 4, f"failed:{MARKUP}": 4, "began_at": 1},
    )
    house.enqueue(
        "add_contact", channel="sms", phone=MARKUP, correlation_id="corr", group_id=MARKUP, **{MARKUP: MARKUP}
    )
    return house


@pytest.fixture
def web(full: House, tmp_path: Path, closed_port: int) -> Iterator[WebProcess]:
    """The page of that house, at a port that no other program gets while the page is restarted, and a file to import."""
    (tmp_path / "people.csv").write_text(
        f'phone,first_name,{"<b>"}\n12,"{MARKUP.replace(chr(34), chr(34) * 2)}",\n'
    )
    with WebProcess(full.environment(STATE_DIR=tmp_path), closed_port) as web:
        yield web


def sign_in(driver: WebDriver, web: WebProcess, wanted: str = "/") -> None:
    driver.get(f"{web.url}{wanted}")
    driver.find_element(By.ID, "token").send_keys(TOKEN)
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    wait_for(
        lambda: driver.current_url == f"{web.url}{wanted}",
        what="the sign in",
        show=lambda: driver.page_source,
    )


def text_of(driver: WebDriver) -> str:
    # In one step: the page may update an element between two steps.
    return str(driver.execute_script("return document.body.innerText"))


def every_page(driver: WebDriver, web: WebProcess, file: Path) -> Iterator[str]:
    """Upload a file; open every page of the navigation, pages that its tables link to, and what their buttons show. Yield their names."""
    driver.get(f"{web.url}/imports")
    driver.find_element(By.ID, "file").send_keys(str(file))
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    wait_for(
        lambda: "What the columns hold" in text_of(driver), what="the upload", show=lambda: text_of(driver)
    )
    yield "/imports, uploaded"
    driver.execute_script("document.getElementById('column-2').value = '(ignored)'")
    driver.find_element(By.CSS_SELECTOR, 'button[value="check"]').click()
    wait_for(lambda: "1 row is wrong" in text_of(driver), what="the check", show=lambda: text_of(driver))
    yield "/imports, checked"
    for page in PAGES:
        driver.get(f"{web.url}{page.path}")
        yield page.path
        links = [str(each.get_attribute("href")) for each in driver.find_elements(By.CSS_SELECTOR, "th a")]
        for link in links[:2]:
            driver.get(link)
            yield link
            for button in driver.find_elements(By.CSS_SELECTOR, 'form[action$="openly"] button')[:1]:
                button.click()
                yield f"{link}, openly"
    driver.get(f"{web.url}/find")
    driver.execute_script("document.getElementById('way').value = 'correlation'")
    driver.find_element(By.ID, "wanted").send_keys("corr")
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    wait_for(lambda: "found" in text_of(driver), what="the search", show=lambda: text_of(driver))
    yield "/find, found"


@pytest.mark.story
def test_it_moves_by_itself_says_that_it_has_lost_the_server_and_finds_it_again(
    full: House, web: WebProcess
) -> None:
    with open_browser() as driver:
        sign_in(driver, web)
        wait_for(lambda: "Live" in text_of(driver), what="the first news", show=lambda: text_of(driver))
        full.enqueue_many("list_groups", [{"channel": "sms"}] * 731)
        wait_for(lambda: "731" in text_of(driver), what="what is new", show=lambda: text_of(driver))
        # The update has also brought the markup in the page's sentences.
        assert "<script>window.ran" in text_of(driver)
        assert driver.execute_script("return window.ran") is None
        assert web.end() == 0
        wait_for(lambda: "The server does not answer" in text_of(driver), what="the loss")
        with WebProcess(full.environment(), web.port):
            # The session outlives a restart.
            wait_for(
                lambda: "Live" in text_of(driver), what="the server's return", show=lambda: text_of(driver)
            )


@pytest.mark.story
def test_it_tells_the_servers_time_and_says_when_it_is_signed_out(full: House, web: WebProcess) -> None:
    """It must not show the browser's time, nor say that the server does not answer when the server says that nobody is signed in."""
    with open_browser() as driver:
        wrong = "Date.now = () => 0; Date.prototype.toISOString = () => '1970-01-01T00:00:00Z'"
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": wrong})
        sign_in(driver, web)
        wait_for(lambda: "Live" in text_of(driver), what="the first news", show=lambda: text_of(driver))
        shown = driver.find_element(By.CSS_SELECTOR, "[data-live-time]").text
        told = datetime.combine(datetime.now(UTC), datetime.strptime(shown, "%H:%M:%S UTC").time(), UTC)  # noqa: DTZ007
        # The time shown is a moment old, maybe from before midnight.
        assert (datetime.now(UTC) - told) % timedelta(days=1) < timedelta(minutes=10)
        driver.delete_all_cookies()
        assert web.end() == 0
        with WebProcess(full.environment(), web.port):
            wait_for(
                lambda: "You are not signed in any more" in text_of(driver),
                what="the end of the session",
                show=lambda: text_of(driver),
            )


@pytest.mark.story
def test_long_names_make_no_page_wider_than_a_telephone(web: WebProcess, tmp_path: Path) -> None:
    file = tmp_path / f"{'W' * 90}.csv"
    file.write_text(f"phone,{'L' * 200},first_name\nbad{'z' * 300},x,{'W' * 255}\n")
    with open_browser(360, 740) as driver:
        sign_in(driver, web, "/imports")
        driver.find_element(By.ID, "file").send_keys(str(file))
        driver.find_element(By.CSS_SELECTOR, "main button").click()
        for column in ("", "(ignored)"):
            wait_for(
                lambda: "What the columns hold" in text_of(driver),
                what="the file",
                show=lambda: text_of(driver),
            )
            assert driver.execute_script("return document.documentElement.scrollWidth") == 360
            driver.execute_script("document.getElementById('column-1').value = arguments[0]", column)
            driver.find_element(By.CSS_SELECTOR, 'button[value="check"]').click()
        wait_for(lambda: "1 row is wrong" in text_of(driver), what="the check", show=lambda: text_of(driver))
        assert driver.execute_script("return document.documentElement.scrollWidth") == 360


@pytest.mark.chaos
def test_nothing_that_came_from_outside_runs_on_any_page(web: WebProcess, tmp_path: Path) -> None:
    with open_browser() as driver:
        sign_in(driver, web)
        seen = 0
        for path in every_page(driver, web, tmp_path / "people.csv"):
            assert driver.execute_script("return window.ran") is None, path
            markup = "main img, main script, main a[href^=javascript], main [onload], main [onfocus]"
            assert not driver.find_elements(By.CSS_SELECTOR, markup), path
            shown = text_of(driver)
            # The product of the two numbers, which a template would show.
            assert "62615533" not in shown, path
            seen += "<script>window.ran" in shown
        # Nearly all pages show the markup as text.
        assert seen > 5
        log = [entry["message"] for entry in driver.get_log("browser")]
        assert [message for message in log if "Content Security Policy" in message] == []


@pytest.mark.chaos
@pytest.mark.skipif(
    "AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js; `make axe` fetches it"
)
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, False), (1200, True)])
def test_axe_finds_nothing(web: WebProcess, tmp_path: Path, width: int, dark: bool) -> None:
    axe = Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8")

    def violations() -> list[Any]:
        # The debugger runs it: the Content-Security-Policy does not apply there.
        driver.execute_script(axe)
        found: list[Any] = driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(result => done(result.violations.map("
            "v => [v.id, v.nodes.map(n => [n.html.slice(0, 200), n.failureSummary])])))"
        )
        return found

    with open_browser(width, dark=dark) as driver:
        driver.get(f"{web.url}/sign-in")
        assert violations() == []
        sign_in(driver, web)
        paths = []
        for path in every_page(driver, web, tmp_path / "people.csv"):
            driver.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert violations() == [], path
            paths.append(path)
        assert len(paths) > len(PAGES)
