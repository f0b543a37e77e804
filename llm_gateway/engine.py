"""Which ``Site`` and ``IAgent`` carry the gateway's calls. Only ``tap`` asks; everyone else gets what it chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.web.client import Agent as StockAgent
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgent
from twisted.web.resource import IResource

from llm_gateway.settings import Settings
from llm_gateway.web.uploads import wants_stream
from llm_gateway.wire.bounds import Refusal
from llm_gateway.wire.client import Agent
from llm_gateway.wire.pool import ConnectionPool
from llm_gateway.wire.server import Site

if TYPE_CHECKING:
    from llm_gateway.wire.stock import BoundedSite


class Outward(msgspec.Struct, frozen=True):
    """The client's side of an engine: its connections to providers."""

    make_agent: Callable[[float], IAgent]
    """From a connect timeout in seconds to an agent; all of them share the connections."""
    close_pool: Callable[[], Deferred[None]]
    """Close the idle connections; fires when they are gone."""


class Engine(msgspec.Struct, frozen=True):
    """An implementation of HTTP/1.1, both sides."""

    make_site: Callable[[IResource, Any, Settings, Refusal], Any]
    """From the root resource, the reactor, the settings and what is said to something that is no request."""
    make_outward: Callable[[Any, Settings], Outward]


def _stock_site(resource: IResource, reactor: Any, settings: Settings, refusal: Refusal) -> BoundedSite:
    # Loaded by who asks for it.
    from llm_gateway.wire.stock import BoundedSite

    return BoundedSite(resource, reactor=reactor, max_body_bytes=settings.max_body_bytes, refusal=refusal)


def _stock_outward(reactor: Any, settings: Settings) -> Outward:
    from llm_gateway.wire.stock import QuietPool

    pool = QuietPool(reactor, settings.pool_size, settings.pool_idle_s)
    policy = BrowserLikePolicyForHTTPS()
    return Outward(
        lambda connect_s: StockAgent(reactor, policy, connectTimeout=connect_s, pool=pool), pool.closeCachedConnections
    )


def _own_site(resource: IResource, reactor: Any, settings: Settings, refusal: Refusal) -> Site:
    return Site(
        resource,
        reactor=reactor,
        max_body_bytes=settings.max_body_bytes,
        refusal=refusal,
        wants_stream=wants_stream,
        parsePOSTFormSubmission=False,
    )


def _own_outward(reactor: Any, settings: Settings) -> Outward:
    pool = ConnectionPool(reactor, max_idle_per_origin=settings.pool_size, idle_s=settings.pool_idle_s)
    return Outward(lambda connect_s: Agent(pool, connect_s), pool.closeCachedConnections)


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {"llhttp": Engine(_own_site, _own_outward), "twisted": Engine(_stock_site, _stock_outward)}
)
"""By the name that ``--wire`` takes, one for each of ``settings.WIRES``."""
