"""Which candidates a call has, in which order, and why each is in or out: for the one whose key it is."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.apis import Api, Asked
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.routing.candidates import Call
from llm_gateway.core.routing.explain import explain
from llm_gateway.errors import BadRequest
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.web.context import Operation, Route, context_of
from llm_gateway.web.models import answer_here
from llm_gateway.web.routes import RouteBook

ASKED_BY = {
    "chat": ("openai", Api.CHAT),
    "responses": ("openai", Api.RESPONSES),
    "messages": ("anthropic", Api.MESSAGES),
    "gemini": ("gemini", Api.GEMINI),
    "embeddings": ("openai", Api.EMBEDDINGS),
}
"""What ``api`` may be, with the dialect that its callers speak."""


class RoutePage(Resource):
    """``GET /v1/gateway/route``: nothing is sent to any provider, and nothing changes by asking."""

    isLeaf = True

    def __init__(self, routes: RouteBook, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._routes = routes
        self._dispatcher = dispatcher

    def render(self, request: Request) -> int:
        """
        :raises GatewayError: the question is wrong, or such a call would be refused.
        """
        context = context_of(request)
        grant = context.grant
        assert grant is not None
        given = {name.decode("latin-1"): values for name, values in (request.args or {}).items()}
        model = _one(given, "model")
        api = _one(given, "api") or "chat"
        stream = _one(given, "stream") or "false"
        conversation = _one(given, "conversation")
        for name in given:
            if name not in ("model", "api", "stream", "conversation"):
                raise BadRequest(f"There is no parameter {name[:64]!r}: model, api, stream and conversation are known.")
        if api not in ASKED_BY:
            raise BadRequest(f"api must be one of {', '.join(ASKED_BY)}.")
        if stream not in ("true", "false"):
            raise BadRequest("stream must be true or false.")
        dialect, asked = ASKED_BY[api]
        as_if = msgspec.structs.replace(
            context, dialect=DIALECTS[dialect], route=Route(Operation.VERSIONED, Asked(asked), DIALECTS[dialect])
        )
        plan = self._routes.plan(grant, as_if, model)
        router, now = self._dispatcher.router, self._dispatcher.clock.seconds()
        call = Call(grant.label, conversation=conversation or None, stream=stream == "true")
        explanation = explain(plan.resolved, plan.route, call, router.health, now)
        answer_here(request, context, msgspec.json.encode(explanation) + b"\n")
        return NOT_DONE_YET


def _one(given: dict[str, Any], name: str) -> str:
    values = given.get(name, [b""])
    if len(values) > 1:
        raise BadRequest(f"{name} must be given once.")
    try:
        text: str = values[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{name} must be UTF-8.") from None
    return text
