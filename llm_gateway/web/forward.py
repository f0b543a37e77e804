"""From a request with a grant to a provider's answer."""

from __future__ import annotations

import re

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.apis import CONVERSATIONS, Api, asked_of
from llm_gateway.core.dialects import GEMINI
from llm_gateway.core.paths import checked_query
from llm_gateway.core.record import CLIENT_GONE, OK, UPSTREAM_ERROR
from llm_gateway.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    ProviderNotConfigured,
    WrongDialect,
    WrongProvider,
)
from llm_gateway.upstream.attempt import Attempt, Outcome, ProviderCall
from llm_gateway.upstream.sink import Sink
from llm_gateway.upstream.targets import Target, below_of
from llm_gateway.web.answer import Answer, refuse, when_client_leaves
from llm_gateway.web.context import AS_IS, CallContext, Operation, context_of
from llm_gateway.web.grants import Grant, GrantBook, Way
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.models import answer_here, knows_models, models_page
from llm_gateway.web.request_body import WHICH_MODEL, RequestBody
from llm_gateway.web.translated import TranslatedAnswer
from llm_gateway.web.translating import translated

_log = Logger()

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
"""What is relayed. OPTIONS is answered here; TRACE and CONNECT are for nobody behind a gateway."""

_TEXT = {method: method.decode("ascii") for method in METHODS}


class ForwardingResource(Resource):
    """Has a granted request answered by the grant's provider: relayed as it is, or translated."""

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
        grant = context.grant
        assert grant is not None
        if request.method not in METHODS:
            raise MethodNotAllowed(
                f"This path takes {', '.join(method.decode() for method in METHODS)}.",
                headers={"allow": ", ".join(method.decode() for method in METHODS)},
            )
        way = self._way(context, grant)
        target = way.target
        record = context.record
        record.dialect = target.dialect.name
        if context.route.asked.api is Api.MODELS and (
            context.dialect is not target.dialect or knows_models(grant, way)
        ):
            answer_here(request, context, models_page(context, grant, way))
            return NOT_DONE_YET
        answer = Answer(request, context, target.dialect)
        sink: Sink = answer
        body = RequestBody(request, record, self._max_body_bytes)
        if _has(target, context):
            call = _relayed(request, context, grant, way, body)
        elif (found := translated(request, context, grant, way, body)) is not None:
            if isinstance(found, bytes):
                answer_here(request, context, found)
                return NOT_DONE_YET
            call, translation = found
            sink = TranslatedAnswer(answer, translation, context.request_id, grant.secrets)
        else:
            raise WrongDialect(
                f"This path speaks {context.dialect.title} and the key's provider {target.provider.name!r} speaks "
                f"{target.dialect.title}. Use its own path, or /p/{target.provider.name}/."
            )
        self._run(request, context, call, target, sink)
        return NOT_DONE_YET

    def _way(self, context: CallContext, grant: Grant) -> Way:
        own = grant.way
        if own is None:
            raise ProviderNotConfigured(
                f"The key's provider {grant.key.provider!r} is not configured in this gateway. Tell its operator."
            )
        operation = context.route.operation
        if operation is Operation.RAW:
            name = own.target.provider.name
            asked = context.path.split(b"/")[2].decode("utf-8", "replace")
            if asked != name:
                if asked not in self._grants.targets:
                    raise NotFound(f"This gateway has no provider {asked[:64]!r}.")
                raise WrongProvider(f"This key may use provider {name!r} only, not {asked!r}.")
            return own
        return own if operation is Operation.NATIVE else grant.ways.get(context.dialect.name, own)

    def _run(self, request: Request, context: CallContext, call: ProviderCall, target: Target, sink: Sink) -> None:
        context.asked_provider = True

        def over(outcome: Outcome) -> None:
            try:
                _settle(request, context, outcome, failed=isinstance(sink, TranslatedAnswer) and sink.failed)
            except Exception:
                _log.failure("Call {request_id}", request_id=context.request_id)
            finally:
                if isinstance(sink, TranslatedAnswer):
                    sink.when_whole = None
                self._live.leave(attempt)

        attempt = Attempt(
            call, target.client, self._clock, target.watch, sink, target.dialect, context.record.request_id, over
        )
        if isinstance(sink, TranslatedAnswer):
            sink.when_whole = attempt.answered
        self._live.enter(attempt)
        when_client_leaves(request, attempt.leave)
        attempt.run()


