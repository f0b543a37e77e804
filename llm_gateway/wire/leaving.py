"""Whether a client has left whose connection is not read from."""

from __future__ import annotations

import select
import socket
from typing import Any

from llm_gateway.wire.sockets import beneath

_EVENTS = getattr(select, "POLLRDHUP", 0)
"""The other side has said that it sends no more. Where poll cannot tell, only resets and errors are seen."""


def has_left(transport: Any) -> bool:
    """
    Ask the socket below, past what waits in it unread.

    :return: false also where there is no socket to ask.
    """
    transport = beneath(transport)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, socket.socket) or not hasattr(select, "poll"):
        return False
    asked = select.poll()
    asked.register(handle, _EVENTS)
    return bool(asked.poll(0))
