"""The operators' page inside the test process: whole requests to the application, without a socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from config.settings import Settings
from tests.harness import House
from tests.harness.web import IMPORT_TOKEN, TOKEN
from workers.redis_link import sync_client
from workers.web.app import create_app
from workers.web.desk import Desk

BROWSER = {"Accept": "text/html"}
BASE = "http://page.example"


class Browser:
    """A client that keeps cookies and sends forms as a browser does."""

    def __init__(self, app: Any, routes: Router, desk: Desk) -> None:
        self.app = app
        self.routes = routes
        self.desk = desk
        self.client = self.another()

    def another(self, **headers: str) -> httpx.AsyncClient:
        """Return a client with cookies of its own."""
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=BROWSER | headers)

    async def sign_in(self, token: str = TOKEN, **headers: str) -> httpx.Response:
        """Sign in, and keep the cookie."""
        return await self.client.post(
            "/sign-in", data={"token": token, "next": "/"}, headers={"Origin": BASE} | headers
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return await self.client.get(path, **options)

    async def send(self, path: str, form: dict[str, Any], *, of: str = "/") -> httpx.Response:
        """Send a form with the form token of the page ``of``, and follow the redirect to the page with the result."""
        token = form_token((await self.get(of)).text)
        return await self.client.post(
            path, data={**form, "form_token": token}, headers={"Origin": BASE}, follow_redirects=True
        )


def form_token(page: str) -> str:
    """Return the token in the forms of a page."""
    return re.findall(r'name="form_token" value="([0-9a-f]+)"', page)[0]


Open = Callable[..., AbstractAsyncContextManager[Browser]]


@pytest.fixture
def page(house: House, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the page of the house with these settings."""

    @asynccontextmanager
    async def opened(**settings: object) -> AsyncIterator[Browser]:
        # With this long heartbeat, a worker that is slow on a busy machine still counts as living.
        own = {"WEB_TOKEN": TOKEN, "WEB_IMPORT_TOKEN": IMPORT_TOKEN, "WORKER_HEARTBEAT_SECONDS": 20}
        given = house.environment(**{**own, **settings})
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        read = Settings()
        with sync_client(read.redis_url) as client:
            browser = Browser(*create_app(read, client))
            try:
                async with browser.client:
                    yield browser
            finally:
                browser.desk.workshop.stop()

    return opened
