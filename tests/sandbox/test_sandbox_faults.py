"""Every fault kind as a bare socket sees it, and whether the call was carried out."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from sandbox import Sandbox

Api = Callable[..., httpx.Response]
Wire = Callable[..., Any]

CALL = ("sms/addgroup", {"group_name": "Pizza"})
# How long to wait where no answer comes: a busy machine, too, has taken up the call by then.
PATIENCE = 2.0
SAVED = b'"saved_successfully"'


def last(sandbox: Sandbox) -> dict[str, Any]:
    """Return the only call in the sandbox's log."""
    (request,) = sandbox.requests()
    return request


def took_effect(sandbox: Sandbox) -> bool:
    """Return whether the call made its group, and check that the log and the counts agree."""
    made = sandbox.state()["counts"]["groups"] == 1
    assert last(sandbox)["carried_out"] is made
    assert sandbox.stats()["endpoints"]["sms/addgroup"] == {
        "calls": 1,
        "carried_out": int(made),
        "faulted": 1,
        "max_calls_in_one_second": 1,
    }
    return bool(made)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "ending", "carried_out"),
    [
        ({"kind": "close_before"}, "fin", False),
        ({"kind": "close_after"}, "fin", True),
        ({"kind": "reset"}, "rst", False),
        ({"kind": "reset", "carry_out": True}, "rst", True),
        ({"kind": "hang_before", "seconds": 0.05}, "fin", False),
        ({"kind": "hang_after", "seconds": 0.05}, "fin", True),
    ],
)
def test_the_connection_ends_without_an_answer(
    sandbox: Sandbox, wire: Wire, fault: dict[str, Any], ending: str, *, carried_out: bool
) -> None:
    sandbox.faults(**fault)
    received = wire(*CALL)
    assert (received.data, received.ending) == (b"", ending)
    assert took_effect(sandbox) is carried_out
    assert (last(sandbox)["fault"], last(sandbox)["status"]) == (fault["kind"], None)


@pytest.mark.parametrize(("kind", "carried_out"), [("hang_before", False), ("hang_after", True)])
def test_a_hanging_call_waits_for_the_client_to_give_up(
    sandbox: Sandbox, wire: Wire, kind: str, *, carried_out: bool
) -> None:
    sandbox.faults(kind)
    received = wire(*CALL, patience=PATIENCE)
    assert (received.data, received.ending) == (b"", "open")
    assert took_effect(sandbox) is carried_out


def test_a_call_can_take_effect_after_its_client_has_gone(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults("hang_before", commit_after_seconds=5.0)
    wire(*CALL, patience=PATIENCE)
    assert sandbox.state()["groups"] == []
    wait_until(lambda: sandbox.state()["groups"] != [])
    assert took_effect(sandbox)
    request = last(sandbox)
    assert 5.0 <= request["carried_out_at"] - request["monotonic"] < 15.0
    assert request["created"] == "gro_119251"


def test_a_reset_of_the_data_forgets_effects_to_come(sandbox: Sandbox, wire: Wire, api: Api) -> None:
    sandbox.faults("hang_before", commit_after_seconds=4.0)
    wire(*CALL, patience=PATIENCE)
    sandbox.reset()
    sandbox.faults("slow", seconds=2.5)
    assert api("sms/grouplist").status_code == 200
    assert sandbox.state()["groups"] == []


@pytest.mark.parametrize("carry_out", [False, True])
@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("unavailable", 503, b"text/html"),
        ("bad_gateway", 502, b"text/html"),
        ("error_500", 500, b"text/html"),
        ("html", 200, b"text/html"),
        ("empty", 200, b"application/json"),
        ("redirect", 302, b"text/html"),
    ],
)
def test_another_answer_takes_the_place_of_the_apis(
    sandbox: Sandbox, wire: Wire, kind: str, status: int, content_type: bytes, *, carry_out: bool
) -> None:
    sandbox.faults(kind, carry_out=carry_out)
    received = wire(*CALL)
    assert received.head.startswith(b"http/1.1 %d " % status)
    assert b"content-type: " + content_type in received.head
    assert len(received.body) == received.content_length
    assert (received.body == b"") is (kind in {"empty", "redirect"})
    assert SAVED not in received.body
    assert received.ending == "open"
    assert took_effect(sandbox) is carry_out
    assert (last(sandbox)["fault"], last(sandbox)["status"]) == (kind, status)


@pytest.mark.parametrize(("kind", "status"), [("rate_limited", 429), ("unavailable", 503)])
def test_retry_after_comes_as_seconds_as_a_date_or_not_at_all(
    sandbox: Sandbox, api: Api, kind: str, status: int
) -> None:
    sandbox.faults(kind, retry_after=90, count=1)
    sandbox.faults(kind, retry_after=90, form="date", count=1)
    sandbox.faults(kind, form="none", count=1)
    responses = [api("sms/addgroup", group_name="A") for _ in range(3)]
    assert [response.status_code for response in responses] == [status] * 3
    assert responses[0].headers["retry-after"] == "90"
    wait = parsedate_to_datetime(responses[1].headers["retry-after"]).timestamp() - time.time()
    assert 80 < wait <= 90
    assert "retry-after" not in responses[2].headers
    assert sandbox.state()["groups"] == []


