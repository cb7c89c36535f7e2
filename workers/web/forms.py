"""Reads a form, within limits of size and time."""

from __future__ import annotations

import asyncio

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from workers.web.page import Action, Refused

__all__ = ["read_form"]


async def read_form(request: Request, action: Action) -> FormData:
    """Return the fields of a form; a file of more than 1 MiB is an unnamed file on the disk.

    Raises:
        Refused: it is too long, comes too slowly, or is not a form.
    """
    seen = 0
    too_long = Refused(
        413, f"what was sent is too long: at most {action.most_bytes:,} bytes", connection="close"
    )

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > action.most_bytes:
            raise too_long
        return message

    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > action.most_bytes:
        raise too_long
    try:
        async with asyncio.timeout(action.seconds):
            return await Request(request.scope, receive).form(
                max_files=1, max_fields=1000, max_part_size=action.most_bytes
            )
    except TimeoutError:
        raise Refused(408, "the form did not come in time", connection="close") from None
    except (MultiPartException, FormParserError, UnicodeError) as error:
        # The sender chooses the encoding: any that Python knows, `undefined` too.
        raise Refused(400, f"this form cannot be read: {str(error)[:200]}") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the form did") from None
