"""What a gateway with these files would do with a call, found out without one."""

from __future__ import annotations

from typing import NoReturn

from treq.client import HTTPClient
from twisted.internet.task import Clock
from twisted.web.iweb import IAgent
from zope.interface import implementer

from llm_gateway.config.problems import listed, nearest
from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.routing.explain import Explanation
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.web.explaining import Explainer, Question
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.routes import RouteBook

__all__ = ["NoSuchKey", "explain_offline"]


class NoSuchKey(Exception):
    """Nobody is meant, or more than one. The message is one line for a person, and shows no key."""


def explain_offline(configuration: Configuration, key: str, question: Question) -> Explanation:
    """
    :param key: a virtual key, or what logs call one.
    :return: what a gateway would say of which nothing is known yet but its files.
    :raises NoSuchKey: there is none.
    :raises GatewayError: such a call would be refused.
    """
    clock = Clock()
    grants = GrantBook(_client_of_nobody, clock)
    dispatcher = Dispatcher(clock, _middle, _nothing)
    routes = RouteBook(grants, dispatcher)
    grants.use(configuration)
    routes.use(configuration)
    grant = grants.find(key.encode("utf-8", "replace")) or grants.of(_called(configuration, key))
    return Explainer(routes, dispatcher).explain(grant, question)


def _called(configuration: Configuration, name: str) -> VirtualKey:
    """
    Of a key that stands in the file as its digest, the operator knows no more than what it is called.

    :raises NoSuchKey: none is called so, or several are.
    """
    keys = [key for key in configuration.keys.values() if name in (key.label, _short(key))]
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise NoSuchKey(f"{len(keys)} virtual keys have that name: {listed(map(_short, keys))}")
    near = nearest(name, sorted(key.label for key in configuration.keys.values()))
    guess = f"did you mean {near!r}?" if near else "`llmgateway check` lists what they are called"
    raise NoSuchKey(f"no virtual key in the file is that one or is called so; {guess}")


def _short(key: VirtualKey) -> str:
    return f"key:{key.fingerprint}"


def _middle() -> float:
    return 0.5


def _nothing(_change: object) -> None:
    pass


@implementer(IAgent)
class _Nobody:
    """Explaining asks nobody."""

    def request(self, method: bytes, uri: bytes, headers: object = None, bodyProducer: object = None) -> NoReturn:
        raise RuntimeError("nothing is sent from here")


def _client_of_nobody(_connect_s: float) -> HTTPClient:
    return HTTPClient(_Nobody())
