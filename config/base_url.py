"""Where the API may be: https anywhere, plain http only on this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["check_base_url", "is_loopback", "same_for_all"]


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine: 127.0.0.0/8, ::1 or localhost. Other names are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_base_url(url: str) -> str:
    """Return `url` without a trailing slash if credentials may be sent there.

    Raises ValueError, in a sentence that repeats nothing of the URL (it may hold a password).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be an address such as https://api.coupontools.com") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ValueError("must be an address such as https://api.coupontools.com")
    if not all("!" <= c <= "~" for c in url):
        raise ValueError("must be printable ASCII characters without spaces")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; set COUPONTOOLS_CLIENT_ID and _SECRET instead")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("must not hold a query or fragment (nothing after ? or #)")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "must be https; plain http is only for a loopback address such as http://127.0.0.1:8080"
        )
    return url.rstrip("/")


def same_for_all(url: str) -> str:
    """Return one text for all spellings of a checked `url`: host names have no case, and https means port 443."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}{parts.path}"
