"""The parts of tests: a Redis with persistence, the sandbox, worker processes, and ways to wait for what they do."""

from tests.harness.house import House, RunningWorker, message
from tests.harness.waiting import wait_for

__all__ = ["House", "RunningWorker", "message", "wait_for"]
