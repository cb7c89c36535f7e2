"""What the sandbox sends back over HTTP, before any fault spoils it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, to be sent once. A body too long to hold at once is an iterator that makes its parts."""

    status: int
    body: bytes | Iterator[bytes]
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    codes: tuple[int, ...] = ()
    """The API's error codes, when the answer is a failed envelope."""

    def whole(self) -> bytes:
        """Return the body in one piece, for faults that send it in a way of their own."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)

    def start(self, *, length: int | None) -> dict[str, Any]:
        """Return the ASGI message that starts the answer; without a length the body goes out chunked."""
        headers = [(b"content-type", self.content_type), *self.headers]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        return {"type": "http.response.start", "status": self.status, "headers": headers}

    def written(self) -> bytes:
        """Return the answer as the bytes of HTTP/1.1, to be sent around the server."""
        body = self.whole()
        headers = self.start(length=len(body))["headers"]
        head = [b"HTTP/1.1 %d Again" % self.status, *(b"%b: %b" % header for header in headers)]
        return b"\r\n".join([*head, b"", body])
