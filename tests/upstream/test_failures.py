"""From Twisted's failures to ours."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from service_identity.exceptions import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, RequestGenerationFailed, RequestTransmissionFailed
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported
from twisted.web.http import _MalformedChunkedDataError

from llm_gateway.errors import (
    GatewayError,
    UpstreamDisconnected,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llm_gateway.upstream.failures import upstream_error


def wrapped(exception: Exception) -> Exception:
    """As Twisted gives it after two levels of its own."""
    return ResponseNeverReceived([Failure(ResponseFailed([Failure(exception)]))])


@pytest.mark.parametrize(
    ("exception", "kind", "word"),
    [
        (error.DNSLookupError(), UpstreamUnreachable, "host name"),
        (error.ConnectionRefusedError(), UpstreamUnreachable, "no connection"),
        (error.NoRouteError(), UpstreamUnreachable, "no connection"),
        (SchemeNotSupported(), UpstreamUnreachable, "no connection"),
        (wrapped(SSL.Error([("a", "b", "c")])), UpstreamUnreachable, "TLS"),
        (wrapped(VerificationError(errors=[])), UpstreamUnreachable, "certificate"),
        (error.TimeoutError(), UpstreamTimeout, "connect timeout"),
        (error.TCPTimedOutError(), UpstreamTimeout, "connect timeout"),
        (wrapped(ParseError("x", b"secret bytes")), UpstreamMalformed, "not HTTP"),
        (wrapped(ValueError("secret bytes")), UpstreamMalformed, "not HTTP"),
        (wrapped(KeyError(b"secret")), UpstreamMalformed, "not HTTP"),
        (wrapped(_MalformedChunkedDataError("secret")), UpstreamMalformed, "not HTTP"),
        (wrapped(error.ConnectionLost()), UpstreamDisconnected, "closed"),
        (wrapped(error.ConnectionDone()), UpstreamDisconnected, "closed"),
        (RequestTransmissionFailed([Failure(error.ConnectionLost())]), UpstreamDisconnected, "closed"),
        (error.ConnectionLost(), UpstreamDisconnected, "closed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_way_of_failing_has_its_kind(exception: Exception, kind: type[GatewayError], word: str) -> None:
    """And a message that names the provider, not what it sent."""
    found = upstream_error(Failure(exception), "acme")
    assert type(found) is kind
    assert word in found.message
    assert "'acme'" in found.message
    assert "secret" not in found.message


@pytest.mark.parametrize("exception", [CancelledError(), wrapped(CancelledError())])
def test_cancellation_is_no_failure_of_the_provider(exception: Exception) -> None:
    """It is passed on as it came, and never taken for a reason to try again."""
    with pytest.raises(type(exception)):
        upstream_error(Failure(exception), "acme")


OURS = [ZeroDivisionError(), ValueError(), RequestGenerationFailed([Failure(KeyError())])]


@pytest.mark.parametrize("exception", OURS)
def test_fault_of_ours_is_not_blamed_on_the_provider(exception: Exception) -> None:
    """It goes to the log as what it is."""
    with pytest.raises(type(exception)):
        upstream_error(Failure(exception), "acme")