@pytest.mark.parametrize("carry_out", [False, True])
def test_a_cut_off_answer_promises_more_than_it_sends(sandbox: Sandbox, wire: Wire, carry_out: bool) -> None:
    sandbox.faults("cut_off", carry_out=carry_out)
    received = wire(*CALL)
    assert received.ending == "fin"
    assert received.head.startswith(b"http/1.1 200 ")
    assert 0 < len(received.body) == received.content_length // 2
    assert took_effect(sandbox) is carry_out


def test_a_slow_answer_is_a_normal_one_later(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults("slow", seconds=0.5)
    began = time.monotonic()
    received = wire(*CALL)
    assert SAVED in received.body
    assert took_effect(sandbox)
    assert time.monotonic() - began >= 0.5


def test_a_slow_answer_is_not_waited_for_by_others(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("slow", seconds=60, endpoint="sms/addgroup")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{sandbox.url}/v3/smstool/addgroup",
            json={"group_name": "A"},
            headers={"X-Client-Id": "sandbox-id", "X-Client-Secret": "sandbox-secret"},
            timeout=httpx.Timeout(20, read=PATIENCE),
        )
    assert api("sms/grouplist").json()["amount_of_groups"] == 1


def test_a_trickled_answer_arrives_whole_in_the_end(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("trickle", interval_seconds=0.002)
    response = api("sms/addgroup", group_name="A")
    assert response.json()["groupid"] == 119251
    assert response.elapsed.total_seconds() >= 0.002 * len(response.content)
    assert took_effect(sandbox)


@pytest.mark.parametrize("code", [1000, 101, 102, 103, 104])
def test_an_account_error_refuses_every_endpoint(sandbox: Sandbox, api: Api, code: int) -> None:
    sandbox.faults("account_error", code=code)
    for endpoint in ("sms/addgroup", "email/addgroup", "webhook/verification"):
        errors = api(endpoint, group_name="A", webhook="evt_1").json()["status"]["errors"]
        assert errors["error_code"] == (1000 if code == 1000 else [code])
    assert sandbox.state()["groups"] == []


def test_any_failed_envelope_in_any_form(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("envelope", code=304, message="Email exists", form="number", status=400)
    response = api("email/addgroup", group_name="A")
    assert response.status_code == 400
    assert response.json()["status"] == {
        "status": "failed",
        "errors": {"error_code": 304, "error_message": "HTTP/1.0 422 Unprocessable entity. Email exists"},
    }
    assert sandbox.state()["groups"] == []


@pytest.mark.parametrize("carry_out", [False, True])
@pytest.mark.parametrize(("code", "status"), [(503, 503), (0, 500)])
def test_a_failed_envelope_of_a_failing_server(
    sandbox: Sandbox, api: Api, code: int, status: int, *, carry_out: bool
) -> None:
    sandbox.faults("envelope", code=code, status=status, retry_after=7, carry_out=carry_out)
    response = api("sms/addgroup", group_name="A")
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert response.json()["status"]["errors"]["error_code"] == [code]
    assert took_effect(sandbox) is carry_out


def test_an_answer_that_comes_twice(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults("unasked", seconds=0)
    data = wire(*CALL, answers=2).data
    first, again = data.split(b"HTTP/1.1 200 ")[1:]
    assert first.startswith(b"OK\r\n")
    assert again.startswith(b"Again\r\n")
    assert first.rpartition(b"\r\n")[2] == again.rpartition(b"\r\n")[2]
    assert took_effect(sandbox)


def test_an_answer_that_is_left_over_for_the_next_request(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("left_over", count=1)
    first = api("sms/addgroup", group_name="A").json()
    assert first["groupid"] == 119251
    # The next call on this connection is carried out, too, but gets the answer of the call before it.
    response = api("sms/addgroup", group_name="B")
    assert (response.reason_phrase, response.json()) == ("Again", first)
    assert [group["group_id"] for group in sandbox.state()["groups"]] == ["gro_119251", "gro_119252"]


def test_a_redirect_says_where_to(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("redirect", location="https://example.com/away")
    assert api("sms/grouplist").headers["location"] == "https://example.com/away"


def test_a_fault_does_not_make_a_refused_call_count(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults("close_after")
    assert wire("sms/addgroup", {}).data == b""
    assert last(sandbox)["carried_out"] is False


def test_a_big_listing_can_be_cut_off_too(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.add_groups("sms", group_id="gro_1")
    sandbox.add_contacts("sms", "gro_1", count=20_000)
    sandbox.faults("cut_off")
    received = wire("sms/userlist", {"smsgroup": "gro_1"})
    assert received.ending == "fin"
    assert len(received.body) == received.content_length // 2 > 1_000_000
