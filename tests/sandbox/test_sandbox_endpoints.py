"""The sandbox serves every endpoint that the client calls, and names a missing one when it starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import httpx
import pytest

from coupontools import ENDPOINTS, Channel
from coupontools.endpoints import Operation, find_endpoint
from sandbox import Sandbox, app

Api = Callable[..., httpx.Response]


def test_every_operation_of_a_channel_has_an_endpoint_on_both() -> None:
    of_channels = set(get_args(Operation)) - {"verify_webhook"}
    assert find_endpoint("verify_webhook").channel is None
    for operation in of_channels:
        for channel in Channel:
            assert find_endpoint(operation, channel).name.startswith(f"{channel}/")
    with pytest.raises(LookupError, match=r"add it to ENDPOINTS in coupontools/endpoints\.py"):
        find_endpoint("verify_webhook", Channel.SMS)


def test_every_endpoint_of_the_client_is_served(sandbox: Sandbox) -> None:
    for endpoint in ENDPOINTS:
        answer = httpx.post(f"{sandbox.url}{endpoint.path}")
        assert answer.status_code == 401, (
            f"the client calls {endpoint.name}, which the sandbox does not serve: add it to sandbox/operations.py"
        )
    assert [request["endpoint"] for request in sandbox.requests()] == [one.name for one in ENDPOINTS]


@pytest.mark.parametrize("channel", [None, Channel.SMS])
def test_an_endpoint_that_is_missing_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, channel: Channel | None
) -> None:
    new = replace(ENDPOINTS[0], channel=channel, name="sms/removegroup", operation="remove_group")
    monkeypatch.setattr(app, "ENDPOINTS", (*ENDPOINTS, new))
    sentence = "the client calls sms/removegroup (remove_group), which the sandbox does not serve: add it to"
    with pytest.raises(LookupError, match=re.escape(sentence)):
        app.create_app()
