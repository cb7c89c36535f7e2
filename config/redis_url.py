"""Which Redis addresses are accepted, and how a Sentinel address is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["SentinelAddress", "check_redis_url", "mask_redis_url", "parse_sentinel_url", "redis_passwords"]

DIRECT: Final = frozenset({"redis", "rediss", "unix"})
SENTINEL: Final = frozenset({"redis+sentinel", "rediss+sentinel"})
SENTINEL_PORT: Final = 26379
#: The options that may follow the question mark. redis-py knows more, but they would undo what the worker sets (time limits, repeats,
#: decoding) or fail at the first connection.
OPTIONS: Final = frozenset({"db", "client_name"})
TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)
#: The options for the sentinels themselves, which have passwords and TLS of their own.
SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password", "sentinel_tls"})
_SENTINEL_PASSWORD: Final = re.compile(r"(?<=[?&]sentinel_password=)[^&]*")
_VALUES: Final = {
    "db": (re.compile(r"[0-9]+"), "a number, as in ?db=0"),
    "ssl_cert_reqs": (re.compile("required|optional|none"), "required, optional or none"),
    "sentinel_tls": (re.compile("true|false", re.IGNORECASE), "true or false"),
    "ssl_check_hostname": (re.compile("true|false", re.IGNORECASE), "true or false"),
}


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """A Redis behind Sentinel, from ``redis+sentinel://[user:password@]host:port[,...]/service_name[/db][?option=value&...]``.

    User and password are those of the Redis; ``rediss+sentinel`` is TLS to it. The options hold what the sentinels themselves need.
    """

    sentinels: tuple[tuple[str, int], ...]
    service_name: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_tls: bool = False
    #: Where certificates are and what is checked, for Redis and the sentinels; names and values are those of the client library.
    tls_options: tuple[tuple[str, str | bool], ...] = ()


def parse_sentinel_url(url: str) -> SentinelAddress:
    """Take a Sentinel URL apart.

    Raises ValueError, in a sentence that repeats nothing of the URL's user and password.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in SENTINEL:
        raise ValueError("must start with redis+sentinel:// or rediss+sentinel://")
    authority, _, tail = rest.partition("/")
    path, _, query = tail.partition("?")
    credentials, _, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    service_name, _, db = path.partition("/")
    if not service_name or "#" in path:
        raise ValueError("must name the Sentinel service, as in redis+sentinel://host:26379/service_name")
    if db and not (db.isascii() and db.isdigit()):
        raise ValueError("must end in a database number, as in redis+sentinel://host:26379/service_name/0")
    _check_query(query, SENTINEL_OPTIONS | TLS_OPTIONS)
    options = dict(parse_qsl(query))
    return SentinelAddress(
        sentinels=tuple(_host_and_port(each) for each in hosts.split(",")),
        service_name=unquote(service_name),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        tls=scheme == "rediss+sentinel",
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        sentinel_tls=options.get("sentinel_tls", "").lower() == "true",
        tls_options=tuple(
            (name, value.lower() == "true" if name == "ssl_check_hostname" else value)
            for name, value in options.items()
            if name in TLS_OPTIONS
        ),
    )


def check_redis_url(url: str) -> str:
    """Return `url` if a Redis client can use it.

    Raises ValueError, in a sentence that repeats nothing of the URL (it may hold a password).
    """
    scheme = url.partition("://")[0]
    if scheme in SENTINEL:
        parse_sentinel_url(url)
        return url
    if scheme not in DIRECT or "://" not in url:
        raise ValueError(
            "must start with redis://, rediss://, unix:// or redis+sentinel://, e.g. redis://127.0.0.1:6379/0"
        )
    parts = _split(url)
    if scheme == "unix":
        if not parts.path.startswith("/") or parts.path == "/" or parts.hostname:
            raise ValueError("must give the socket's path, as in unix:///run/redis.sock")
        _check_query(parts.query, OPTIONS)
        return url
    if not parts.hostname:
        raise ValueError(f"must name a host, as in {scheme}://127.0.0.1:6379/0")
    db = parts.path.strip("/")
    if db and not (db.isascii() and db.isdigit()):
        raise ValueError(f"must end in a database number, as in {scheme}://127.0.0.1:6379/0")
    _check_query(parts.query, OPTIONS | TLS_OPTIONS if scheme == "rediss" else OPTIONS)
    return url


def _check_query(query: str, known: frozenset[str]) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"must have no options after its '?' but {', '.join(sorted(known))}")
        pattern, right = _VALUES.get(name, (None, ""))
        if pattern and not pattern.fullmatch(value):
            raise ValueError(f"must have as its option {name} {right}")


def redis_passwords(url: str) -> list[str]:
    """Return the passwords in a Redis URL that `check_redis_url` accepts, as they are sent to the servers."""
    if url.partition("://")[0] in SENTINEL:
        address = parse_sentinel_url(url)
        return [each for each in (address.password, address.sentinel_password) if each]
    password = _split(url).password
    return [unquote(password)] if password else []


def mask_redis_url(url: str) -> str:
    """Return `url` with a mask in place of its passwords, if it has any."""
    url = _SENTINEL_PASSWORD.sub("•••", url)
    scheme, separator, rest = url.partition("://")
    # Split at the last @, so that a password that contains an @ is masked to its end.
    credentials, at, address = rest.rpartition("@")
    if not at:
        return url
    username = credentials.partition(":")[0]
    return f"{scheme}{separator}{username}:•••@{address}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Python's own text quotes the address, and with it a badly encoded password.
        raise ValueError("must be an address such as redis://127.0.0.1:6379/0, its port a number") from None
    if port == 0:
        raise ValueError("must have a port between 1 and 65535")
    return parts


def _host_and_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise ValueError("must list its Sentinels as host:port, separated by commas")
    return host, port or SENTINEL_PORT
