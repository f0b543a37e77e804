"""Which candidates a call has, in which order, and why each is in or out: for the one whose key it is."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.config.problems import nearest
from llm_gateway.core.apis import ASKED_BY, NATIVE, Api, Asked
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.record import CallRecord
from llm_gateway.core.routing.candidates import Call
from llm_gateway.core.routing.explain import Explained, Explanation, explain
from llm_gateway.errors import BadRequest, ModelNotAllowed
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.web.context import CallContext, Operation, Route, context_of
from llm_gateway.web.grants import Grant
from llm_gateway.web.models import answer_here, known_names
from llm_gateway.web.routes import Plan, RouteBook

__all__ = ["ASKED_BY", "Explainer", "Question", "RoutePage"]


_CALLED = {Api.GEMINI_EMBEDDINGS: "embeddings"}
"""What people call an operation whose dialect is told beside it."""


class Question(msgspec.Struct, frozen=True):
    """A call that is not made."""

    model: str = ""
    """As its caller would name it; empty where it would name none."""
    api: str = "chat"
    """One of ``ASKED_BY``."""
    stream: bool = False
    conversation: str = ""
    """What tells its conversation; empty for nothing."""


class Explainer:
    """Says what would become of a call. Nothing is sent to any provider, and nothing changes by asking."""

    def __init__(self, routes: RouteBook, dispatcher: Dispatcher) -> None:
        self._routes = routes
        self._dispatcher = dispatcher

    def explain(self, grant: Grant, question: Question) -> Explanation:
        """
        :raises GatewayError: such a call would be refused.
        """
        router, clock = self._dispatcher.router, self._dispatcher.clock
        dialect, api = ASKED_BY[question.api]
        operation = Operation.NATIVE if question.api == NATIVE else Operation.VERSIONED
        route = Route(operation, Asked(api), DIALECTS[dialect])
        as_if = CallContext(
            DIALECTS[dialect], b"", b"", None, CallRecord("", ""), clock, clock.seconds(), log=None, route=route
        )
        try:
            plan = self._routes.plan(grant, as_if, question.model)
        except ModelNotAllowed as error:
            others = set(known_names(grant, as_if, router.settings)) - {question.model}
            near = nearest(question.model, sorted(others))
            if near is None:
                raise
            raise ModelNotAllowed(f"{error.message} Did you mean {near!r}?") from error
        call = Call(grant.label, conversation=question.conversation or None, stream=question.stream)
        found = explain(plan.resolved, plan.route, call, router.health, clock.seconds())
        return replace(found, candidates=tuple(self._asked_in(each, plan, route) for each in found.candidates))

    def _asked_in(self, explained: Explained, plan: Plan, route: Route) -> Explained:
        where = explained.provider, explained.credential, explained.model
        ways = (way for each, way in plan.ways.items() if (each.provider, each.credential, each.model) == where)
        way, as_it_is = next(ways, (None, False))
        if way is None or explained.position is None:
            return explained
        target, api = way.target, route.asked.api
        if route.operation is Operation.NATIVE:
            return replace(explained, dialect=target.dialect.name, api=NATIVE)
        if not as_it_is:
            # Loaded with the first call that is translated, or explained.
            from llm_gateway.web.translating import asked_for

            api = asked_for(api, target, explained.model, plan.facts_of(explained.provider, explained.model))
        return replace(explained, dialect=target.dialect.name, api=_CALLED.get(api, api.value))


class RoutePage(Resource):
    """``GET /v1/gateway/route``."""

    isLeaf = True

    def __init__(self, routes: RouteBook, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._explainer = Explainer(routes, dispatcher)

    def render(self, request: Request) -> int:
        """
        :raises GatewayError: the question is wrong, or such a call would be refused.
        """
        context = context_of(request)
        grant = context.grant
        assert grant is not None
        given = {name.decode("latin-1"): values for name, values in (request.args or {}).items()}
        explanation = self._explainer.explain(grant, _question(given))
        request.setHeader(b"cache-control", b"no-store")
        answer_here(request, context, msgspec.json.encode(explanation) + b"\n")
        return NOT_DONE_YET


def _question(given: dict[str, Any]) -> Question:
    """
    :param given: the parameters of the query, undecoded.
    :raises BadRequest: that is no question.
    """
    model = _one(given, "model")
    api = _one(given, "api") or "chat"
    stream = _one(given, "stream") or "false"
    conversation = _one(given, "conversation")
    for name in given:
        if name not in ("model", "api", "stream", "conversation"):
            known = "model, api, stream and conversation are known."
            raise BadRequest(f"There is no parameter {name[:64]!r}: {known}", param=name[:64])
    if api not in ASKED_BY:
        raise BadRequest(f"api must be one of {', '.join(ASKED_BY)}.", param="api")
    if stream not in ("true", "false"):
        raise BadRequest("stream must be true or false.", param="stream")
    return Question(model, api, stream == "true", conversation)


def _one(given: dict[str, Any], name: str) -> str:
    values = given.get(name, [b""])
    if len(values) > 1:
        raise BadRequest(f"{name} must be given once.", param=name)
    try:
        text: str = values[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{name} must be UTF-8.", param=name) from None
    return text
