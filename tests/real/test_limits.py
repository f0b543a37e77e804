"""What is too large is refused in a way that its sender gets to read, and costs the gateway nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.client import chunked, request_bytes
from tests.real.provider import Exchange, Gone, answer_ok
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene, settled_sockets
from tests.real.shapes import BAD_REQUEST, HEADERS_TOO_LARGE, METHOD_NOT_ALLOWED, MISSING_KEY, TOO_LARGE, check_refusal

LIMIT = 1_000_000
LARGE = 50_000_000
PIECE = b"x" * 50_000
dialects = pytest.mark.parametrize("dialect", PATHS)


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("limits"), "--max-body-size", str(LIMIT)) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _nothing_passes(stage: Scene) -> Iterator[None]:
    stage.provider.forget()
    stage.provider.script = answer_ok
    stage.provider.read_bodies = True
    yield
    assert len(stage.provider.seen) == 0


def upload_head(path: str, key: str = "vk_openai", **more: str) -> bytes:
    return request_bytes("POST", path, {**asking(key), **more})


@dialects
def test_announced_length_over_the_limit_is_refused_at_once(stage: Scene, dialect: str) -> None:
    """Before a byte of the body has come."""
    name, header = named()
    with stage.client() as client:
        client.send(upload_head(PATHS[dialect], f"vk_{dialect}", **header, **{"Content-Length": str(LIMIT + 1)}))
        answer = client.answer()
        message = check_refusal(answer, dialect, TOO_LARGE)
        assert str(LIMIT) in message
        assert answer.value("connection") == "close"
    record = stage.logged(name)
    assert (record["status"], record["error"], record["ended"]) == (413, "request_too_large", "refused")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_refusal_is_read_by_a_client_that_sends_all_first(stage: Scene, framing: str) -> None:
    """Most clients read nothing before they have sent their 50 MB; a reset would take the reason from them."""
    idle = stage.gateway.open_sockets()
    before = stage.gateway.peak_memory_kib()
    pieces = [PIECE] * (LARGE // len(PIECE))
    with stage.client() as client:
        if framing == "length":
            client.send(upload_head("/v1/files", **{"Content-Length": str(LARGE)}))
            client.send_all(pieces)
        else:
            client.send(upload_head("/v1/files", **{"Transfer-Encoding": "chunked"}) + chunked(*pieces))
        check_refusal(client.answer(), "openai", TOO_LARGE)
        assert client.ended()
    settled_sockets(stage.gateway, idle)
    assert stage.gateway.peak_memory_kib() - before < 8 * 1024


@pytest.mark.parametrize("fields", [{"Content-Length": str(10**10)}, {"Transfer-Encoding": "chunked"}])
def test_client_that_never_stops_sending_is_hung_up_on(stage: Scene, fields: dict[str, str]) -> None:
    """What is read and dropped for politeness has a limit too."""
    idle = stage.gateway.open_sockets()
    before = stage.gateway.peak_memory_kib()
    coded = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if "Transfer-Encoding" in fields else PIECE
    with stage.client() as client:
        client.send(upload_head("/v1/files", **fields))
        # As the kernel likes.
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.send_all(coded for _ in range(10**9 // len(coded)))
        settled_sockets(stage.gateway, idle)
    assert stage.gateway.peak_memory_kib() - before < 8 * 1024


def test_upload_that_grows_over_the_limit_never_becomes_whole(stage: Scene) -> None:
    """What passes on as it comes is cut off, both ways, where it is too much."""
    taken: list[bool] = []

    def take(exchange: Exchange) -> None:
        exchange.connection.patient()
        try:
            exchange.read_body()
        except Gone:
            stage.provider.tell(taken, False)
            raise
        stage.provider.tell(taken, True)

    stage.provider.read_bodies = False
    stage.provider.script = take
    with stage.client() as client:
        fields = {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"}
        client.send(upload_head("/v1/files", **fields) + chunked(*[PIECE] * (2 * LIMIT // len(PIECE))))
        check_refusal(client.answer(), "openai", TOO_LARGE)
    if stage.provider.seen:
        stage.provider.wait_for(lambda: bool(taken), "the provider's connection is closed")
    assert True not in taken
    stage.provider.forget()


def test_client_that_asks_before_it_sends_is_not_told_to_go_on(stage: Scene) -> None:
    """``Expect: 100-continue``: the refusal comes in place of the 100, and the body is never sent."""
    with stage.client() as client:
        client.send(upload_head("/v1/files", **{"Content-Length": str(LARGE), "Expect": "100-continue"}))
        check_refusal(client.answer(), "openai", TOO_LARGE)


def test_refusal_of_a_body_does_not_come_before_the_key(stage: Scene) -> None:
    """Strangers are told that they are, and in the same way."""
    with stage.client() as client:
        client.send(request_bytes("POST", "/v1/files", {"Content-Length": str(LARGE)}))
        check_refusal(client.answer(), "openai", MISSING_KEY)
    with stage.client() as client:
        client.send(upload_head("/livez", **{"Content-Length": str(LARGE)}))
        check_refusal(client.answer(), "openai", METHOD_NOT_ALLOWED)


def refused_headers(stage: Scene, raw: bytes) -> None:
    with stage.client() as client:
        client.send(raw)
        answer = client.answer()
        check_refusal(answer, "openai", HEADERS_TOO_LARGE)
        assert answer.value("connection") == "close"
        assert client.ended()


def test_headers_over_the_limits_are_refused(stage: Scene) -> None:
    """In number, in size, or one of them; also when it never ends."""
    refused_headers(stage, request_bytes("GET", "/livez", {f"X-{number}": "1" for number in range(200)}))
    refused_headers(stage, request_bytes("GET", "/livez", {f"X-{number}": "1" * 1000 for number in range(70)}))
    refused_headers(stage, request_bytes("GET", "/livez", {"X-Long": "1" * 66_000}))
    refused_headers(stage, b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000)


@pytest.mark.parametrize("raw", [request_bytes("GET", "/livez?" + "a" * 66_000), b"GET /livez?" + b"a" * 70_000])
def test_target_over_the_limit_is_refused(stage: Scene, raw: bytes) -> None:
    """Also one that never ends."""
    with stage.client() as client:
        client.send(raw)
        answer = client.answer()
        kind = BAD_REQUEST if answer.status == 414 else HEADERS_TOO_LARGE
        check_refusal(answer, "openai", kind, status=answer.status)
        assert client.ended()


def test_headers_under_the_limits_pass(stage: Scene) -> None:
    """Coding agents send kilobytes of betas."""
    with stage.client() as client:
        for fields in (
            {f"X-{number}": "1" for number in range(190)},
            {"anthropic-beta": ",".join(f"some-beta-of-november-{number}" for number in range(2000))},
        ):
            assert client.call("GET", f"/livez?{'a' * 8000}", fields).status == 200


def test_body_of_just_the_limit_passes(stage: Scene) -> None:
    """In either framing; one byte more does not."""
    for size in (LIMIT, LIMIT + 1):
        body = b"x" * size
        for raw in (
            request_bytes("POST", "/v1/files", asking(), body),
            upload_head("/v1/files", **{"Transfer-Encoding": "chunked"}) + chunked(body[:7], body[7:]),
        ):
            with stage.client() as client:
                client.send(raw)
                assert client.answer().status == (200 if size == LIMIT else 413)
    assert [len(each.body) for each in stage.provider.seen] == [LIMIT, LIMIT]
    stage.provider.forget()


def test_refusal_leaves_other_connections_alone(stage: Scene) -> None:
    """Only the one that sent too much is closed."""
    with stage.client() as other, stage.client() as client:
        assert other.call("GET", "/livez").status == 200
        client.send(upload_head("/v1/files", **{"Content-Length": str(LARGE)}))
        assert client.head().status == 413
        assert other.call("POST", PATHS["openai"], asking(), BODY).status == 200
    stage.provider.forget()
