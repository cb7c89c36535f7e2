"""The webhook receiver: takes webhooks over HTTP, and enqueues `verify_webhook` for each."""

from workers.receiver.server import serve

__all__ = ["serve"]
