"""From Twisted's many ways of failing to ours."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity.exceptions import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

# Twisted exports these from nowhere public, although its Agent raises them.
from twisted.web._newclient import ParseError, RequestGenerationFailed, RequestTransmissionFailed, _WrapperException
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

_NOT_HTTP = (ParseError, _MalformedChunkedDataError, ValueError, KeyError)
"""What Twisted's parser raises. The last two are for a header without a colon, a length that is no number, a transfer
coding that it does not know."""


def upstream_error(failure: Failure, provider: str) -> GatewayError:
    """
    :param failure: what a call to the provider ended with, before or after its headers.
    :param provider: the provider's name, for the message.
    :return: our error for it, chained to the original by the one who raises it.
    :raises Exception: the failure itself, where it tells of no provider: a cancellation or a fault of our own.
    """
    causes = _causes(failure)
    for cause in causes:
        if isinstance(cause, GatewayError):
            # The request's own body failed on its way, and says what that means for the caller.
            return cause
        if isinstance(cause, (SSL.Error, VerificationError)):
            return UpstreamUnreachable(f"No secure connection to provider {provider!r}: its certificate or TLS failed.")
        if isinstance(cause, error.DNSLookupError):
            return UpstreamUnreachable(f"Provider {provider!r} cannot be reached: its host name was not found.")
        if isinstance(cause, (error.TimeoutError, error.TCPTimedOutError)):
            message = f"Provider {provider!r} did not accept a connection in time (connect timeout)."
            return UpstreamTimeout(message, clock="connect")
        if isinstance(cause, (error.ConnectError, SchemeNotSupported)):
            return UpstreamUnreachable(f"Provider {provider!r} cannot be reached: no connection.")
        if isinstance(cause, _NOT_HTTP) and failure.check(ResponseFailed, ResponseNeverReceived):
            return UpstreamMalformed(f"Provider {provider!r} sent something that is not HTTP.")
    if any(isinstance(cause, CancelledError) for cause in causes):
        failure.raiseException()
    if failure.check(ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed, error.ConnectionClosed):
        return disconnected(provider)
    failure.raiseException()
    raise AssertionError("unreachable")  # pragma: no cover


def disconnected(provider: str) -> UpstreamDisconnected:
    """The provider's connection ended before its answer was whole."""
    return UpstreamDisconnected(f"Provider {provider!r} closed the connection before its answer was whole.")


def _causes(failure: Failure) -> list[BaseException]:
    """The failure's exception and, where Twisted wrapped others in it, those, all levels down."""
    found: list[BaseException] = []
    waiting = [failure]
    while waiting:
        exception = waiting.pop(0).value
        assert exception is not None
        found.append(exception)
        if isinstance(exception, (_WrapperException, RequestGenerationFailed)):
            waiting.extend(exception.reasons)
    return found
