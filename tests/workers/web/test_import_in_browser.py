"""An import of 50,000 rows, 100 of them wrong, in a real browser: it stays quick and small, and runs nothing from outside."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.harness import House, wait_for
from tests.harness.browser import missing_browser, open_browser
from tests.harness.web import IMPORT_TOKEN, WebProcess

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(bool(missing_browser()), reason=missing_browser()),
]

MARKUP = '<script>window.ran = 1</script><img src=x onerror="window.ran = 2">'
ROWS, WRONG = 50_000, 100
MOST_MEMORY_MIB = 256


def people(path: Path) -> Path:
    """Write a file whose names are markup, and whose every 500th number is wrong."""
    every = ROWS // WRONG
    with path.open("w", encoding="utf-8") as file:
        file.write("Mobile,first_name\n")
        for number in range(ROWS):
            to = MARKUP if number % every == every - 1 else f"+3247{number:07}"
            file.write(f'"{to.replace(chr(34), chr(34) * 2)}","Ada {MARKUP.replace(chr(34), chr(34) * 2)}"\n')
    return path


def text_of(driver: WebDriver) -> str:
    """Return the text of the page, and check that no markup has run."""
    assert driver.execute_script("return window.ran") is None
    return str(driver.execute_script("return document.body.innerText"))


def shows(driver: WebDriver, text: str, seconds: float = 60) -> None:
    """Wait until the page, which updates itself, shows a text."""
    wait_for(lambda: text in text_of(driver), seconds=seconds, what=text, show=lambda: text_of(driver))


def press(driver: WebDriver, text: str) -> None:
    """Press a button."""
    driver.find_element(By.XPATH, f"//main//button[contains(., '{text}')]").click()


def answered(driver: WebDriver) -> int:
    """Return how many rows are answered, as the page says."""
    found = driver.execute_script(
        "const p = document.querySelector('[data-part=progress] progress'); return p && p.value"
    )
    return int(found or 0) if " answered" in text_of(driver) else 0


def test_fifty_thousand_rows(house: House, tmp_path: Path) -> None:
    file = people(tmp_path / "people.csv")
    house.sandbox.add_groups("sms", name=f"Pizza {MARKUP}")
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=7)
    house.worker(WORKER_PROCESSES=1)
    with WebProcess(house.environment(STATE_DIR=tmp_path)) as web, open_browser() as driver:
        driver.get(f"{web.url}/sign-in")
        driver.find_element(By.ID, "token").send_keys(IMPORT_TOKEN)
        press(driver, "Sign in")
        shows(driver, "A file of contacts")
        driver.find_element(By.ID, "file").send_keys(str(file))
        press(driver, "Look at it")
        shows(driver, "What the columns hold")
        driver.execute_script("document.getElementById('column-0').value = 'phone'")
        press(driver, "List the groups")
        shows(driver, "One of the groups")
        driver.execute_script("document.getElementById('listed').selectedIndex = 1")
        press(driver, "Check all rows")
        shows(driver, f"{WRONG} rows are wrong", seconds=300)
        shows(driver, f"line {ROWS // WRONG + 1}:")
        driver.execute_script("document.getElementById('listed').selectedIndex = 1")
        began = time.monotonic()
        press(driver, "Begin the import")
        wait_for(lambda: answered(driver), seconds=300, what="the first answer", show=lambda: text_of(driver))
        first = time.monotonic() - began
        wait_for(lambda: answered(driver) > ROWS // 2, seconds=900, what="half of the answers")
        driver.refresh()
        shows(driver, "Live")
        assert answered(driver) > ROWS // 2
        before = time.monotonic()
        assert httpx.get(f"{web.url}/health", timeout=60).status_code == 200
        health = time.monotonic() - before
        shows(driver, "Done: every job is answered", seconds=900)
        last = time.monotonic() - began
        cookies = {each["name"]: each["value"] for each in driver.get_cookies()}
        path = driver.current_url
        files = {
            kind: httpx.get(f"{path}/{kind}.csv", cookies=cookies, timeout=60)
            for kind in ("refused", "failed")
        }
        rows = {kind: len(answer.text.splitlines()) - 1 for kind, answer in files.items()}
        status = Path(f"/proc/{web.process.pid}/status").read_text(encoding="ascii")
        memory = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        print(  # noqa: T201 - the figures are what this test is for
            f"{file.stat().st_size:,} bytes; first answer seen after {first:.1f} s, the last after {last:.1f} s; "
            f"at most {memory:.0f} MiB; /health {health * 1000:.0f} ms; rows to download: {rows}"
        )
        assert rows == {"refused": WRONG, "failed": 7}
        assert memory < MOST_MEMORY_MIB
        assert house.counts()["contacts"] == ROWS - WRONG - 7
        complaints = [
            entry for entry in driver.get_log("browser") if "Content Security Policy" in entry["message"]
        ]
        assert complaints == []
