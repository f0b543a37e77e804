"""From a request with a grant to a provider's answer."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.apis import COUNTS, Api, Asked, asked_of
from llm_gateway.core.dialects import GEMINI, OPENAI
from llm_gateway.core.operations import operation_of
from llm_gateway.core.paths import checked_query
from llm_gateway.core.readable import ask_readably
from llm_gateway.core.record import CLIENT_GONE, OK, UPSTREAM_ERROR, printable
from llm_gateway.core.routing.candidates import Call, Candidate, conversation_of
from llm_gateway.core.usage.asking import can_be_asked
from llm_gateway.errors import BadRequest, GatewayError, MethodNotAllowed, OperationNotAllowed
from llm_gateway.upstream.attempt import Outcome, ProviderCall
from llm_gateway.upstream.dispatch import Dispatch, Dispatcher, Prepared
from llm_gateway.upstream.sink import Sink
from llm_gateway.upstream.targets import Target, below_of
from llm_gateway.web.answer import Answer, fault, refuse, when_client_leaves
from llm_gateway.web.asking import AnswerWithoutUsage
from llm_gateway.web.context import CallContext, Operation, context_of
from llm_gateway.web.grants import Grant, Way
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.request_body import WHICH_MODEL, RequestBody
from llm_gateway.web.routes import Plan, RouteBook, effect, is_estimated, stored_there
from llm_gateway.wire.fields import fields_of, lasting
from llm_gateway.wire.rounds import together

if TYPE_CHECKING:
    from llm_gateway.web.accounts import Books
    from llm_gateway.web.call_account import CallAccount
    from llm_gateway.web.translated import TranslatedAnswer

_log = Logger()

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
"""What is relayed. OPTIONS is answered here; TRACE and CONNECT are for nobody behind a gateway."""

# By names of the module's own, and in a row: to look a member up in its class, or in a set, takes a function.
_CHAT, _MODELS = Api.CHAT, Api.MODELS
_COUNTS = tuple(COUNTS)
_NATIVE, _RAW = Operation.NATIVE, Operation.RAW

_TEXT = {method: method.decode("ascii") for method in METHODS}


class ForwardingResource(Resource):
    """Has a granted request answered by one of the grant's providers: relayed as it is, or translated."""

    isLeaf = True

    def __init__(
        self,
        routes: RouteBook,
        dispatcher: Dispatcher,
        live: LiveCalls,
        max_body_bytes: int,
        books: Books | None = None,
    ) -> None:
        """
        :param books: ``None`` where nothing is limited and nothing written down.
        """
        super().__init__()
        self._books = books
        self._routes = routes
        self._dispatcher = dispatcher
        self._live = live
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
        api = context.route.asked.api
        allowed = grant.key.operations
        if allowed is not None and operation_of(api, context.path) not in allowed:
            raise OperationNotAllowed(f"This key may be used for {', '.join(sorted(allowed))} only.")
        if api is _MODELS and self._listed(request, context, grant):
            return NOT_DONE_YET
        body = RequestBody(request, context.record, self._max_body_bytes)
        plan = self._routes.plan(grant, context, _asked_model(request.method, context, grant, body))
        if api in _COUNTS and self._estimated(request, context, plan, body):
            return NOT_DONE_YET
        hedging = self._dispatcher.router.settings.hedging.after_s is not None
        asked = _call(request, context, plan, body, hedging)
        call = _ForwardedCall(request, context, grant, plan, body, self._live, self._books)
        dispatch = self._dispatcher.dispatch(plan.route, asked, call)
        call.dispatch = dispatch
        self._live.enter(dispatch, context)
        when_client_leaves(request, dispatch.leave)
        together(_ForwardedCall.run if self._books is None else _ForwardedCall.open, call)
        return NOT_DONE_YET

    def _estimated(self, request: Request, context: CallContext, plan: Plan, body: RequestBody) -> bool:
        """Whether it is a count that the first candidate could not be asked for, and that is answered so."""
        candidate = next((each for each in plan.resolved.main.candidates), None)
        if candidate is None:
            return False
        way, as_it_is = plan.sole or plan.ways[candidate]
        target = way.target
        if as_it_is or not is_estimated(context.route.asked.api, target):
            return False
        to = candidate.model, plan.facts_of(candidate.provider, candidate.model)
        _models().answer_here(request, context, _translating().estimated(request, context, target, *to, body))
        return True

    def _listed(self, request: Request, context: CallContext, grant: Grant) -> bool:
        """:return: whether the question for models has been answered from what is known here."""
        models = _models()
        if not models.is_known_here(grant, context):
            return False
        models.answer_here(request, context, models.models_page(context, grant, self._dispatcher.router.settings))
        return True


