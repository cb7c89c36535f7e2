"""A real browser, if one is installed: Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

__all__ = ["missing_browser", "open_browser"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
#: How long to wait for a page, in seconds: a busy machine is slow, and only a test that fails waits this long.
PATIENCE_SECONDS = 240


def missing_browser() -> str:
    """Return why there is no browser here; empty if there is one."""
    if not any(map(shutil.which, BROWSERS)) or not shutil.which(DRIVER):
        return "no browser is installed (Debian, Ubuntu: apt install chromium chromium-driver)"
    return ""


@contextmanager
def open_browser(width: int = 1200, height: int = 900, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """Open a browser without a window and with an empty profile; it ends with the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(found for name in BROWSERS if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        # Chromium's own sandbox does not work for root and in containers, and it only sees our pages.
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}",
        ):  # fmt: skip
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
        try:
            driver.set_page_load_timeout(PATIENCE_SECONDS)
            driver.set_script_timeout(PATIENCE_SECONDS)
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            yield driver
        finally:
            driver.quit()
