"""A stand-in for the Coupontools API that can be told to misbehave: for tests and for the demo."""

from sandbox.app import create_app
from sandbox.process import Sandbox, SandboxControlError, SandboxStartError
from sandbox.server import CannotListen, serve
from sandbox.settings import SandboxConfig

__all__ = [
    "CannotListen",
    "Sandbox",
    "SandboxConfig",
    "SandboxControlError",
    "SandboxStartError",
    "create_app",
    "serve",
]