def _call(request: Request, context: CallContext, plan: Plan, body: RequestBody, hedging: bool) -> Call:
    """
    What routing has to know.

    :param hedging: whether it counts that a stream is asked for.
    """
    if plan.plain is not None and not body.streamed:
        return plan.plain
    conversation = None
    bound = stored_there(context)
    if plan.stays or context.route.asked.api is Api.RESPONSES:
        said = body.said()
        bound = bound or "previous_response_id" in said or "conversation" in said
        if plan.stays:
            conversation = conversation_of(_text_fields(request), said)
    stream = hedging and _wants_stream(context, body)
    assert context.grant is not None
    return Call(context.grant.label, effect(context), conversation, stream, bound, once=body.streamed)


def _wants_stream(context: CallContext, body: RequestBody) -> bool:
    asked = context.route.asked.stream
    return body.wants_stream() if asked is None else asked


def _text_fields(request: Request) -> dict[str, str]:
    fields = fields_of(request.requestHeaders)
    return {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in fields.items()}


def _translating() -> ModuleType:
    """Loaded with the first call that needs it: many a gateway stands between equals, and does without its 4 MB."""
    from llm_gateway.web import translating

    return translating


def _models() -> ModuleType:
    """The same: programs ask for models less often than they call one."""
    from llm_gateway.web import models

    return models


class _Asked(msgspec.Struct, frozen=True, eq=False):
    """One attempt, as far as the client and the record are told of it."""

    candidate: Candidate
    dialect: str
    """The one that it was asked in."""
    translation: TranslatedAnswer | None
    """What its answer goes through."""
    dropped: str | None
    """What could not be said to it."""


