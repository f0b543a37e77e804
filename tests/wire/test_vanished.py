"""A client that vanished without a word is asked for by the kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource

from llm_gateway.engine import ENGINES
from llm_gateway.settings import WIRES, Settings
from llm_gateway.wire.bounds import plain_refusal


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket() as client:
        client.setblocking(False)
        yield client


@pytest.mark.parametrize("wire", WIRES)
@pytest_twisted.ensureDeferred
async def test_connections_are_kept_an_eye_on(client: socket.socket, wire: str) -> None:
    """After a minute of silence, every twenty seconds, three times: two minutes for a cable that was pulled."""
    site = ENGINES[wire].make_site(Resource(), reactor, Settings(), plain_refusal)
    made: Deferred[object] = Deferred()
    build = site.buildProtocol

    def building(addr: object) -> object:
        protocol = build(addr)
        connected = protocol.connectionMade

        def connection_made() -> None:
            connected()
            made.callback(protocol)

        protocol.connectionMade = connection_made
        return protocol

    site.buildProtocol = building
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    client.connect_ex(("127.0.0.1", port.getHost().port))
    protocol = await made.addTimeout(20, reactor)
    handle = protocol.transport.getHandle()  # type: ignore[attr-defined]  # a protocol of either wire
    options = {
        name: handle.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    }
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert options == {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
    site.abort_all()
    await port.stopListening()
    await site.hang_up()
