"""Bodies that are sent piece by piece."""

from __future__ import annotations

from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.web.iweb import IBodyProducer
from zope.interface.verify import verifyObject

from llm_gateway.upstream.bodies import CHUNK_BYTES, mapped, pieces_body
from tests.memory import result_of


class Noted(StringTransport):
    """Keeps the sizes of what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def write(self, data: bytes) -> None:
        self.sizes.append(len(data))
        super().write(data)


def sent(pieces: list[bytes | memoryview], monkeypatch: pytest.MonkeyPatch) -> Noted:
    """What a provider gets, and in which pieces."""
    clock, transport = Clock(), Noted()
    cooperator = Cooperator(scheduler=lambda step: clock.callLater(0, step))
    monkeypatch.setattr("twisted.internet.task.cooperate", cooperator.cooperate)
    body = pieces_body(pieces)
    assert verifyObject(IBodyProducer, body)
    assert body.length == sum(len(piece) for piece in pieces)
    over = body.startProducing(transport)
    while clock.getDelayedCalls():
        clock.advance(0)
    assert result_of(over) is None
    return transport


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_pieces_are_sent_one_behind_the_other(pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        assert sent([*pieces], patched).value() == b"".join(pieces)


def test_large_pieces_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytes(range(256)) * 1000
    transport = sent([whole[:10], memoryview(whole)[10:]], monkeypatch)
    assert transport.value() == whole
    assert max(transport.sizes) <= CHUNK_BYTES


def test_file_that_is_mapped_may_be_closed() -> None:
    with TemporaryFile() as file:
        file.write(b"some text")
        file.flush()
        view = mapped(file)
    assert bytes(view) == b"some text"