class _ForwardedCall:
    """The client's side of one call, for the dispatcher: an ``upstream.dispatch.Asker``."""

    __slots__ = (
        "_account",
        "_asked",
        "_body",
        "_books",
        "_context",
        "_grant",
        "_live",
        "_outcome",
        "_plan",
        "_request",
        "_translation",
        "dispatch",
        "request_id",
    )

    def __init__(
        self,
        request: Request,
        context: CallContext,
        grant: Grant,
        plan: Plan,
        body: RequestBody,
        live: LiveCalls,
        books: Books | None,
    ) -> None:
        self._account: CallAccount | None = None
        self._books = books
        self._request = request
        self._context = context
        self._grant = grant
        self._plan = plan
        self._body: RequestBody | None = body
        self._live = live
        self._asked: tuple[_Asked, ...] = ()
        self._translation: TranslatedAnswer | None = None
        self._outcome: Outcome | None = None
        self.dispatch: Dispatch | None = None
        self.request_id = context.record.request_id

    def open(self) -> None:
        """Have it let in, then send it."""
        books, body = self._books, self._body
        if self.dispatch is None or books is None or body is None:
            # The client has left.
            return
        try:
            self._account = books.open(self._request, self._context, self._plan, body)
        except GatewayError as error:
            self._refuse(error)
        except Exception:
            self._refuse(fault(self._request, Failure()))
        else:
            together(_ForwardedCall.run, self)

    def run(self) -> None:
        """Send it, or refuse what cannot be sent."""
        if self.dispatch is None:
            return
        try:
            self.dispatch.run()
        except GatewayError as error:
            self._refuse(error)
        except Exception:
            self._refuse(fault(self._request, Failure()))

    def _refuse(self, error: GatewayError) -> None:
        dispatch, self.dispatch = self.dispatch, None
        if dispatch is not None:
            self._live.leave(dispatch)
        if self._account is not None:
            # What it holds of limits is given back by the end of its dispatch otherwise.
            self._account.over()
        refuse(self._request, error)

    def prepare(self, candidate: Candidate, number: int) -> Prepared:
        """
        :raises GatewayError: this candidate cannot be asked that.
        """
        context, request, body = self._context, self._request, self._body
        assert body is not None  # nothing is sent again after the first byte of an answer
        way, as_it_is = self._plan.sole or self._plan.ways[candidate]
        target = way.target
        answer = Answer(request, context, target.dialect)
        sink: Sink = answer
        translation = dropped = None
        account = self._account
        if as_it_is:
            call, asks = _relayed(request, context, way, candidate.model, body, read=account is not None)
            if asks:
                sink = AnswerWithoutUsage(answer)
        else:
            to = candidate.model, self._plan.facts_of(candidate.provider, candidate.model)
            policy = self._grant.policy(target)
            call, translation, dropped = _translating().translated(request, context, way, *to, policy, body, answer)
            translation.when_whole = self._whole
            sink = translation
        if account is not None:
            number, method = context.record.attempts + 1, call.method
            of_attempt = account.attempt(candidate, target, number, method, as_it_is=as_it_is)
        # Not its number, which counts those that could not be asked, too.
        context.record.attempts += 1
        context.asked_provider = True
        asked = _Asked(candidate, target.dialect.name, translation, dropped)
        self._asked = (*self._asked, asked)
        self._say(asked)
        return Prepared(
            call, target.client, target.watch, target.dialect, sink, None if account is None else of_attempt
        )

    def content(self, candidate: Candidate) -> None:
        if len(self._asked) > 1:
            # Of two that raced it may be the first one.
            self._say(next(each for each in reversed(self._asked) if each.candidate is candidate))
        body, self._body = self._body, None
        if body is not None:
            body.release()

    def over(self, outcome: Outcome) -> None:
        self._outcome = outcome
        together(_ForwardedCall._settle, self)

    def _settle(self) -> None:
        request, context, body = self._request, self._context, self._body
        outcome, self._outcome = self._outcome, None
        assert outcome is not None
        if body is not None:
            body.release()
        try:
            translation = self._translation
            _settle(request, context, outcome, failed=translation is not None and translation.failed)
        except Exception:
            _log.failure("Call {request_id}", request_id=self.request_id)
        finally:
            if self._account is not None:
                self._account.over()
            for asked in self._asked:
                if asked.translation is not None:
                    asked.translation.when_whole = None
            # A client that stopped reading may hold its request, and with it this, for long.
            self._translation = None
            self._asked = ()
            dispatch, self.dispatch = self.dispatch, None
            if dispatch is not None:
                self._live.leave(dispatch)

    def _whole(self) -> None:
        """A translation has all of its answer, although the provider has not ended it."""
        if self.dispatch is not None:
            self.dispatch.whole()

    def _say(self, asked: _Asked) -> None:
        """Record, and let the client know, that the call is this one's."""
        record = self._context.record
        record.provider, record.credential = asked.candidate.provider, asked.candidate.credential
        record.dialect = asked.dialect
        self._translation = asked.translation
        if asked.dropped != record.dropped:
            record.dropped = asked.dropped
            fields = fields_of(self._request.responseHeaders)
            fields.pop(b"X-Gw-Dropped", None)
            if asked.dropped is not None:
                fields[b"X-Gw-Dropped"] = [asked.dropped.encode("ascii", "replace")]


def _relayed(
    request: Request, context: CallContext, way: Way, model: str, body: RequestBody, *, read: bool
) -> tuple[ProviderCall, bool]:
    """
    :param read: whether the answer has to be read here, too.
    :return: also whether it asks for numbers that the client has not asked for.
    """
    asks = False
    target, notes = way.target, context.notes
    api: Api | None
    producer: IBodyProducer | None
    place = None if notes is None else notes.get("url")
    if place is not None and place[0] is way:
        url, api = place[1], place[2]
    else:
        asked, operation = _asked_of(request.method, context, target), context.route.operation
        if asked.verb is not None or target.names_models:
            url, producer = _naming(context, asked.verb, target, model, body)
            api = None
        else:
            api = asked.api
            if operation is _NATIVE:
                url = target.native_url(checked_query(context.query))
            elif context.query or len(context.path) > Target.MAX_REMEMBERED_BYTES:
                url = target.url_below(context.path, operation.ours, checked_query(context.query))
            else:
                url = target.remembered_url(context.path, operation.ours)
            if notes is not None:
                notes["url"] = way, url, api
    if api is not None:
        producer = None
        if read and _may_ask(api, context, target, model):
            producer = body.asking(model)
            asks = producer is not None
        if producer is None:
            producer = body.producer(model)
    provider = target.provider
    known = None if notes is None else notes.get("headers")
    if known is not None and known[0] is way and known[1] is asks:
        headers = known[2]
    else:
        headers = target.headers_for(request.requestHeaders, way.headers)
        if read:
            ask_readably(fields_of(headers), compressed=not asks)
        if notes is not None:
            headers = lasting(headers)
            notes["headers"] = way, asks, headers
    call = ProviderCall(
        provider.name,
        _TEXT[request.method],
        url,
        headers,
        producer,
        way.secrets,
        provider.timeouts,
    )
    return call, asks


