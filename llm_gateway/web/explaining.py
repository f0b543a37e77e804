"""Which candidates a call has, in which order, and why each is in or out: for the one whose key it is."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.config.problems import nearest
from llm_gateway.core.apis import ASKED_BY, Asked
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.record import CallRecord
from llm_gateway.core.routing.candidates import Call
from llm_gateway.core.routing.explain import Explanation, explain
from llm_gateway.errors import BadRequest, ModelNotAllowed
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.web.context import CallContext, Operation, Route, context_of
from llm_gateway.web.grants import Grant
from llm_gateway.web.models import answer_here, known_names
from llm_gateway.web.routes import RouteBook

__all__ = ["ASKED_BY", "Explainer", "Question", "RoutePage"]


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
        route = Route(Operation.VERSIONED, Asked(api), DIALECTS[dialect])
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
        return explain(plan.resolved, plan.route, call, router.health, clock.seconds())


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
