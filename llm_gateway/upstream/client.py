"""treq without what a gateway must not do."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse


class RelayClient(HTTPClient):
    """
    A treq client that sends what it is given and hands back what came.

    treq's own ``request`` keeps one cookie jar for all calls, so that one tenant's cookies would travel with another's
    call; it follows redirects, taking the key to wherever a provider points; it asks for gzip and unpacks it, so that
    bytes change. Here all of that is left out, with the work that it costs per call.
    """

    def request(  # type: ignore[override]  # narrower on purpose: only what the relay uses
        self, method: str, url: bytes, *, headers: Headers, data: IBodyProducer | None = None, **_options: Any
    ) -> Deferred[IResponse]:
        """
        :param url: absolute and already encoded; it is not parsed again.
        :param headers: sent as they are.
        :return: the agent's own response, whose body nobody has read; treq's wrapper offers to read it whole.
        """
        return self._agent.request(method.encode("ascii"), url, headers, data)
