"""The webhook receiver: takes webhooks over HTTP, and enqueues `verify_webhook` for each."""

from workers.receiver.server import CannotListen, serve

__all__ = ["CannotListen", "serve"]
