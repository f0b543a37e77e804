"""
Those of Twisted's own tests of its ``Agent`` that look at it from outside, run against ours.

Taken from ``twisted.web.test.test_agent``: an agent for anybody (``AgentTestsMixin``); from connecting to the answer
over IPv4, IPv6 and TLS (``IntegrationTestingMixin``, plain and as ``AgentHTTPSTests`` wraps it); methods and URIs that
would inject something (``AgentMethodInjectionTests``, ``AgentURIInjectionTests``); from ``AgentTests`` what needs
no stand-in for Twisted's private protocol.

Left out, because they look inside:

- the rest of ``AgentTests`` and ``AgentHTTPSTests``, ``HTTPConnectionPoolTests``, ``HTTPConnectionPoolRetryTests``:
  they replace ``_getEndpoint``, ``_HTTP11ClientFactory`` or private parts of the pool, or ask for constructor arguments
  that ours has not (``bindAddress``, ``usingEndpointFactory``, ``contextFactory``);
- ``CookieAgentTests``, ``ContentDecoderAgentTests``, ``RedirectAgentTests``, ``ProxyAgentTests``: agents that wrap
  Twisted's, made with the same replacements. That they run on ours shows in ``test_client_real``, through treq;
- all of ``test_newclient``: every test there makes a private ``HTTP11ClientProtocol``, ``HTTPClientParser``,
  ``Request`` or ``Response`` and calls private methods. What those promise to callers is asked in ``test_client``,
  and beside the originals in ``test_client_against_twisted``.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.test.test_endpoints import deterministicResolvingReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.test_sslverify import certificatesForAuthorityAndServer
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.test import injectionhelpers, test_agent
from zope.interface import implementer

from llm_gateway.wire.client import Agent
from llm_gateway.wire.pool import ConnectionPool

# Twisted's tests pass certificates and keys to pyOpenSSL in a way that this one warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


def agent(reactor: Any, **pool: Any) -> Agent:
    return Agent(ConnectionPool(reactor, max_idle_per_origin=2, idle_s=240, **pool), connect_s=30)


class TestAgent(test_agent.FakeReactorAndConnectMixin, test_agent.AgentTestsMixin, TestCase):
    def setUp(self) -> None:
        self.reactor = self.createReactor()

    def makeAgent(self) -> Agent:
        return agent(self.reactor)

    def test_unsupported_scheme(self) -> None:
        """As ``AgentTests.test_unsupportedScheme``."""
        self.failureResultOf(self.makeAgent().request(b"GET", b"mailto://whoever"), SchemeNotSupported)

    def test_connection_failed(self) -> None:
        """As ``AgentTests.test_connectionFailed``: what kept it from connecting is not wrapped."""
        asked = self.makeAgent().request(b"GET", b"http://foo/")
        self.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.reactor.advance(10)
        self.failureResultOf(asked, ConnectionRefusedError)


class TestPlain(test_agent.FakeReactorAndConnectMixin, test_agent.IntegrationTestingMixin, TestCase):
    def integrationTest(self, *args: Any, **kwargs: Any) -> None:
        super().integrationTest(*args, **{"createAgent": agent, **kwargs})


class TestSecure(TestPlain):
    def integrationTest(self, *args: Any, **_kwargs: Any) -> None:
        """As ``AgentHTTPSTests.integrationTest``."""
        authority, server = certificatesForAuthorityAndServer(args[0].strip(b"[]").decode("ascii"))

        @implementer(IPolicyForHTTPS)
        class Policy:
            def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
                return optionsForClientTLS(hostname.decode("ascii"), trustRoot=authority)

        super().integrationTest(
            *args,
            serverWrapper=lambda factory, reactor: TLSMemoryBIOFactory(server.options(), False, factory, reactor),
            createAgent=lambda reactor: agent(reactor, tls_policy=Policy()),
            scheme=b"https",
        )


class TestMethodInjection(injectionhelpers.MethodInjectionTestsMixin, SynchronousTestCase):
    def attemptRequestWithMaliciousMethod(self, method: bytes) -> None:
        agent(MemoryReactorClock()).request(method, b"http://twisted.invalid")


class TestURIInjection(injectionhelpers.URIInjectionTestsMixin, SynchronousTestCase):
    def attemptRequestWithMaliciousURI(self, uri: bytes) -> None:
        agent(deterministicResolvingReactor(MemoryReactorClock())).request(b"GET", uri)
