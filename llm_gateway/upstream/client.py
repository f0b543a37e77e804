"""treq without what a gateway must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse

from llm_gateway.wire.client import Agent


class RelayClient(HTTPClient):
    """
    A treq client that sends what it is given and hands back what came.

    treq's own ``request`` keeps one cookie jar for all calls, so that one tenant's cookies would travel with another's
    call; it follows redirects, taking the key to wherever a provider points; it asks for gzip and unpacks it, so that
    bytes change. Here all of that is left out, with the work that it costs per call.
    """

    def __init__(self, agent: IAgent) -> None:
        super().__init__(agent)
        self.direct = agent if isinstance(agent, Agent) else None
        """Where it is ours: it can do without a Deferred for each call."""

    def request(  # type: ignore[override]  # narrower on purpose: only what the relay uses
        self, method: str, url: bytes, *, headers: Headers, data: IBodyProducer | None = None, **_options: Any
    ) -> Deferred[IResponse]:
        """
        :param url: absolute and already encoded; it is not parsed again.
        :param headers: sent as they are.
        :return: the agent's own response, whose body nobody has read; treq's wrapper offers to read it whole.
        """
        return self._agent.request(method.encode("ascii"), url, headers, data)


class Sending(Protocol):
    """A call that waits for its answer."""

    def cancel(self) -> object:
        """Close its connection. Whoever waits is told of that; nothing happens if the answer has come."""


def send(
    client: HTTPClient,
    method: str,
    url: bytes,
    headers: Headers,
    body: IBodyProducer | None,
    answered: Callable[[IResponse], None],
    not_answered: Callable[[Failure], None],
) -> Sending:
    """
    Send a call by any treq client.

    :param answered: called with the response, or else ``not_answered`` with the failure, perhaps before this returns.
    :raises Exception: the call cannot be sent.
    """
    if isinstance(client, RelayClient) and client.direct is not None:
        # The client's request, and the agent's, without a Deferred for each call.
        return client.direct.send(method.encode("ascii"), url, headers, body, answered, not_answered)
    options: dict[str, Any] = {"unbuffered": True, "allow_redirects": False}
    sending: Deferred[Any] = client.request(method, url, headers=headers, data=body, **options)
    sending.addCallbacks(answered, not_answered)
    return sending
