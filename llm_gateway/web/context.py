"""What is known of one request while it is being answered."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from llm_gateway.core.apis import OTHER, Asked
from llm_gateway.core.dialects import Dialect
from llm_gateway.core.headers import Fields
from llm_gateway.core.record import CallRecord
from llm_gateway.errors import GatewayError
from llm_gateway.web.access_log import AccessLog
from llm_gateway.web.grants import Grant

_ID_BYTES = 12
_IDS_AT_ONCE = 256

_ids: list[str] = []
"""For the next calls. Asking the system for random bytes takes as long for one of them as for many."""

# A process that begins as another's copy does not have its ids as well.
os.register_at_fork(after_in_child=_ids.clear)


def new_request_id() -> str:
    """
    :return: 24 hexadecimal digits, different for every call of every gateway.
    """
    if not _ids:
        digits = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex()
        size = 2 * _ID_BYTES
        _ids.extend([digits[at : at + size] for at in range(0, len(digits), size)])
    return _ids.pop()


class Operation(Enum):
    """How the rest of a path is turned into a provider's URL; ``ours`` leading segments of it are not passed on."""

    def __init__(self, ours: int) -> None:
        self.ours = ours

    NATIVE = -1
    """The provider's own URL from ``aiservices.json``, whatever the dialect."""
    ROOT = 0
    """All of the path goes below the base URL: ``/responses``."""
    VERSIONED = 1
    """The path without its version: ``/v1/responses``."""
    RAW = 2
    """The path without ``/p/{provider}``."""


AS_IS = (Operation.NATIVE, Operation.RAW)
"""What is relayed whatever it is."""


class Route(msgspec.Struct, frozen=True):
    """What the router has decided for a method and a path."""

    operation: Operation
    asked: Asked
    dialect: Dialect | None
    """The one that the path is in; ``None`` where that depends on the configuration."""
    kind: str = ""
    """Operation and API in one word."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "kind", f"{self.operation.name} {self.asked.api.value}")


UNROUTED = Route(Operation.ROOT, OTHER, None)


class CallLimits(Protocol):
    """What a call may use."""

    def fields(self) -> Fields:
        """:return: headers that tell how the limits stand."""


class CallContext(msgspec.Struct):
    """One request's way through the resource tree."""

    dialect: Dialect
    """The caller's, which refusals are written in."""
    path: bytes
    """As the client wrote it, from the gateway's root, without the query."""
    query: bytes
    """As the client wrote it, without a virtual key."""
    query_key: bytes | None
    record: CallRecord
    clock: IReactorTime
    started: float
    """Seconds on ``clock``."""
    log: AccessLog | None
    route: Route = UNROUTED
    model: str | None = None
    """Where the path names it in place of the body, as Azure's does."""
    grant: Grant | None = None
    notes: dict[str, Any] | None = None
    """What follows from the request's head alone, for the next with the same one; see ``wire.request.Request``."""
    account: CallLimits | None = None
    """What tells how the limits of its key stand; ``None`` where there are none."""
    asked_provider: bool = False
    """Whether a provider has been asked."""
    settled: bool = False

    @property
    def operation(self) -> Operation:
        """How the path leads to a provider."""
        return self.route.operation

    @property
    def asked(self) -> Asked:
        """What the path asks for."""
        return self.route.asked

    @property
    def request_id(self) -> str:
        """The gateway's own id of the call."""
        return self.record.request_id

    def since_start(self) -> float:
        """
        :return: seconds, to a tenth of a millisecond.
        """
        return round(self.clock.seconds() - self.started, 4)

    def settle(self, ended: str, error: GatewayError | None = None) -> None:
        """
        Close the record and write it. Every way out of a call leads here; only the first one counts.

        :param ended: one of ``core.record.ENDINGS``.
        """
        if self.settled:
            return
        self.settled = True
        record = self.record
        record.ended = ended
        if error is not None:
            record.error = error.kind
        record.duration_s = self.since_start()
        if self.log is not None:
            self.log.write(record)


_KEPT_AS = "llm_gateway_context"


def keep_context(request: IRequest, context: CallContext) -> None:
    """
    Keep the context with its request.

    As an attribute: Twisted's components would do it in several steps, for every resource that asks.
    """
    setattr(request, _KEPT_AS, context)


context_of: Callable[[IRequest], CallContext] = attrgetter(_KEPT_AS)
"""What the front resource keeps with this request."""
