"""Nobody gets in without a token, by any route or method, and no other site can act for somebody who has one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.routing import Route

from tests.harness import House
from tests.harness.web import IMPORT_TOKEN, TOKEN
from tests.workers.web.conftest import BASE, Browser, Open, form_token
from workers.web import door

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPEN = {"/health", "/sign-in", "/static/{path:path}"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def guarded_paths(browser: Browser) -> list[str]:
    """Return every path of the application that needs a token, and two that do not exist."""
    paths = [route.path for route in browser.routes.routes if isinstance(route, Route)]
    assert {*OPEN, "/"} < set(paths)
    return [*(path for path in paths if path not in OPEN), "/nothing", "/static"]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SECONDS_APART", 0.001)


@pytest.mark.usefixtures("_quick")
async def test_every_route_refuses_every_method_of_who_has_no_token(page: Open) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {},
        {"Authorization": "Bearer wrong-but-long-enough"},
        {"Authorization": "Basic b3A6b3A="},
        {"Cookie": "coupontools_session=operator.99999999999.name.0000"},
        {"Cookie": b"coupontools_session=\xe9...."},
    )
    async with page() as browser, browser.another() as stranger:
        for path in guarded_paths(browser):
            for method in METHODS:
                for headers in wrong:
                    answer = await stranger.request(method, path, headers={"Accept": "*/*"} | headers)
                    assert answer.status_code == 401, (method, path, headers)
                    assert "www-authenticate" in answer.headers
                    foreign = {"Origin": "https://evil.example"}
                    answer = await stranger.request(method, path, headers=headers | foreign)
                    assert answer.status_code == 403, (method, path, headers)
            # A browser is led to the page for signing in, and from there back to the page that it wanted.
            answer = await stranger.get(f"{path}?a=b")
            assert (answer.status_code, answer.headers["location"][:14]) == (303, "/sign-in?next=")


async def test_a_foreign_origin_and_a_form_without_its_token_are_refused_with_the_right_token_too(
    house: House, page: Open
) -> None:
    async with page() as browser:
        await browser.sign_in()
        forms = [
            route.path
            for route in browser.routes.routes
            if isinstance(route, Route) and "POST" in route.endpoint.actions  # type: ignore[attr-defined]
        ]
        assert len(forms) > 3
        own = form_token((await browser.get("/")).text)
        for path in forms:
            for origin in ("https://evil.example", "null", "https://page.example", f"{BASE}:81"):
                answer = await browser.client.post(
                    path, data={"form_token": own, "token": TOKEN}, headers={"Origin": origin}
                )
                assert answer.status_code == 403, (path, origin)
                assert "set-cookie" not in answer.headers
            for token in ("", "wrong", own[:-1], own + "0"):
                if path == "/sign-in":
                    continue
                answer = await browser.client.post(path, data={"form_token": token}, headers={"Origin": BASE})
                assert answer.status_code == 403, (path, token)
        # Nothing was done, and the session is still valid.
        assert house.events() == []
        assert (await browser.get("/")).status_code == 200


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_ends_with_the_session(page: Open) -> None:
    async with page() as browser:
        answer = await browser.sign_in()
        cookie = answer.headers["set-cookie"]
        assert answer.status_code == 303
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert TOKEN not in cookie
        async with browser.another() as behind_a_proxy:
            answer = await behind_a_proxy.post(
                "/sign-in",
                data={"token": TOKEN},
                headers={"X-Forwarded-Proto": "https", "Origin": "https://page.example"},
            )
            assert "Secure" in answer.headers["set-cookie"].split("; ")
        stolen = browser.client.cookies["coupontools_session"]
        assert (await browser.get("/")).status_code == 200
        # Another tab, or whoever has the cookie, watches.
        watching = asyncio.create_task(browser.get("/live"))
        async with asyncio.timeout(240), browser.another(Authorization=f"Bearer {TOKEN}") as program:
            while not browser.desk.lives.of("now", dict).is_watched:  # noqa: ASYNC110 - nothing tells when it is
                await asyncio.sleep(0.01)
            # A program's sign-out ends nobody's session.
            assert (await program.post("/sign-out")).status_code == 303
            assert (await program.get("/")).status_code == 200
            await browser.send("/sign-out", {})
            assert (await watching).status_code == 200
        async with browser.another(Cookie=f"coupontools_session={stolen}") as thief:
            assert (await thief.get("/")).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [
        ("/?a=b", "/?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_leads_to_our_own_pages_alone(page: Open, wanted: str, goes_to: str) -> None:
    async with page() as browser:
        answer = await browser.client.post("/sign-in", data={"token": TOKEN, "next": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, goes_to)


async def test_wrong_tokens_wait_for_their_turn_and_the_right_one_never(
    page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SECONDS_APART", 0.01)
    monkeypatch.setattr(door, "LONGEST_SECONDS", 0.1)
    async with page() as browser:

        async def wrong(number: int) -> int:
            answer = await browser.client.post("/sign-in", data={"token": f"wrong-{number}"})
            return answer.status_code

        statuses = await asyncio.gather(*map(wrong, range(100)))
        # Ten find a turn; how many more depends on how fast the machine is.
        assert set(statuses) <= {401, 429}
        assert statuses.count(401) >= 10
        # From here on no wrong token has a turn, however slow this machine is.
        monkeypatch.setattr(door, "LONGEST_SECONDS", -1.0)
        assert await wrong(0) == 429
        assert (await browser.get("/", headers={"Authorization": "Bearer wrong"})).status_code == 429
        assert (await browser.get("/", headers=BEARER)).status_code == 200
        assert (await browser.sign_in()).status_code == 303


async def test_the_second_token_opens_no_page_of_operators(page: Open) -> None:
    async with page() as browser:
        await browser.sign_in(IMPORT_TOKEN)
        assert (await browser.get("/")).headers["location"] == "/imports"
        for page_of_operators in ("/live", "/pause", "/dead", "/job?id=1", "/batch/failed?id=1"):
            assert (await browser.get(page_of_operators)).status_code == 403
        bearer = {"Authorization": f"Bearer {IMPORT_TOKEN}"}
        async with browser.another() as client:
            assert (await client.post("/pause", data={"scope": "account"}, headers=bearer)).status_code == 403


async def test_every_answer_tells_the_browser_what_it_may_not_do(page: Open) -> None:
    async with page() as browser:
        paths: dict[str, Any] = {"/": BEARER, "/sign-in": {}, "/nothing": BEARER, "/live?": {}, "/health": {}}
        for path, headers in paths.items():
            told = (await browser.get(path, headers=headers)).headers
            policy = dict(part.split(" ", 1) for part in told["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert told["x-frame-options"] == "DENY"
            assert told["x-content-type-options"] == "nosniff"
            assert told["cache-control"] == "no-store"
            assert told["referrer-policy"] == "same-origin"
        assert (await browser.get("/static/page.css")).headers["cache-control"] == "no-cache"
        for path in (
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static/none.css",
            "/static/",
            "/static//etc/passwd",
        ):
            assert (await browser.get(path)).status_code in {303, 404}
        told = await browser.client.delete("/static/page.css")
        assert (told.status_code, told.headers["allow"]) == (405, "HEAD, GET")
        # HEAD ends, unlike the stream of GET.
        assert (await browser.client.head("/live", headers=BEARER)).status_code == 200
        text = (await browser.get("/", headers=BEARER)).text
        assert "<script src=" in text
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick=" not in text


async def test_a_form_that_is_too_long_or_none_is_refused(page: Open) -> None:
    async with page() as browser:
        answer = await browser.client.post("/pause", data={"reason": "x" * 100_000}, headers=BEARER)
        assert answer.status_code == 413

        async def endless() -> Any:
            for _ in range(100):
                yield b"reason=" + b"x" * 10_000

        answer = await browser.client.post("/pause", content=endless(), headers=BEARER | {
            "Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
        assert answer.status_code == 413
        broken = {"Content-Type": "multipart/form-data"}
        answer = await browser.client.post("/pause", content=b"--x", headers=BEARER | broken)
        assert answer.status_code == 400
        # Strangers can send the form that signs in, in any encoding that Python knows.
        odd = {"Content-Type": "multipart/form-data; boundary=B; charset=undefined"}
        content = b'--B\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--B--\r\n'
        assert (await browser.client.post("/sign-in", content=content, headers=odd)).status_code == 400
