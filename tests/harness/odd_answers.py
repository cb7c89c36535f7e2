"""Random answers to a call that can change something: each is one that an API may give to a call that did, or did not, happen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.coupontools.conftest import Wire

HTML = b"<html><head><title>Oops</title></head><body>Oops {0}</body></html>"
NOTICE = b"<br />\n<b>Warning</b>:  Undefined index: x in <b>/var/www/a.php</b> on line <b>12</b><br />\n"
MARKS = b"\xef\xbb\xbf\r\n\xef\xbb\xbf"
Document = dict[str, Any]
Draw = random.Random


def failed(code: object, message: str = "Oops") -> Document:
    return {"status": {"status": "failed", "errors": {"error_code": code, "error_message": message}}}


def _spelled(draw: Draw, code: int) -> object:
    return draw.choice([code, str(code), [code], [str(code)], {"1": code}, float(code)])


def _success(draw: Draw, good: Document) -> bytes:
    """Return an answer in which the API itself says that the call happened, written in one way or another."""
    status = draw.choice([200, 200, 200, 201, 400, 500])
    document = json.dumps(good | {"first_name": "NAME"}).encode()
    match draw.choice(["plain", "before", "encoding", "data", "errors"]):
        case "before":
            return Wire.http(status, draw.choice([NOTICE, MARKS, b"\n \n"]) + document)
        case "encoding":
            return Wire.http(status, document.replace(b"NAME", draw.choice([b"Zo\xeb", b"Z\no"])))
        case "data":
            fields = {name: value for name, value in good.items() if name != "status"}
            return Wire.http(status, {"status": good["status"], "data": fields})
        case "errors":
            return Wire.http(
                status, good | {"status": {"status": "OK", "errors": draw.choice([[], None, {}])}}
            )
        case _:
            return Wire.http(status, document)


def _refusal(draw: Draw) -> bytes:
    """Return an answer in which the API itself says that the call did not happen."""
    status = draw.choice([200, 400, 404, 422])
    document = failed(_spelled(draw, draw.choice([200, 300, 301, 302, 303, 304, 305, 514, 999, 103, 1000])))
    return draw.choice(
        [
            Wire.http(status, document),
            Wire.http(500, failed(_spelled(draw, 514))),
            Wire.http(status, NOTICE + json.dumps(document).encode()),
            Wire.http(status, json.dumps(document).encode().replace(b"Oops", b"Num\xe9ro")),
            Wire.http(429, HTML),
            Wire.http(status, failed(None, "Too many requests")),
        ]
    )


def _silence(draw: Draw, good: Document, another: Document) -> bytes:
    """Return an answer from which nobody can tell whether the call happened."""
    whole = json.dumps(good).encode()
    return draw.choice(
        [
            Wire.http(200, b""),
            b"HTTP/1.1 204 No Content\r\n\r\n",
            Wire.http(draw.choice([200, 400, 404, 408, 500, 502, 503, 504, 520, 524]), HTML),
            Wire.http(200, whole[: len(whole) // 2]),
            Wire.http(200, [good]),
            Wire.http(200, good | {"status": {"status": "pending"}}),
            Wire.http(draw.choice([408, 500, 503]), failed(_spelled(draw, draw.choice([0, 503, 599])))),
            Wire.http(200, failed(0, "HTTP/1.0 500 Internal Server Error")),
            Wire.http(draw.choice([200, 422]), good | failed(draw.choice([None, 0, 999]))),
            Wire.http(200, another),
        ]
    )


def odd_answer(draw: Draw, good: Document, another: Document, *, happened: bool) -> bytes:
    """Return an answer to a call. `good` is the API's document if it happened, `another` the answer to another call."""
    words: list[Callable[[], bytes]] = [lambda: _silence(draw, good, another)]
    words.append((lambda: _success(draw, good)) if happened else (lambda: _refusal(draw)))
    return draw.choice(words)()
