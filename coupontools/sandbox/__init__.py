"""A stand-in of the Coupontools API that can be told to misbehave: for tests and for the demo."""

from coupontools.sandbox.app import create_app
from coupontools.sandbox.process import Sandbox, SandboxControlError, SandboxStartError
from coupontools.sandbox.server import serve
from coupontools.sandbox.settings import SandboxConfig

__all__ = [
    "Sandbox",
    "SandboxConfig",
    "SandboxControlError",
    "SandboxStartError",
    "create_app",
    "serve",
]
