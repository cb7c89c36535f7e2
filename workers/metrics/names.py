"""Every metric there is; alert rules and dashboards may rely on these names.

Some have the names that Dramatiq's own middleware uses, so that dashboards made for it go on working:
https://dramatiq.io/reference.html#dramatiq.middleware.Prometheus
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it says, and the labels that tell its series apart.

    No label is called `job` or `instance`: Prometheus adds these to every target and renames a metric's own.
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_MESSAGE: Final = ("queue_name", "actor_name")
_MILLISECONDS: Final = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000, 30000, 60000, 600000, 900000)  # fmt: skip
_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)

#: Counted by each worker process.
ATTEMPTS: Final[dict[str, Metric]] = {
    "dramatiq_messages_total": Metric(
        "counter", "Attempts that ended, without those that were held or interrupted.", _MESSAGE
    ),
    "dramatiq_message_errors_total": Metric(
        "counter", "Attempts that failed, for now or for good.", _MESSAGE
    ),
    "dramatiq_message_retries_total": Metric("counter", "Attempts that failed and are made again.", _MESSAGE),
    "dramatiq_message_rejects_total": Metric("counter", "Jobs that became dead letters.", _MESSAGE),
    "dramatiq_messages_inprogress": Metric(
        "gauge", "Jobs in a worker's hands, waiting for their turn or for the API.", _MESSAGE
    ),
    "dramatiq_message_duration_milliseconds": Metric(
        "histogram", "How long an attempt took, from fetch to settlement.", _MESSAGE, _MILLISECONDS
    ),
    "coupontools_api_seconds": Metric(
        "histogram", "How long a call of the API took.", ("actor_name",), _SECONDS
    ),
    "coupontools_api_calls_total": Metric("counter", "Calls of the API.", ("actor_name",)),
    "coupontools_outcomes_total": Metric(
        "counter", "Attempts by how they ended.", ("actor_name", "outcome", "error_kind")
    ),
    "coupontools_replays_total": Metric(
        "counter", "Jobs answered from the record: their key was carried out before.", ("actor_name",)
    ),
    "coupontools_rejected_entries_total": Metric(
        "counter",
        "Entries that were set aside: not a readable job, or an id that was answered before.",
        ("queue",),
    ),
    "coupontools_read_backs_total": Metric(
        "counter",
        "Listings requested to find out what lost calls did, whether they could be read or not.",
        ("actor_name",),
    ),
}
#: Read from Redis when Prometheus asks.
STATE: Final[dict[str, Metric]] = {
    "coupontools_redis_up": Metric(
        "gauge", "1 if Redis answers; if 0, the other metrics that are read from Redis are missing."
    ),
    "coupontools_redis_writable": Metric("gauge", "1 if Redis takes writes; 0 if it is full or a replica."),
    "coupontools_redis_forgot_total": Metric(
        "counter", "How often Redis was found to have lost writes that it had confirmed."
    ),
    "coupontools_queue_ready": Metric("gauge", "Jobs that wait for a worker.", ("queue",)),
    "coupontools_queue_delayed": Metric(
        "gauge", "Jobs that wait for their time: delays and retries.", ("queue",)
    ),
    "coupontools_queue_parked": Metric("gauge", "Jobs that a hold has parked.", ("queue",)),
    "coupontools_queue_running": Metric("gauge", "Jobs in a worker's hands.", ("queue",)),
    "coupontools_queue_dead": Metric("gauge", "Dead letters.", ("queue",)),
    "coupontools_queue_oldest_unanswered_seconds": Metric(
        "gauge",
        "How long ago the oldest unanswered job was enqueued, or its delay ended; in Redis or in a worker's hands.",
        ("queue",),
    ),
    "coupontools_held": Metric(
        "gauge",
        "1 while work of this scope (account, sms, email) is held (refused, outage, asked, paused).",
        ("scope", "kind"),
    ),
    "coupontools_workers": Metric(
        "gauge", "Worker processes that take this queue and whose heartbeat is in time.", ("queue",)
    ),
}
METRICS: Final[dict[str, Metric]] = {**ATTEMPTS, **STATE}
