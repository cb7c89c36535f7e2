"""What a failure below HTTP means: every exception of the network library becomes an error of ours here.

The kind of exception only chooses the words. It does not show whether anything left this machine: a refused
connection and a reset after sending have been seen under one name. The caller knows, and passes `begun`.
"""

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from coupontools.errors import MayHaveHappened, NotSent

NETWORK_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, EOFError, UnicodeError)
"""All that a connection can fail with before anything was sent; TimeoutError and ssl.SSLError are OSErrors,
and a host name that IDNA cannot encode is a UnicodeError. Anything else is a fault of ours and passes
unchanged."""

_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the host name could not be resolved"),
    (UnicodeError, "the host name could not be resolved"),
    (aiohttp.ClientConnectorCertificateError, "the server's certificate is not trusted"),
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (ssl.SSLError, "TLS failed"),
    (TimeoutError, "no answer in time"),
    (aiohttp.ClientConnectorError, "the connection could not be made"),
    (aiohttp.ClientPayloadError, "the answer was cut off or cannot be decoded"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (HttpProcessingError, "the answer is not HTTP"),
    (OSError, "the connection was lost"),
    (aiohttp.ClientConnectionError, "the connection was lost"),
)


def explain(failure: BaseException, *, begun: bool, status: int | None = None) -> NotSent | MayHaveHappened:
    """Return the error for a failure of the network.

    `begun` says whether the request had begun to be written; `status` is the answer's, if one had begun. The
    text repeats only the operating system's words: the library's texts hold pieces of the answer, and its
    exceptions hold the request's headers.
    """
    words = next((words for kind, words in _WORDS if isinstance(failure, kind)), "the call failed")
    if not begun and isinstance(failure, TimeoutError):
        words = "no connection in time"
    message = f"{words} ({_system_words(failure) or type(failure).__name__})"
    if not begun:
        return NotSent(message, outage=True)
    outage = isinstance(failure, TimeoutError) or (status or 0) >= 500
    broken = not outage and not 400 <= (status or 0) <= 499
    return MayHaveHappened(message, status=status, outage=outage, broken=broken)


def _system_words(failure: BaseException) -> str | None:
    number = getattr(failure, "errno", None)
    # Resolver and OpenSSL errors have numbers of their own, which strerror does not know.
    if not isinstance(number, int) or isinstance(failure, (aiohttp.ClientConnectorDNSError, ssl.SSLError)):
        return None
    return os.strerror(number) if number > 0 else None
