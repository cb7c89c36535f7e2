"""The final account: the jobs that were enqueued, how they were answered, and what the API did."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any, ClassVar

from tests.chaos.load import Load
from tests.harness import House


class Account:
    """The counts, and one line in `faults` for each thing that is wrong."""

    LANES: ClassVar = ("webhooks", "groups", "contacts", "reads", "bulk")

    def __init__(self, house: House, load: Load, struck: Counter[str]) -> None:
        self.faults: list[str] = []
        self._struck = struck
        self._jobs = len(load.sent)
        answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in house.events():
            answers[event["id"].split("/")[0]].append(event)
        self._kinds: Counter[str] = Counter()
        self._lanes: Counter[str] = Counter()
        self._longest = 0.0
        for message_id, sent in load.sent.items():
            self._judge(message_id, sent, answers.get(message_id, []))
        self._effects = house.counts()
        for what in ("surplus_contacts", "surplus_groups"):
            if self._effects[what]:
                self.faults.append(f"doubled effects: {what} {self._effects[what]}")
        created = self._kinds["group.created"]
        if self._effects["groups"] != created + 2:
            self.faults.append(
                f"the API holds {self._effects['groups']} groups; {created} events and the two of the beginning"
            )
        self._stranded = self._left_over(house)

    def _judge(self, message_id: str, sent: Any, events: list[dict[str, Any]]) -> None:
        if not events:
            self.faults.append(f"lost or stranded: {message_id} of {sent.lane}")
            return
        if len(events) > 1 and len({event["id"] for event in events}) < len(events):
            self.faults.append(f"answered {len(events)} times: {message_id} of {sent.lane}")
        event = events[0]
        kind = event["type"].removeprefix("coupontools.")
        if kind.endswith(".failed"):
            kind = event["data"]["error"]["kind"]
        self._kinds[kind] += 1
        self._lanes[sent.lane] += 1
        self._longest = max(self._longest, datetime.fromisoformat(event["time"]).timestamp() - sent.at)
        if kind not in sent.expected:
            self.faults.append(
                f"answered {kind}, not {' or '.join(sorted(sent.expected))}: {message_id} {event['data']}"
            )

    def _left_over(self, house: House) -> int:
        left = 0
        for lane in self.LANES:
            for name in (f"{lane}.msgs", lane, f"{lane}.DQ"):
                if house.redis.exists(f"dramatiq:{name}"):
                    left += 1
                    self.faults.append(f"left over in Redis: dramatiq:{name}")
        for key in house.redis.scan_iter("dramatiq:__acks__*"):
            left += 1
            self.faults.append(f"left over in Redis: {key.decode()}")
        return left

    def __str__(self) -> str:
        lost = sum(fault.startswith("lost") for fault in self.faults)
        doubled = sum(fault.startswith("answered") and "times" in fault for fault in self.faults)
        effects = self._effects["surplus_contacts"] + self._effects["surplus_groups"]
        return (
            f"{self._struck.total()} blows: {dict(self._struck.most_common())}\n"
            f"{self._jobs} jobs by lane: {dict(self._lanes)}; answered as {dict(self._kinds.most_common())}\n"
            f"effects at the API: {self._effects}\n"
            f"lost {lost}, doubled events {doubled}, doubled effects {effects}, unknown {self._kinds['unknown']}, stranded keys "
            f"{self._stranded}, longest wait {self._longest:.1f} s, other faults {len(self.faults) - lost - doubled}"
        )
