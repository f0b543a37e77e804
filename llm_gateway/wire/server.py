"""A ``twisted.web`` site on llhttp: the same resources and requests, another engine under them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.interfaces import IAddress
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import Site as TwistedSite

from llm_gateway.wire.bounds import IDLE_S, Refusal, plain_refusal
from llm_gateway.wire.channel import Channel
from llm_gateway.wire.outbox import Outbox
from llm_gateway.wire.request import Request
from llm_gateway.wire.visitors import Visited

MAX_BODY_BYTES = 104_857_600
"""Of a request, unless the site is told otherwise."""

WantsStream = Callable[[IRequest], bool]
"""Whether a request's body shall be streamed, asked once its headers are there: method, uri, path and headers."""


class Site(Visited, TwistedSite):
    """
    Serves a resource tree over HTTP/1.1.

    It is made and used like Twisted's ``Site``. It differs in what it refuses (see :mod:`llm_gateway.wire.strict`),
    in bounding every body, and in closing connections that are too slow. It speaks HTTP/1.1 and 1.0 only, sends no
    ``Server`` header, and writes a log only if it was given a path for one.

    Bodies are streamed on request: a site made with ``wants_stream`` asks it, as soon as the headers are there, about
    every request whose body is still to come, apart from a short one that came with them. If it says so, the request
    is rendered at once, with an empty ``content`` and ``body_stream`` set, and the resource calls
    ``request.deliver_body(protocol)``, in ``render`` or later.
    """

    protocol = Channel  # type: ignore[assignment]  # without the wrapper that could switch to HTTP/2
    requestFactory = Request  # type: ignore[assignment]  # a factory, of which Twisted names only its own
    noisy = False

    def __init__(
        self,
        resource: IResource,
        requestFactory: Any = None,
        *args: Any,
        timeout: float | None = IDLE_S,
        max_body_bytes: int = MAX_BODY_BYTES,
        refusal: Refusal = plain_refusal,
        wants_stream: WantsStream | None = None,
        **kwargs: Any,
    ) -> None:
        """
        :param timeout: seconds that a connection may be silent between requests; ``None`` for ever.
        :param max_body_bytes: of a request; a longer one is rendered without its body, ``body_refused`` set.
        :param refusal: what is said to something that is no request.
        :param wants_stream: which bodies are streamed; none of them if ``None``.
        """
        if len(args) < 2:
            # The second positional argument of Twisted's is the timeout.
            kwargs["timeout"] = timeout
        super().__init__(resource, requestFactory, *args, **kwargs)
        # Looked at for every answer.
        self._logFile = None
        self.max_body_bytes = max_body_bytes
        self.refusal = refusal
        self.wants_stream = wants_stream
        self.outbox = Outbox(self.reactor)

    @property
    def logs(self) -> bool:
        """Whether answers are logged in Twisted's way."""
        return self._logFile is not None

    def buildProtocol(self, addr: IAddress | None) -> Channel:  # type: ignore[override]
        channel: Channel = self.protocol()
        channel.factory = self
        channel.site = self
        channel.requestFactory = self.requestFactory
        channel.timeOut = self.timeOut
        return channel

    def getResourceFor(self, request: Any) -> IResource:
        # Twisted's copies the list by way of the copy module.
        request.site = self
        request.sitepath = list(request.prepath)
        if self.resource.isLeaf:
            leaf: IResource = self.resource
            return leaf
        return cast(IResource, getChildForRequest(self.resource, request))

    def startFactory(self) -> None:
        if self.logPath is not None:
            super().startFactory()

    def stopFactory(self) -> None:
        if self.logPath is not None:
            super().stopFactory()

    def acceptableProtocols(self) -> Sequence[bytes]:
        return [b"http/1.1"]
