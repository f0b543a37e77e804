"""From a request with a grant to a provider's answer."""

from __future__ import annotations

import mmap
import os
from io import BytesIO
from typing import Any, BinaryIO, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.paths import checked_query
from llm_gateway.core.peek import model_of
from llm_gateway.core.record import CLIENT_GONE
from llm_gateway.errors import (
    MethodNotAllowed,
    NotFound,
    ProviderNotConfigured,
    RequestTooLarge,
    WrongDialect,
    WrongProvider,
)
from llm_gateway.upstream.attempt import Attempt, Outcome, ProviderCall
from llm_gateway.upstream.bodies import spooled_body
from llm_gateway.upstream.targets import Target
from llm_gateway.web.answer import Answer, refuse, when_client_leaves
from llm_gateway.web.context import CallContext, Operation, context_of
from llm_gateway.web.grants import Grant, GrantBook
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.uploads import StreamedBody
from llm_gateway.wire.upload import BytesBody

_log = Logger()

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
"""What is relayed. OPTIONS is answered here; TRACE and CONNECT are for nobody behind a gateway."""

_TEXT = {method: method.decode("ascii") for method in METHODS}

IN_MEMORY_BYTES = 1_048_576
"""A request's body up to this size is sent from memory, a larger one from the file that it was spooled to."""


class ForwardingResource(Resource):
    """Relays a granted request to the grant's provider."""

    isLeaf = True

    def __init__(self, grants: GrantBook, live: LiveCalls, clock: IReactorTime, max_body_bytes: int) -> None:
        super().__init__()
        self._grants = grants
        self._live = live
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    def render(self, request: Request) -> bytes | int:
        """
        :raises GatewayError: the call cannot be sent; no provider was asked.
        """
        context = context_of(request)
        assert context.grant is not None
        if request.method not in METHODS:
            raise MethodNotAllowed(
                f"This path takes {', '.join(method.decode() for method in METHODS)}.",
                headers={"allow": ", ".join(method.decode() for method in METHODS)},
            )
        target = self._target(context, context.grant)
        call = self._provider_call(request, context, context.grant, target)
        # Where the path speaks one dialect and the provider another, this is the place for a translator: around the
        # answer, which is a Sink like any other, and around the body above.
        self._run(request, context, call, target)
        return NOT_DONE_YET

    def _target(self, context: CallContext, grant: Grant) -> Target:
        target = grant.target
        if target is None:
            raise ProviderNotConfigured(
                f"The key's provider {grant.key.provider!r} is not configured in this gateway. Tell its operator."
            )
        if context.operation is Operation.RAW:
            asked = context.path.split(b"/")[2].decode("utf-8", "replace")
            if asked != target.provider.name:
                if asked not in self._grants.targets:
                    raise NotFound(f"This gateway has no provider {asked[:64]!r}.")
                raise WrongProvider(f"This key may use provider {target.provider.name!r} only, not {asked!r}.")
        elif context.operation is not Operation.NATIVE and context.dialect is not target.dialect:
            raise WrongDialect(
                f"This path speaks {context.dialect.title} and the key's provider {target.provider.name!r} speaks "
                f"{target.dialect.title}. Use its own path, or /p/{target.provider.name}/."
            )
        return target

    def _provider_call(self, request: Request, context: CallContext, grant: Grant, target: Target) -> ProviderCall:
        context.record.dialect = target.dialect.name
        if context.operation is Operation.NATIVE:
            url = target.native_url(checked_query(context.query))
        elif context.query or len(context.path) > Target.MAX_REMEMBERED_BYTES:
            url = target.url_below(context.path, context.operation.value, checked_query(context.query))
        else:
            url = target.remembered_url(context.path, context.operation.value)
        provider = target.provider
        return ProviderCall(
            provider=provider.name,
            method=_TEXT[request.method],
            url=url,
            headers=target.headers_for(request.requestHeaders, grant.headers),
            body=self._body(request, context),
            secrets=grant.secrets,
            timeouts=provider.timeouts,
        )

    def _body(self, request: Request, context: CallContext) -> IBodyProducer | None:
        content = cast(BinaryIO, request.content)
        whole: bytes | None = None
        if type(content) is BytesIO:
            whole = content.getvalue()
            size = len(whole)
        else:
            size = content.seek(0, os.SEEK_END)
            content.seek(0)
        context.record.bytes_in = size
        # A site that bounds bodies itself has left out the one that is too large; in somebody else's site it is here.
        if size > self._max_body_bytes or getattr(request, "body_refused", False):
            raise RequestTooLarge.over(self._max_body_bytes)
        if getattr(request, "body_stream", None) is not None:
            return self._streamed(request, context)
        if not size:
            return None
        if whole is None and size <= IN_MEMORY_BYTES:
            whole = content.read()
        if whole is not None:
            # By its look rather than by its content type: curl calls JSON a form unless it is told.
            if whole.startswith(b"{"):
                context.record.model = model_of(whole)
            # An answer may take an hour; the body has to be held once and only until it is sent.
            content.close()
            return BytesBody(whole)
        start = content.read(1)
        content.seek(0)
        if start == b"{":
            # Mapped, not read: one field is wanted, not a copy of the rest.
            with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                context.record.model = model_of(view)
        return spooled_body(content)

    def _streamed(self, request: Any, context: CallContext) -> IBodyProducer:
        length = request.getHeader(b"content-length")

        def count(size: int) -> None:
            context.record.bytes_in += size

        return StreamedBody(request.deliver_body, None if length is None else int(length), self._max_body_bytes, count)

    def _run(self, request: Request, context: CallContext, call: ProviderCall, target: Target) -> None:
        context.asked = True

        def over(outcome: Outcome) -> None:
            try:
                _settle(request, context, outcome)
            except Exception:
                _log.failure("Call {request_id}", request_id=context.request_id)
            finally:
                self._live.leave(attempt)

        answer = Answer(request, context, target.dialect)
        attempt = Attempt(
            call, target.client, self._clock, target.watch, answer, target.dialect, context.request_id, over
        )
        self._live.enter(attempt)
        when_client_leaves(request, attempt.leave)
        attempt.run()


def _settle(request: Request, context: CallContext, outcome: Outcome) -> None:
    error = outcome.error
    if error is None or not outcome.unanswered:
        context.settle(outcome.ended, error)
    elif request._disconnected:
        context.settle(CLIENT_GONE, error)
    else:
        refuse(request, error)
