"""When a fault fires: probability, count, endpoint, seed, the order of several, and a mix."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import Sandbox, SandboxControlError

Api = Callable[..., httpx.Response]

CALLS = 120


def struck(sandbox: Sandbox, api: Api, calls: int = CALLS) -> list[str | None]:
    """Make this many calls; return the fault that each one met."""
    before = sandbox.stats()["total"]["calls"]
    for _ in range(calls):
        api("sms/grouplist")
    return [request["fault"] for request in sandbox.requests(since=before)]


def test_the_same_seed_strikes_the_same_calls(sandbox: Sandbox, api: Api) -> None:
    runs = []
    for seed in (1, 1, 2):
        sandbox.clear_faults()
        sandbox.faults("error_500", probability=0.3, seed=seed)
        runs.append(struck(sandbox, api))
    assert runs[0] == runs[1] != runs[2]


def test_probability_is_kept_about_right(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("error_500", probability=0.3, seed=1)
    assert 0.15 * CALLS < struck(sandbox, api).count("error_500") < 0.45 * CALLS
    sandbox.clear_faults()
    sandbox.faults("error_500", probability=0)
    assert struck(sandbox, api, 20) == [None] * 20


def test_count_limits_how_often_it_fires(sandbox: Sandbox, api: Api) -> None:
    installed = sandbox.faults("error_500", count=2)
    assert struck(sandbox, api, 4) == ["error_500", "error_500", None, None]
    (fault,) = sandbox.installed_faults()
    assert fault == {**installed, "fired": 2}


def test_an_endpoint_or_a_list_of_them(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("empty", endpoint=["email/grouplist", "webhook/verification"])
    sandbox.faults("error_500", endpoint="sms/addgroup")
    answers = [api(endpoint).status_code for endpoint in ("sms/grouplist", "email/grouplist", "sms/addgroup")]
    assert answers == [200, 200, 500]
    assert [request["fault"] for request in sandbox.requests()] == [None, "empty", "error_500"]


def test_only_calls_that_carry_a_text(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("error_500", containing="gro_2")
    answers = [api("sms/userlist", smsgroup=group).status_code for group in ("gro_1", "gro_2")]
    assert answers[1] == 500
    assert [request["fault"] for request in sandbox.requests()] == [None, "error_500"]


def test_the_first_that_fires_wins_and_clearing_ends_all(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults("error_500", count=1)
    sandbox.faults("empty")
    assert struck(sandbox, api, 3) == ["error_500", "empty", "empty"]
    sandbox.clear_faults()
    assert sandbox.installed_faults() == []
    assert struck(sandbox, api, 2) == [None, None]


def test_a_mix_draws_from_its_kinds(sandbox: Sandbox, api: Api) -> None:
    kinds: list[Any] = ["error_500", "empty", {"kind": "slow", "seconds": 0}]
    runs = []
    for _ in range(2):
        sandbox.clear_faults()
        sandbox.faults("mixed", kinds=kinds, seed=5)
        runs.append(struck(sandbox, api, 40))
    assert set(runs[0]) == {"error_500", "empty", "slow"}
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"kind": "explode"}, "explode"),
        ({"kind": "slow", "second": 1}, "slow.second"),
        ({"kind": "slow", "seconds": -1}, "slow.seconds"),
        ({"kind": "reset", "probability": 1.5}, "probability"),
        ({"kind": "reset", "endpoint": "sms/nothing"}, "endpoint"),
        ({"kind": "reset", "count": -1}, "count"),
        ({"kind": "account_error", "code": 514}, "account_error.code"),
        ({"kind": "mixed", "kinds": []}, "mixed.kinds"),
        ({"kind": "mixed", "kinds": ["mixed"]}, "mixed.kinds.0"),
        ({"kind": "redirect", "location": "/a\r\nX: y"}, "redirect.location"),
    ],
)
def test_a_fault_that_is_none_is_refused(sandbox: Sandbox, fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SandboxControlError, match=sentence):
        sandbox.faults(**fault)
    assert sandbox.installed_faults() == []