_COMPLETIONS = re.compile(rb"(?:/p/[^/]+)?(?:/v\d\w*)*/completions/?")


def _may_ask(api: Api, context: CallContext, target: Target, model: str) -> bool:
    """Whether streams of completions carry no numbers unless they are asked for, and this provider may be asked."""
    if target.dialect is not OPENAI or not target.provider.ask_usage:
        return False
    known = api is _CHAT or context.route.operation is _NATIVE or _COMPLETIONS.fullmatch(context.path)
    return bool(known) and can_be_asked(target.provider.name, target.provider.preset, model)


def _asked_of(method: bytes, context: CallContext, target: Target) -> Asked:
    """What the path asks for; also below ``/p/{provider}``, where Google's paths name models."""
    route = context.route
    if route.operation is not _RAW or target.dialect is not GEMINI:
        return route.asked
    below = below_of(context.path, route.operation.ours)
    return asked_of(method, b"/v1beta" + below.removeprefix(b"/v1beta"))


def _naming(
    context: CallContext, verb: str | None, target: Target, model: str, body: RequestBody
) -> tuple[bytes, IBodyProducer | None]:
    """
    Where the provider's path names the model, or may.

    :param verb: Gemini's.
    :param model: the provider's name for it; empty where it does not matter which it is.
    :return: the URL, and the body.
    """
    operation, query = context.route.operation, checked_query(context.query)
    if verb is not None and model:
        return target.url_of_gemini(model, verb, query), body.producer()
    if operation is _RAW:
        return target.url_below(context.path, operation.ours, query), body.producer(model)
    native = operation is _NATIVE
    path, ours = (b"/chat/completions", 0) if native else (context.path, operation.ours)
    return target.url_of_azure(path, ours, query, model or None), body.producer(model)


_ABOUT_NO_MODEL = re.compile(rb"(?:/v\d\w*)*/(?:files|uploads)(?:/.*)?")
"""What may be sent without a model by a key that may call some only."""

_TOLD_BY_THE_BODY = re.compile(
    rb"(?:/v\d\w*)*/(?:chat/completions|completions|responses(?:/compact|/input_tokens)?|messages(?:/count_tokens)?"
    rb"|embeddings|moderations|rerank|images/[a-z]+|audio/[a-z]+)/?"
)
"""Whose model such a key's body names. Of other paths nobody knows: a batch has a model in every line, and Azure,
Google and others have paths that name one, in any spelling."""


def _asked_model(method: bytes, context: CallContext, grant: Grant, body: RequestBody) -> str:
    """
    :return: the caller's name for the model; empty where it does not matter, or there is none.
    :raises BadRequest: the key may call some models only, and it cannot be told which one this is.
    """
    route = context.route
    operation = route.operation
    raw = operation is _RAW
    below = below_of(context.path, operation.ours) if raw else context.path
    way = grant.way
    asked = route.asked if way is None or not raw else _asked_of(method, context, way.target)
    if asked.verb is not None:
        # The path names the model, and the body does not.
        context.record.model = printable(asked.model or "") or None
        return "" if raw and not grant.limited else asked.model or ""
    if not grant.limited:
        named = body.model(context.model)
        return "" if raw else named
    if _ABOUT_NO_MODEL.fullmatch(below):
        return body.model(context.model)
    if not (body.empty or operation is _NATIVE or _TOLD_BY_THE_BODY.fullmatch(below)):
        raise BadRequest(WHICH_MODEL, param="model")
    path_counts = not raw and way is not None and way.target.names_models
    return body.model_for_certain(context.model, path_counts=path_counts)


def _settle(request: Request, context: CallContext, outcome: Outcome, *, failed: bool) -> None:
    error = outcome.error
    if error is None or not outcome.unanswered:
        # What a translation has found out of an answer that came whole as far as HTTP can tell.
        context.settle(UPSTREAM_ERROR if failed and outcome.ended == OK else outcome.ended, error)
    elif request._disconnected:
        context.settle(CLIENT_GONE, error)
    else:
        refuse(request, error)
