"""
Twisted's own tests, from its wheel, on our channel, request and site.

They are run as they are: ``twisted.web.http.HTTPChannel``, ``twisted.web.server.Site`` and ``Request`` are ours while
one runs. What the classes below have and is not run is in ``LEFT_OUT``, with the reason. Left out as a whole are the
tests of transfer decoders, HTTP/2, log formatters, clients and ``_GenericHTTPChannelProtocol``: we have none of these.

Three things are taken back for them, and tested elsewhere: their requests have no ``Host``, and they expect a bare 400
and Twisted's own bounds on headers.
"""

from __future__ import annotations

import sys
import types
import unittest
import warnings
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web import http, server
from twisted.web.resource import Resource

from llm_gateway.wire import server as ours
from llm_gateway.wire import strict
from llm_gateway.wire.channel import Channel
from llm_gateway.wire.request import Request

# One of their tests, of HTTP/2, needs it; none of those here does.
sys.modules.setdefault("hamcrest", types.ModuleType("hamcrest"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from twisted.web.test import requesthelper, test_http, test_web

CLASSES: dict[Any, tuple[str, ...]] = {
    test_http: (
        "HTTP0_9Tests",
        "HTTP1_0Tests",
        "HTTP1_1Tests",
        "HTTP1_1_close_Tests",
        "PipeliningBodyTests",
        "ShutdownTests",
        "SecurityTests",
        "PersistenceTests",
        "ChunkingTests",
        "ParsingTests",
        "RequestTests",
        "Expect100ContinueServerTests",
        "DeprecatedRequestAttributesTests",
        "ChannelProductionTests",
        "HTTPChannelSanitizationTests",
    ),
    test_web: (
        "SiteTest",
        "SessionTests",
        "ConditionalTests",
        "RequestTests",
        "GzipEncoderTests",
        "RememberURLTests",
        "NewRenderTests",
        "AllowedMethodsTests",
        "SiteAccessLogTests",
        "TestRFC9112Section932",
        "ExplicitHTTPFactoryReactor",
    ),
}

_CLOCKS = "sets the clock on Twisted's channel; ours has other clocks, see test_server_clocks.py"
_PRIVATE = "looks at a private attribute of Twisted's channel; what it means is in test_server.py"
_DELIBERATE = "a deliberate difference, see test_server_against_twisted.py"

LEFT_OUT = {
    "test_requestBodyTimeout": _CLOCKS,
    "test_requestBodyDefaultTimeout": _CLOCKS,
    "test_requestBodyTimeoutFromFactory": _CLOCKS,
    "test_transportForciblyClosed": _CLOCKS,
    "test_transportNotAbortedAfterConnectionLost": _CLOCKS,
    "test_transportNotAbortedWithZeroAbortTimeout": _CLOCKS,
    "test_connectionLostAfterForceClose": _CLOCKS,
    "test_HTTPChannelUnregistersSelfWhenTimingOut": _CLOCKS,
    "test_http09": _PRIVATE,
    "test_http10": _PRIVATE,
    "test_http11": _PRIVATE,
    "test_http11Close": _PRIVATE,
    "test_notSecureAfterFinish": _PRIVATE,
    "test_HTTPChannelCanUnregisterWithNoProducer": _PRIVATE,
    "test_HTTPChannelStopWithNoRequestOutstanding": _PRIVATE,
    "test_HTTPChannelToleratesPullProducers": "runs on the global reactor; the same is in test_server.py",
    "test_HTTPChannelToleratesDataWhenTransportPaused": "ours does not answer clients that do not read answers",
    "test_finishProducesLog": "of a factory that is no Site; SiteAccessLogTests are run",
    "test_defaultLargerContentFile": "bodies go to a file from 1 MiB on, not from 100 KB",
    "test_defaultUnknownSizeContentFile": "those of unknown size do so only when they have grown that large",
    "test_multipleRequestsInOneSegment": "leaves the connection open, and our one timer with it; see test_server.py",
    "test_multipleRequestsInDifferentSegments": "likewise",
    "ChunkingTests.test_multipartFormData": _DELIBERATE,
    "test_chunkedEncoding": _DELIBERATE,
    "test_headersMultiline": _DELIBERATE,
    "test_headerStripWhitespace": _DELIBERATE,
    "test_transferEncodingIdentity": _DELIBERATE,
}


class BareChannel(Channel):
    """A channel that nobody has given a site to, with Twisted's bounds."""

    requestFactory = http.Request
    maxHeaders = http.HTTPChannel.maxHeaders
    totalHeadersSize = http.HTTPChannel.totalHeadersSize
    pipelineBytes = http.HTTPChannel._optimisticEagerReadSize

    def __init__(self) -> None:
        super().__init__()
        self.site = ours.Site(Resource(), reactor=Clock())
        self.timeOut = None

    @property
    def _optimisticEagerReadSize(self) -> int:
        return self.pipelineBytes

    @_optimisticEagerReadSize.setter
    def _optimisticEagerReadSize(self, size: int) -> None:
        self.pipelineBytes = size

    def _refuse(self, status: int, message: str) -> None:
        self._drop_request()
        self.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.loseConnection()


TESTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}.{test}": (getattr(module, name), test)
    for module, names in CLASSES.items()
    for name in names
    for test in unittest.TestLoader().getTestCaseNames(getattr(module, name))
    if test not in LEFT_OUT and f"{name}.{test}" not in LEFT_OUT
}


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ours in place of Twisted's, for a while."""
    # They leave files where they run.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(strict, "_check_host", lambda hosts, minor: None)
    monkeypatch.setattr(http, "HTTPChannel", BareChannel)
    monkeypatch.setattr(server, "Site", ours.Site)
    monkeypatch.setattr(test_web, "Site", ours.Site)
    monkeypatch.setattr(server, "Request", Request)
    # It plays a channel for requests, and ours look at more of one.
    monkeypatch.setattr(requesthelper.DummyChannel, "site", ours.Site(Resource(), reactor=Clock()))
    for name, value in {"peer": None, "host": None, "expects": False, "persistent": True}.items():
        monkeypatch.setattr(requesthelper.DummyChannel, name, value, raising=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("swapped")
@pytest.mark.parametrize("name", TESTS)
def test_twisteds_own_test_passes(name: str) -> None:
    """Unchanged."""
    case, method = TESTS[name]
    result = unittest.TestResult()
    case(method).run(result)
    assert result.testsRun == 1
    assert not result.errors + result.failures, result.errors + result.failures


def test_what_is_left_out_exists() -> None:
    """And is not run."""
    everything = {
        name
        for module, names in CLASSES.items()
        for case in names
        for test in unittest.TestLoader().getTestCaseNames(getattr(module, case))
        for name in (test, f"{case}.{test}")
    }
    assert set(LEFT_OUT) <= everything
    assert len(TESTS) > 200