def _has(target: Target, context: CallContext) -> bool:
    """Whether the provider itself has what the path asks for, so that not a byte need change."""
    route = context.route
    if route.operation in AS_IS:
        return True
    if context.dialect is not target.dialect:
        return False
    api = route.asked.api
    if api is Api.RESPONSES_COUNT_TOKENS:
        api = Api.RESPONSES
    return api in target.apis or api not in CONVERSATIONS


def _relayed(request: Request, context: CallContext, grant: Grant, way: Way, body: RequestBody) -> ProviderCall:
    target, operation = way.target, context.route.operation
    if grant.limited or grant.renames or context.model is not None or target.names_models:
        url, producer = _renamed(request.method, context, grant, target, body)
    else:
        producer = body.producer()
        if operation is Operation.NATIVE:
            url = target.native_url(checked_query(context.query))
        elif context.query or len(context.path) > Target.MAX_REMEMBERED_BYTES:
            url = target.url_below(context.path, operation.ours, checked_query(context.query))
        else:
            url = target.remembered_url(context.path, operation.ours)
    provider = target.provider
    return ProviderCall(
        provider.name,
        _TEXT[request.method],
        url,
        target.headers_for(request.requestHeaders, way.headers),
        producer,
        grant.secrets,
        provider.timeouts,
    )


_ABOUT_NO_MODEL = re.compile(rb"(?:/v\d\w*)*/(?:files|uploads)(?:/.*)?")
"""What may be sent without a model by a key that may call some only."""

_TOLD_BY_THE_BODY = re.compile(
    rb"(?:/v\d\w*)*/(?:chat/completions|completions|responses(?:/compact|/input_tokens)?|messages(?:/count_tokens)?"
    rb"|embeddings|moderations|rerank|images/[a-z]+|audio/[a-z]+)/?"
)
"""Whose model such a key's body names. Of other paths nobody knows: a batch has a model in every line, and Azure,
Google and others have paths that name one, in any spelling."""


def _renamed(
    method: bytes, context: CallContext, grant: Grant, target: Target, body: RequestBody
) -> tuple[bytes, IBodyProducer | None]:
    """
    Where it matters which model is asked for.

    :return: the URL, and the body with the provider's name for the model.
    :raises BadRequest: the key may call some models only, and it cannot be told which one this is.
    """
    route, query = context.route, checked_query(context.query)
    operation, asked = route.operation, route.asked
    below = below_of(context.path, operation.ours) if operation is Operation.RAW else context.path
    if operation is Operation.RAW and grant.limited and target.dialect is GEMINI:
        asked = asked_of(method, b"/v1beta" + below.removeprefix(b"/v1beta"))
    if asked.verb is not None:
        # The path names the model, and the body does not.
        model: str | None = grant.chosen(asked.model or "").name
        return target.url_of_gemini(model or "", asked.verb, query), body.producer()
    raw = operation is Operation.RAW
    if raw and not grant.limited:
        return target.url_below(context.path, operation.ours, query), body.producer()
    must_tell = grant.limited and not _ABOUT_NO_MODEL.fullmatch(below)
    if must_tell and not (body.empty or operation is Operation.NATIVE or _TOLD_BY_THE_BODY.fullmatch(below)):
        raise BadRequest(WHICH_MODEL)
    producer, model = body.renamed(
        grant.chosen, context.model, must_tell=must_tell, path_counts=target.names_models and not raw
    )
    if target.names_models and not raw:
        native = operation is Operation.NATIVE
        path, ours = (b"/chat/completions", 0) if native else (context.path, operation.ours)
        return target.url_of_azure(path, ours, query, model), producer
    if operation is Operation.NATIVE:
        return target.native_url(query), producer
    return target.url_below(context.path, operation.ours, query), producer


def _settle(request: Request, context: CallContext, outcome: Outcome, *, failed: bool) -> None:
    error = outcome.error
    if error is None or not outcome.unanswered:
        # What a translation has found out of an answer that came whole as far as HTTP can tell.
        context.settle(UPSTREAM_ERROR if failed and outcome.ended == OK else outcome.ended, error)
    elif request._disconnected:
        context.settle(CLIENT_GONE, error)
    else:
        refuse(request, error)
