"""``llmgateway chat`` against a gateway that says what the test wants."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llm_gateway.cli.chat import default_model
from llm_gateway.cli.main import main
from tests.cli.fake_gateway import FakeGateway

PLAIN = {"choices": [{"message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}
START: dict[str, Any] = {"type": "message_start", "message": {"type": "message", "content": []}}
STOP: dict[str, Any] = {"type": "message_stop"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    for name in ("KEY", "MODEL"):
        monkeypatch.delenv(f"LLMGATEWAY_{name}", raising=False)
    monkeypatch.setenv("LLMGATEWAY_URL", fake.url)
    yield fake
    fake.close()


def chat(*arguments: str) -> int:
    return main(["chat", "--key", "vk_test", *arguments])


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def text_delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def test_question_goes_to_the_native_path_with_the_key(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.answer_text("Hello you there")
    assert chat("How", "are", "you?") == 0
    assert capsys.readouterr() == ("Hello you there\n", "")
    [(path, headers, body)] = gateway.requests
    assert (path, headers["authorization"]) == ("/chat/completions", "Bearer vk_test")
    assert body == {
        "model": "gpt-5.4-mini",
        "messages": [{"role": "user", "content": "How are you?"}],
        "stream": True,
    }


def test_path_in_the_url_is_kept(gateway: FakeGateway) -> None:
    gateway.answer_text("Hi")
    assert chat("--url", f"{gateway.url}/v1/", "Hello") == 0
    assert gateway.requests[0][0] == "/v1/chat/completions"


@pytest.mark.parametrize("base", ["", "/v1"])
def test_gemini_is_asked_where_questions_are_translated(gateway: FakeGateway, base: str) -> None:
    """Its own API has no path for them that this program could be passed on to."""
    gateway.answer_text("Hi")
    assert chat("--url", gateway.url + base, "--model", "gemini-3.8-flash", "Hello") == 0
    assert gateway.requests[0][0] == "/v1/chat/completions"


def test_anthropic_stream_is_printed(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answer_events(
        START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        text_delta("Bon"),
        text_delta("jour ☕\n"),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        STOP,
    )
    assert chat("--model", "claude-x", "--system", "French", "Hello") == 0
    assert capsys.readouterr() == ("Bonjour ☕\n", "")
    body = gateway.requests[0][2]
    assert (body["system"], body["max_tokens"]) == ("French", 4096)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gpt-9", {"max_completion_tokens": 7}),
        ("o3", {"max_completion_tokens": 7}),
        ("deepseek-x", {"max_tokens": 7}),
        ("claude-x", {"max_tokens": 7}),
    ],
)
def test_limit_is_called_what_the_model_calls_it(gateway: FakeGateway, model: str, limit: dict[str, int]) -> None:
    gateway.answer_text("Hi")
    assert chat("--model", model, "--max-tokens", "7", "Hello") == 0
    assert {name: value for name, value in gateway.requests[0][2].items() if name.startswith("max")} == limit


def test_system_text_is_a_message_in_openais_dialect(gateway: FakeGateway) -> None:
    gateway.answer_text("Hi")
    assert chat("--model", "claude-x", "--dialect", "openai", "--system", "Be brief", "Hello") == 0
    assert gateway.requests[0][2]["messages"][0] == {"role": "system", "content": "Be brief"}
    assert "system" not in gateway.requests[0][2]


@pytest.mark.parametrize(
    ("document", "printed"),
    [
        (PLAIN, "Hi!\n"),
        ({"type": "message", "content": [{"type": "text", "text": "Salut"}], "stop_reason": "end_turn"}, "Salut\n"),
        ({"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}, "No.\n"),
        (
            {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}}]},
            '[calls f({"a":1})]\n',
        ),
        (
            {
                "type": "message",
                "content": [{"type": "text", "text": "So"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}],
            },
            'So\n[calls f({"a":1})]\n',
        ),
    ],
)
def test_whole_answers_are_printed(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], document: object, printed: str
) -> None:
    gateway.answer([json.dumps(document).encode()])
    assert chat("--no-stream", "Hello") == 0
    assert capsys.readouterr() == (printed, "")
    assert gateway.requests[0][2]["stream"] is False


def test_streamed_tool_calls_are_printed_readably(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": function}]}}]}

    gateway.answer_chunks(
        {"choices": [{"delta": {"content": "Let me see"}}]},
        call(0, name="weather", arguments=""),
        call(0, arguments='{"city":'),
        call(1, name="time", arguments="{}"),
        call(0, arguments='"Rome"}'),
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    )
    gateway.answer_events(
        START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "weather"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        STOP,
    )
    assert (chat("Hello"), chat("Hello")) == (0, 0)
    assert (
        capsys.readouterr().out
        == 'Let me see\n[calls weather({"city":"Rome"})]\n[calls time({})]\n[calls weather({})]\n'
    )


@pytest.mark.parametrize(
    ("body", "headers", "line"),
    [
        (
            {"error": {"message": "No\nsuch key.", "type": "invalid_request_error", "code": "invalid_api_key"}},
            {"x-gw-error": "unknown", "x-gw-request-id": "abc", "x-request-id": "def"},
            "401 unknown: No such key. (request abc)",
        ),
        (
            {"type": "error", "error": {"type": "authentication_error", "message": "Bad key"}},
            {"request-id": "req_1"},
            "401 authentication_error: Bad key (request req_1)",
        ),
        ({"error": "plain"}, {}, "401: plain"),
        (b"<html>\x1b[2Jno</html>", {}, "401: <html> [2Jno</html>"),
        (b"", {}, "401: no explanation"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--raw"]])
def test_error_is_one_line_on_stderr_and_status_1(
    gateway: FakeGateway,
    capsys: pytest.CaptureFixture[str],
    body: object,
    headers: dict[str, str],
    line: str,
    more: list[str],
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    gateway.answer([raw], status=401, headers=headers)
    assert chat(*more, "Hello") == 1
    printed = capsys.readouterr()
    assert printed.err == f"llmgateway chat: {line}\n"
    assert printed.out == (raw.decode() if more else "")


@pytest.mark.parametrize(
    "tail",
    [
        b'data: {"error": {"message": "It broke", "code": "upstream_error"}}\n\n',
        b'event: error\ndata: {"type": "error", "error": {"message": "It broke", "type": "upstream_error"}}\n\n',
    ],
)
def test_error_inside_a_stream_ends_the_line_and_fails(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], tail: bytes
) -> None:
    gateway.answer([b'data: {"choices": [{"delta": {"content": "Well"}}]}\n\n', tail], "text/event-stream")
    assert chat("Hello") == 1
    assert capsys.readouterr() == ("Well\n", "llmgateway chat: error in the answer: upstream_error: It broke\n")


WELL = b'data: {"choices": [{"delta": {"content": "Well"}}]}\n\n'


@pytest.mark.parametrize(
    ("pieces", "headers", "complaint"),
    [
        ([WELL], {}, "ended without its last event"),
        ([WELL, b"data: {"], {}, "ended inside an event"),
        ([WELL, b"data: {\n\n"], {}, "not JSON"),
        ([WELL], {"content-length": "999"}, "connection closed inside it"),
        ([b"%x\r\n%s\r\n" % (len(WELL), WELL)], {"transfer-encoding": "chunked"}, "connection closed inside it"),
        ([WELL, b"data: " + b"x" * 1_100_000], {}, "longer than"),
    ],
)
def test_answer_that_breaks_off_is_a_failure(
    gateway: FakeGateway,
    capsys: pytest.CaptureFixture[str],
    pieces: list[bytes],
    headers: dict[str, str],
    complaint: str,
) -> None:
    gateway.answer(pieces, "text/event-stream", headers=headers)
    assert chat("Hello") == 1
    printed = capsys.readouterr()
    assert printed.out == "Well\n"
    assert complaint in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(("body", "complaint"), [(b"nonsense", "not JSON"), (b"[]", "neither"), (b"{}", "neither")])
def test_answer_in_no_dialect_is_a_failure(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], body: bytes, complaint: str
) -> None:
    gateway.answer([body])
    assert chat("Hello") == 1
    assert complaint in capsys.readouterr().err


def test_error_document_with_status_200_is_a_failure(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answer([b'{"error": {"message": "odd"}}'])
    assert chat("Hello") == 1
    assert capsys.readouterr().err == "llmgateway chat: error in the answer: odd\n"


def test_stream_that_ends_with_its_finish_reason_is_whole(gateway: FakeGateway) -> None:
    gateway.answer_chunks({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}, done=False)
    assert chat("Hello") == 0


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        ("length", "[cut off at the token limit]\n"),
        ("content_filter", "[stopped by the provider: content_filter]\n"),
        ("stop", ""),
    ],
)
def test_unusual_end_is_noted(gateway: FakeGateway, capsys: pytest.CaptureFixture[str], reason: str, note: str) -> None:
    gateway.answer_chunks({"choices": [{"delta": {"content": "x"}, "finish_reason": reason}]})
    assert chat("Hello") == 0
    assert capsys.readouterr() == ("x\n", note)


def test_raw_prints_the_bytes_and_nothing_else(gateway: FakeGateway, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    pieces = [b": \xff\r\n", WELL, b"data: [DONE]\n\n"]
    gateway.answer(pieces, "text/event-stream")
    assert chat("--raw", "Hello") == 0
    assert capfdbinary.readouterr() == (b"".join(pieces), b"")


def test_lines_of_stdin_are_turns_of_one_conversation(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.answer_text("One.")
    gateway.answer_text("Two.")
    say(monkeypatch, "first\n\n  second  \n")
    assert chat() == 0
    assert capsys.readouterr().out == "One.\nTwo.\n"
    assert gateway.requests[1][2]["messages"] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "second"},
    ]


def test_failure_ends_lines_from_a_program(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.answer([b""], status=500)
    say(monkeypatch, "first\nsecond\n")
    assert chat() == 1
    assert len(gateway.requests) == 1


def test_person_is_prompted_and_goes_on_after_a_failure(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.answer([b""], status=500)
    gateway.answer_text("Fine.")
    monkeypatch.setattr("sys.stdin", Terminal("lost\n\nagain\n"))
    assert chat() == 0
    printed = capsys.readouterr()
    assert printed.out.count("you> ") == 4
    assert "Fine.\n" in printed.out
    assert "500: no explanation" in printed.err
    assert gateway.requests[1][2]["messages"] == [{"role": "user", "content": "again"}]


def test_terminal_is_safe_from_the_models_words_and_shows_thinking_dimmed(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    gateway.answer_chunks(
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"delta": {"content": "a\x1b]0;title\x07\r\x9bb\tc\n"}}]},
    )
    assert chat("Hello") == 0
    assert screen.getvalue() == "\x1b[2mhm\x1b[0ma ]0;title   b\tc\n"


def test_thinking_is_left_out_of_a_pipe(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answer_events(
        START,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        text_delta("Yes"),
        STOP,
    )
    assert chat("Hello") == 0
    assert capsys.readouterr().out == "Yes\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", interrupted)
    assert chat() == 130


def test_nobody_listening_says_how_to_start_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        # Bound and not listening: nothing else can take the port meanwhile, and a connection is refused.
        bound.bind(("127.0.0.1", 0))
        assert chat("--url", f"http://127.0.0.1:{bound.getsockname()[1]}", "Hello") == 1
    complaint = capsys.readouterr().err
    assert "start a gateway with: twistd -n llmgateway --demo" in complaint
    assert complaint.count("\n") == 1


def test_silence_is_told_with_the_option_that_limits_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert chat("--url", url, "--timeout", "0.01", "Hello") == 1
    assert capsys.readouterr().err == f"llmgateway chat: nothing came from {url} for 0.01 s (--timeout)\n"


@pytest.mark.parametrize(
    ("noise", "complaint"),
    [(b"", "closed the connection without an answer"), (b"SSH-2.0-x\r\n", "does not speak HTTP")],
)
def test_server_that_is_no_gateway_is_told_in_one_line(
    noise: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                # All of it: closing with bytes unread would reset the connection.
                request = b""
                while not request.endswith(b"}"):
                    request += client.recv(65536)
                client.sendall(noise)

        thread = threading.Thread(target=serve)
        thread.start()
        assert chat("--url", f"http://127.0.0.1:{server.getsockname()[1]}", "Hello") == 1
        thread.join()
    printed = capsys.readouterr().err
    assert complaint in printed
    assert printed.count("\n") == 1


def test_https_to_a_plain_port_is_told_in_one_line(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert chat("--url", gateway.url.replace("http:", "https:"), "Hello") == 1
    printed = capsys.readouterr().err
    assert printed.startswith("llmgateway chat: cannot reach https://127.0.0.1:")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("vk_user1_openai", "gpt-5.4-mini"),
        ("vk_user2_anthropic", "claude-haiku-5-5"),
        ("MyClaudeKey", "claude-haiku-5-5"),
        ("vk_user3_deepseek", "deepseek-v4-flash"),
        ("vk_user4_gemini", "gemini-3.8-flash"),
        ("x", "gpt-5.4-mini"),
    ],
)
def test_model_goes_by_the_keys_name(key: str, model: str) -> None:
    assert default_model(key) == model


def test_environment_gives_key_and_model(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATEWAY_KEY", "vk_env")
    monkeypatch.setenv("LLMGATEWAY_MODEL", "model-env")
    gateway.answer_text("Hi")
    assert main(["chat", "Hello"]) == 0
    _, headers, body = gateway.requests[0]
    assert (headers["authorization"], body["model"]) == ("Bearer vk_env", "model-env")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chat", "Hello"], "--key KEY, or LLMGATEWAY_KEY"),
        (["chat", "--key", "a\nb", "Hello"], "printable ASCII"),
        (["chat", "--key", "schlüssel", "Hello"], "printable ASCII"),
        (["chat", "--key", "k", "--url", "localhost:8080", "Hello"], "--url must look like http://127.0.0.1:8080"),
        (["chat", "--key", "k", "--url", "http://", "Hello"], "--url must look like"),
        (["chat", "--key", "k", "--url", "http://[", "Hello"], "--url must look like"),
        (["chat", "--key", "k", "--url", "http://x:99999", "Hello"], "--url must look like"),
        (["chat", "--key", "k", "--max-tokens", "0", "Hello"], "whole number above 0"),
        (["chat", "--key", "k", "--dialect", "latin", "Hello"], "invalid choice"),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_wrong_usage_is_explained(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help_has_examples_and_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chat", "-h"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("examples:", "LLMGATEWAY_KEY", "LLMGATEWAY_URL", "LLMGATEWAY_MODEL", "exit status:"):
        assert word in text
