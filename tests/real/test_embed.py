"""``examples/embed.py``: the gateway as a part of somebody else's Twisted program."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.real.client import Client
from tests.real.gateway import RunningGateway, running_command
from tests.real.scene import asking

# The example names no wire.
pytestmark = pytest.mark.any_wire

SCRIPT = Path(__file__).parents[2] / "examples" / "embed.py"
OPENAI, ANTHROPIC = "vk_user1_openai", "vk_user2_anthropic"


def streamed(text: str) -> bytes:
    return json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}).encode()


@pytest.fixture(scope="module")
def embedded(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    command = [str(bin_dir / "python"), str(SCRIPT), "0"]
    with running_command(command, tmp_path_factory.mktemp("embed")) as program:
        yield program


def test_programs_own_pages_stay_its_own(embedded: RunningGateway) -> None:
    """The gateway answers below its prefix and nowhere else."""
    with Client(embedded.port) as client:
        assert client.call("GET", "/").body == b"A page of our own. The gateway is below /llm.\n"
        elsewhere = client.call("GET", "/health")
        assert (elsewhere.status, elsewhere.value("x-gw-request-id")) == (404, None)
        health = client.call("GET", "/llm/health")
        assert [provider["name"] for provider in health.json()["providers"]] == [
            "openai",
            "anthropic",
            "deepseek",
            "gemini",
        ]
        lost = client.call("GET", "/llm/nowhere")
        assert (lost.status, lost.json()["error"]["code"]) == (404, "not_found")


def test_sdks_work_with_the_prefix_in_their_base_url(embedded: RunningGateway) -> None:
    """Both official SDKs take a base URL with a path in it, and the provider is asked for the path behind it."""
    with openai.OpenAI(base_url=f"{embedded.url}/llm/v1", api_key=OPENAI, max_retries=0) as gpt:
        chat = gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "count to 3"}])
        assert chat.choices[0].message.content == "1 2 3"
        # Larger than what Twisted's own site keeps in memory, and a form, which it reads itself too.
        content = b"\r\n--x\r\n" + bytes(range(256)) * 800
        assert gpt.files.create(file=("data.jsonl", content), purpose="batch").bytes == len(content)
        with pytest.raises(openai.NotFoundError, match="Unknown path: GET /v1/vector_stores"):
            gpt.vector_stores.list()
    with anthropic.Anthropic(base_url=f"{embedded.url}/llm", api_key=ANTHROPIC, max_retries=0) as claude:
        asked = claude.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "count to 3"}])
        with asked as stream:
            assert stream.get_final_text() == "1 2 3"


@pytest.mark.parametrize(
    "path", ["/llm/completions/chat", "/llm/chat/completions", "/llm/p/openai/v1/chat/completions"]
)
def test_native_and_named_paths_work_below_the_prefix(embedded: RunningGateway, path: str) -> None:
    """The paths of the gateway's own are found there as well."""
    with Client(embedded.port) as client:
        answer = client.call("POST", path, asking(OPENAI), streamed("count to 3"))
    assert (answer.status, answer.value("content-type")) == (200, "text/event-stream; charset=utf-8")
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_access_log_tells_of_embedded_calls(embedded: RunningGateway) -> None:
    """One line for each call to the gateway, with the path as its callers know it below the prefix."""
    with Client(embedded.port) as client:
        client.call("POST", "/llm/v1/chat/completions", {**asking(OPENAI), "X-Request-Id": "logged"}, streamed("Hi"))
        client.call("GET", "/")
    line = embedded.wait_for("client_id=logged")
    assert " POST /v1/chat/completions 200 ended=ok " in line


def test_client_that_leaves_is_noticed_in_a_foreign_site(embedded: RunningGateway) -> None:
    """Hanging up in mid-stream ends the call under Twisted's own site as under the gateway's."""
    with Client(embedded.port) as client:
        client.ask(
            "POST", "/llm/v1/chat/completions", {**asking(OPENAI), "X-Request-Id": "gone"}, streamed("count to 999")
        )
        client.read_until(client.pieces(client.head()), b'"content":" 2"')
    assert "ended=client_gone" in embedded.wait_for("client_id=gone")


def test_both_stop_cleanly_and_running_calls_finish(bin_dir: Path, tmp_path: Path) -> None:
    """SIGTERM to the program: the running stream reaches its end, a new call is told to come back, status 0."""
    with (
        running_command([str(bin_dir / "python"), str(SCRIPT), "0"], tmp_path) as program,
        Client(program.port) as running,
        Client(program.port) as late,
    ):
        running.ask("POST", "/llm/v1/chat/completions", asking(OPENAI), streamed("count to 20"))
        head = running.head()
        pieces = running.pieces(head)
        begun = running.read_until(pieces, b'"content":"1"')
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("Stopping: 1 call running")
        assert late.call("GET", "/llm/readyz").status == 503
        refused = late.call("POST", "/llm/v1/chat/completions", asking(OPENAI), streamed("Hello"))
        assert (refused.status, refused.value("retry-after")) == (503, "5")
        body = begun + b"".join(pieces)
        assert b'"content":" 20"' in body
        assert body.endswith(b"data: [DONE]\n\n")
        assert program.ended() == 0
    for trouble in ("Traceback", "Unhandled"):
        assert trouble not in program.output
