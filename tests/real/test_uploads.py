"""A large upload passes through, and none of it stays."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.real.provider import Exchange, answer_bytes
from tests.real.scene import Scene, asking, scene
from tests.wires import WIRE

MIB = 1 << 20
SIZE = 512 * MIB
GROWTH_KIB = 16 * 1024

pytestmark = pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own HTTP gathers bodies, in a file")


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("upload"), "--max-body-size", str(2 * SIZE)) as stage:
        yield stage


def test_half_a_gigabyte_passes_in_little_memory(stage: Scene, record_property: Any) -> None:
    """A multipart upload of 512 MB reaches the provider whole; the gateway grows by less than 16 MB."""
    block = bytes(range(256)) * (MIB // 256)
    received = sha256()

    def take(exchange: Exchange) -> None:
        exchange.connection.patient()
        for piece in exchange.body():
            received.update(piece)
        exchange.send(answer_bytes(b"{}"))

    stage.provider.script = take
    stage.provider.read_bodies = False
    before = stage.gateway.peak_memory_kib()
    sent = sha256()
    with stage.client() as client:
        fields = {**asking(), "content-type": "multipart/form-data; boundary=b", "content-length": str(SIZE)}
        client.ask("POST", "/v1/files", fields)
        for number in range(SIZE // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            sent.update(piece)
            client.send(piece)
        assert client.answer().status == 200
    growth = stage.gateway.peak_memory_kib() - before
    record_property("growth_kib", growth)
    assert received.hexdigest() == sent.hexdigest()
    assert growth < GROWTH_KIB, f"{growth} KiB"
