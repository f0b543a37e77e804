"""
One small request for every row of the tables in ``docs/reference/translation.md``, by what stands in the row's first
cell. A row of several fields has a request for each.

What a request says is laid over :data:`PLAIN`, which every dialect can say exactly; so all that becomes of it becomes
of the field.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.core.translation.strategies import PAGE, PIXEL, SOUND

__all__ = ["PLAIN", "SAMPLES"]

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {"town": {"type": "string"}},
    "required": ["town"],
    "additionalProperties": False,
}
TEXT_FILE = base64.b64encode(b"Once.").decode()
PICTURE_URL = "https://example.com/a.png"
PAGE_URL = "https://example.com/a.pdf"

PLAIN: Mapping[str, Json] = {
    "chat": {"model": "m", "max_completion_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "m", "max_output_tokens": 1000, "input": "Hi"},
    "messages": {"model": "m", "max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"maxOutputTokens": 1000},
    },
}


# Chat Completions


def _chat_tool(name: str = "weather", **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def _custom(**more: Any) -> Json:
    return {"type": "custom", "custom": {"name": "patch", **more}}


def _chat_user(*content: Json, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": list(content), **more}]}


def _chat_assistant(**fields: Any) -> Json:
    return {"messages": [_HI, {"role": "assistant", **fields}, _HI]}


def _chat_text(**more: Any) -> Json:
    return {"type": "text", "text": "Hi", **more}


def _chat_call(result: Any, call: Json | None = None, tool: Json | None = None) -> Json:
    called = call or {"type": "function", "function": {"name": "weather", "arguments": '{"town":"Bern"}'}}
    return {
        "tools": [tool or _chat_tool()],
        "messages": [
            _HI,
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", **called}]},
            {"role": "tool", "tool_call_id": "call_1", "content": result},
        ],
    }


def _chat_choice(choice: Any, **more: Any) -> Json:
    return {"tools": [_chat_tool(), _chat_tool("time")], "tool_choice": choice, **more}


def _chat_allowed(mode: str, *names: str) -> Json:
    named = [{"type": "function", "function": {"name": name}} for name in names]
    return _chat_choice({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}})


def _chat_format(**schema: Any) -> Json:
    described = {"name": "town", "schema": SCHEMA, **schema}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def _chat_file(**file: str) -> Json:
    return _chat_user({"type": "file", "file": file})


_HI: Json = {"role": "user", "content": "Hi"}
_PNG: Json = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
_GRAMMAR: Json = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}

_CHAT: dict[str, list[Json]] = {
    "`model`, `messages`, `stream`": [{}, {"stream": True}, _chat_assistant(content="Ho")],
    "`system`, `developer` at the beginning": [
        {"messages": [{"role": role, "content": "Be brief."}, _HI]} for role in ("system", "developer")
    ],
    "`system`, `developer` later": [
        {"messages": [_HI, {"role": "assistant", "content": "Ho"}, {"role": role, "content": "Be brief."}, _HI]}
        for role in ("system", "developer")
    ],
    "`assistant` at the end": [{"messages": [_HI, {"role": "assistant", "content": "Ho"}]}],
    "`name` of a participant": [_chat_user(_chat_text(), name="ann")],
    "`text`": [_chat_user(_chat_text(), _chat_text())],
    "`image_url` with data": [_chat_user(_PNG)],
    "`image_url` with a URL": [_chat_user(_chat_text(), {"type": "image_url", "image_url": {"url": PICTURE_URL}})],
    "`image_url.detail`": [_chat_user({**_PNG, "image_url": {**_PNG["image_url"], "detail": "low"}})],
    "`file.file_data` of a PDF": [_chat_file(file_data=f"data:application/pdf;base64,{PAGE}")],
    "`file.file_data` of a text": [_chat_file(file_data=f"data:text/plain;base64,{TEXT_FILE}")],
    "`file.filename`": [_chat_file(file_data=f"data:application/pdf;base64,{PAGE}", filename="a.pdf")],
    "`file.file_id`": [_chat_user(_chat_text(), {"type": "file", "file": {"file_id": "file-1"}})],
    "`input_audio`": [
        _chat_user(_chat_text(), {"type": "input_audio", "input_audio": {"format": "wav", "data": SOUND}})
    ],
    "`prompt_cache_breakpoint`, `cache_control`": [
        _chat_user(_chat_text(prompt_cache_breakpoint={"mode": "explicit"})),
        _chat_user(_chat_text(cache_control={"type": "ephemeral"})),
    ],
    "`prompt_cache_breakpoint.ttl`": [
        _chat_user(_chat_text(prompt_cache_breakpoint={"mode": "explicit", "ttl": "30m"}))
    ],
    "other content parts": [_chat_user(_chat_text(), {"type": "video_url", "video_url": {"url": "https://e.com"}})],
    "other fields of messages": [_chat_user(_chat_text(), mood="good"), _chat_user(_chat_text(mood="good"))],
    "`reasoning_content`, `reasoning`": [
        _chat_assistant(content="Ho", reasoning_content="Hm."),
        _chat_assistant(content="Ho", reasoning="Hm."),
    ],
    "`reasoning_details` that are signed": [
        _chat_assistant(
            content="Ho", reasoning_details=[{"type": "reasoning.text", "text": "Hm.", "signature": "c2lnbmVk"}]
        ),
    ],
    "`refusal`": [_chat_assistant(content=None, refusal="No.")],
    "`audio.id`": [_chat_assistant(content=None, audio={"id": "audio_1"})],
    "`tool_calls`, `tool`": [_chat_call("sunny")],
    "`tool` with several texts": [_chat_call([_chat_text(), _chat_text()])],
    "`tool` with images": [_chat_call([_chat_text(), _PNG])],
    "`tool_calls[].custom`": [
        _chat_call("done", {"type": "custom", "custom": {"name": "patch", "input": "x"}}, _custom()),
    ],
    "`tools`": [{"tools": [_chat_tool(), _chat_tool("time", description="Of day.")]}],
    "`tools[].function.strict`": [
        {"tools": [_chat_tool(strict=True)]},
    ],
    "`tools[].function.strict` of some": [{"tools": [_chat_tool(strict=True), _chat_tool("time")]}],
    "`tools[].custom`": [{"tools": [_custom()]}, {"tools": [_custom(format=_GRAMMAR)]}],
    "other `tools`": [{"tools": [_chat_tool(), {"type": "web_search"}]}],
    "`tool_choice`: `auto`, `none`": [_chat_choice("auto"), _chat_choice("none")],
    "`tool_choice`: `required`, or one function": [
        _chat_choice("required"),
        _chat_choice({"type": "function", "function": {"name": "weather"}}),
    ],
    "`tool_choice`: `allowed_tools`": [
        _chat_allowed("auto", "weather"),
        _chat_allowed("required", "weather", "time"),
    ],
    "`parallel_tool_calls`: `true`": [{"tools": [_chat_tool()], "parallel_tool_calls": True}],
    "`parallel_tool_calls`: `false`": [{"tools": [_chat_tool()], "parallel_tool_calls": False}],
    "`functions`, `function_call`": [
        {"functions": [_chat_tool()["function"]], "function_call": "auto"},
        {"functions": [_chat_tool()["function"]], "function_call": {"name": "weather"}},
        {
            "functions": [_chat_tool()["function"]],
            "messages": [
                _HI,
                {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
                {"role": "function", "name": "weather", "content": "sunny"},
            ],
        },
    ],
    "`response_format`: `text`": [{"response_format": {"type": "text"}}],
    "`response_format`: `json_schema`": [_chat_format(), _chat_format(strict=True)],
    "`json_schema.description`": [_chat_format(description="A town.")],
    "`response_format`: `json_object`": [{"response_format": {"type": "json_object"}}],
    "other `response_format`": [{"response_format": {"type": "grammar", "value": "start: X"}}],
    "`reasoning_effort`: `low`, `medium`, `high`": [
        {"reasoning_effort": effort} for effort in ("low", "medium", "high")
    ],
    "`reasoning_effort`: `minimal`": [{"reasoning_effort": "minimal"}],
    "`reasoning_effort`: `none`": [{"reasoning_effort": "none"}],
    "`reasoning_effort`: `xhigh`": [{"reasoning_effort": "xhigh"}],
    "`reasoning_effort`: `max`": [{"reasoning_effort": "max"}],
    "`thinking.budget_tokens`, `reasoning.max_tokens`": [
        {"thinking": {"type": "enabled", "budget_tokens": 4096}},
        {"reasoning": {"max_tokens": 4096}},
    ],
    "`thinking`: `disabled`": [{"thinking": {"type": "disabled"}}],
    "`reasoning.effort`, `reasoning.exclude`": [
        {"reasoning": {"effort": "high"}},
        {"reasoning": {"effort": "high", "exclude": True}},
    ],
    "`max_completion_tokens`, `max_tokens`": [
        {"max_completion_tokens": 500},
        {"max_completion_tokens": None, "max_tokens": 500},
    ],
    "`stop`": [{"stop": "END"}, {"stop": ["END", "ENDE"]}],
    "`temperature`, `top_p`": [{"temperature": 0.5}, {"top_p": 0.5}],
    "`top_k`": [{"top_k": 5}],
    "`presence_penalty`, `frequency_penalty`": [{"presence_penalty": 0.5}, {"frequency_penalty": 0.5}],
    "`seed`, `n`": [{"seed": 7}, {"n": 2}],
    "`logprobs`, `top_logprobs`": [{"logprobs": True}, {"logprobs": True, "top_logprobs": 2}],
    "`logit_bias`": [{"logit_bias": {"5": 3}}],
    "`user`, `safety_identifier`": [{"user": "u"}, {"safety_identifier": "u"}],
    "`metadata`": [{"metadata": {"a": "b"}}],
    "`service_tier`: `auto`, `default`": [{"service_tier": "auto"}, {"service_tier": "default"}],
    "`service_tier`: `flex`, `priority`": [{"service_tier": "flex"}, {"service_tier": "priority"}],
    "`verbosity`": [{"verbosity": "low"}],
    "`prompt_cache_key`": [{"prompt_cache_key": "k"}],
    "`prompt_cache_options`, `prompt_cache_retention`, `prediction`": [
        {"prompt_cache_options": {"mode": "explicit"}},
        {"prompt_cache_retention": "24h"},
        {"prediction": {"type": "content", "content": "x"}},
    ],
    "`store`": [{"store": True}],
    "`stream_options.include_usage`": [{"stream": True, "stream_options": {"include_usage": True}}],
    "`stream_options.include_obfuscation`": [{"stream": True, "stream_options": {"include_obfuscation": False}}],
    "`modalities`": [{"modalities": ["text", "audio"]}],
    "`audio`, `moderation`, `web_search_options`": [
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"moderation": {"model": "omni"}},
        {"web_search_options": {}},
    ],
    "`include_reasoning`, `provider`, `reasoning_format`, `reasoning.summary`, `usage`": [
        {"include_reasoning": True},
        {"provider": {"order": ["x"]}},
        {"reasoning_format": "parsed"},
        {"reasoning": {"summary": "auto"}},
        {"usage": {"include": True}},
    ],
    "any other field": [{"of_tomorrow": 1}],
}


# Responses


def _items(*items: Json) -> Json:
    return {"input": list(items)}


def _said(*content: Json, role: str = "user") -> Json:
    return _items({"type": "message", "role": role, "content": list(content)})


def _tool(name: str = "weather", **more: Any) -> Json:
    return {"type": "function", "name": name, "parameters": SCHEMA, **more}


def _called(call: Json, output: Json, *tools: Json) -> Json:
    return {"tools": list(tools or (_tool(),)), **_items(_USER, call, output)}


def _function_call(output: Any) -> Json:
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"town":"Bern"}'}
    return _called(call, {"type": "function_call_output", "call_id": "call_1", "output": output})


def _did(*items: Json) -> Json:
    return _items(_USER, *items, _USER)


def _choice(choice: Any, *tools: Json) -> Json:
    return {"tools": list(tools or (_tool(), _tool("time"))), "tool_choice": choice}


def _text(form: Json) -> Json:
    return {"text": {"format": form}}


_HELLO: Json = {"type": "input_text", "text": "Hi"}
_USER: Json = {"type": "message", "role": "user", "content": "Hi"}
_IMAGE: Json = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
_GRAMMAR_TOOL: Json = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
_WHOLE: Json = {"type": "json_schema", "name": "town", "schema": SCHEMA}

_RESPONSES: dict[str, list[Json]] = {
    "`model`, `input`, `stream`": [{}, {"stream": True}, _items(_USER, {"role": "assistant", "content": "Ho"}, _USER)],
    "`instructions`, `system` at the beginning": [
        {"instructions": "Be brief."},
        _items({"role": "system", "content": "Be brief."}, _USER),
    ],
    "`developer` at the beginning": [_items({"role": "developer", "content": "Be brief."}, _USER)],
    "`system`, `developer` later": [
        _items(_USER, {"role": "assistant", "content": "Ho"}, {"role": role, "content": "Be brief."}, _USER)
        for role in ("system", "developer")
    ],
    "`input_text`": [_said({"type": "input_text", "text": "Hi"}, {"type": "input_text", "text": "Ho"})],
    "`input_image` with data": [_said(_IMAGE)],
    "`input_image` with a URL": [_said(_HELLO, {"type": "input_image", "image_url": PICTURE_URL})],
    "`input_image.detail`": [_said({**_IMAGE, "detail": "low"})],
    "`input_file.file_data` of a PDF": [
        _said({"type": "input_file", "file_data": f"data:application/pdf;base64,{PAGE}"})
    ],
    "`input_file.file_data` of a text": [
        _said({"type": "input_file", "file_data": f"data:text/plain;base64,{TEXT_FILE}"})
    ],
    "`input_file.filename`": [
        _said({"type": "input_file", "file_data": f"data:application/pdf;base64,{PAGE}", "filename": "a.pdf"})
    ],
    "`input_file.file_url`": [_said({"type": "input_file", "file_url": PAGE_URL})],
    "`input_image.file_id`": [_said(_HELLO, {"type": "input_image", "file_id": "file-1"})],
    "`input_file.file_id`": [_said(_HELLO, {"type": "input_file", "file_id": "file-1"})],
    "`input_audio`": [_said(_HELLO, {"type": "input_audio", "input_audio": {"format": "wav", "data": SOUND}})],
    "`prompt_cache_breakpoint`": [_said({**_HELLO, "prompt_cache_breakpoint": {"mode": "explicit"}})],
    "`prompt_cache_breakpoint.ttl`": [_said({**_HELLO, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}})],
    "`output_text`": [_did({"role": "assistant", "content": [{"type": "output_text", "text": "Ho"}]})],
    "`output_text.annotations`": [
        _did(
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Ho",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": PAGE_URL,
                                "title": "A",
                                "start_index": 0,
                                "end_index": 2,
                            }
                        ],
                    }
                ],
            }
        )
    ],
    "`refusal`": [_did({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})],
    "`reasoning` to read": [
        _did({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]})
    ],
    "`reasoning.encrypted_content`": [
        _did({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5jcnlwdGVk"})
    ],
    "`function_call`, `function_call_output`": [_function_call("sunny")],
    "`function_call_output` with several texts": [
        _function_call([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}])
    ],
    "`function_call_output` with images": [_function_call([{"type": "input_text", "text": "a"}, _IMAGE])],
    "`custom_tool_call`, `custom_tool_call_output`": [
        _called(
            {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"},
            {"type": "custom", "name": "patch"},
        )
    ],
    "`local_shell_call`, `shell_call`, `apply_patch_call` and their outputs": [
        _called(
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "call_id": "c", "output": "a"},
            {"type": "local_shell"},
        ),
        _called(
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "c", "output": []},
            {"type": "shell"},
        ),
        _called(
            {
                "type": "apply_patch_call",
                "call_id": "c",
                "operation": {"type": "create_file", "path": "a", "diff": "+a"},
            },
            {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
            {"type": "apply_patch"},
        ),
    ],
    "`web_search_call`, `file_search_call`, `image_generation_call`, `mcp_list_tools`": [
        _did({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        _did({"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"]}),
        _did({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PIXEL}),
        _did({"type": "mcp_list_tools", "id": "ml_1", "server_label": "x", "tools": []}),
    ],
    "`tool_search_call`, `tool_search_output`, `configuration_update`": [
        _did({"type": "tool_search_call", "call_id": "ts_1", "arguments": {}}),
        _did({"type": "tool_search_output", "call_id": "ts_1", "tools": []}),
        _did({"type": "configuration_update"}),
    ],
    "`additional_tools`": [_items(_USER, {"type": "additional_tools", "tools": [_tool()]})],
    "`computer_call`, `code_interpreter_call`, `mcp_call`, `mcp_approval_request`, `program` and their outputs": [
        _did({"type": kind, "id": "x_1"})
        for kind in (
            "computer_call",
            "computer_call_output",
            "code_interpreter_call",
            "mcp_call",
            "mcp_approval_request",
            "mcp_approval_response",
            "program",
            "program_output",
        )
    ],
    "`compaction`, `compaction_trigger`": [
        _did({"type": "compaction", "encrypted_content": "ZW5jcnlwdGVk"}),
        _did({"type": "compaction_trigger"}),
    ],
    "`item_reference`": [_did({"type": "item_reference", "id": "msg_1"})],
    "other fields of items and tools": [
        _items({**_USER, "phase": "of_tomorrow"}),
        {"tools": [_tool(defer_loading=True)]},
    ],
    "`tools`": [{"tools": [_tool(), _tool("time", description="Of day.")]}],
    "`tools[].strict`": [{"tools": [_tool(strict=True)]}],
    "`tools[].strict` of some": [{"tools": [_tool(strict=True), _tool("time")]}],
    "`namespace`": [
        {"tools": [{"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [_tool("read")]}]}
    ],
    "`custom`": [
        {"tools": [{"type": "custom", "name": "patch"}]},
        {"tools": [{"type": "custom", "name": "patch", "format": _GRAMMAR_TOOL}]},
    ],
    "`local_shell`, `shell`, `apply_patch`": [
        {"tools": [{"type": kind}]} for kind in ("local_shell", "shell", "apply_patch")
    ],
    "`web_search`, `tool_search` beside other tools": [
        {"tools": [_tool(), {"type": kind}]} for kind in ("web_search", "web_search_preview", "tool_search")
    ],
    "`web_search` alone": [{"tools": [{"type": "web_search"}]}],
    "`file_search`, `code_interpreter`, `computer`, `computer_use_preview`, `image_generation`, `mcp`, "
    "`programmatic_tool_calling`": [
        {"tools": [_tool(), {"type": kind}]}
        for kind in (
            "file_search",
            "code_interpreter",
            "computer",
            "computer_use_preview",
            "image_generation",
            "mcp",
            "programmatic_tool_calling",
        )
    ],
    "`tool_choice`: `auto`, `none`": [_choice("auto"), _choice("none")],
    "`tool_choice`: `required`, or one function": [
        _choice("required"),
        _choice({"type": "function", "name": "weather"}),
    ],
    "`tool_choice`: `allowed_tools`": [
        _choice({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]}),
        _choice(
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}, {"type": "function", "name": "time"}],
            }
        ),
    ],
    "`tool_choice`: a tool of OpenAI's": [_choice({"type": "web_search"}, _tool(), {"type": "web_search"})],
    "`parallel_tool_calls`: `true`": [{"tools": [_tool()], "parallel_tool_calls": True}],
    "`parallel_tool_calls`: `false`": [{"tools": [_tool()], "parallel_tool_calls": False}],
    "`text.format`: `text`": [_text({"type": "text"})],
    "`text.format`: `json_schema`": [_text(_WHOLE), _text({**_WHOLE, "strict": True})],
    "`text.format.description`": [_text({**_WHOLE, "description": "A town."})],
    "`text.format`: `json_object`": [_text({"type": "json_object"})],
    "`text.verbosity`": [{"text": {"verbosity": "low"}}],
    "`reasoning.effort`: `low`, `medium`, `high`": [
        {"reasoning": {"effort": effort}} for effort in ("low", "medium", "high")
    ],
    "`reasoning.effort`: `minimal`": [{"reasoning": {"effort": "minimal"}}],
    "`reasoning.effort`: `none`": [{"reasoning": {"effort": "none"}}],
    "`reasoning.effort`: `xhigh`": [{"reasoning": {"effort": "xhigh"}}],
    "`reasoning.effort`: `max`": [{"reasoning": {"effort": "max"}}],
    "`reasoning.summary`, `reasoning.generate_summary`": [
        {"reasoning": {"effort": "high", "summary": "auto"}},
        {"reasoning": {"effort": "high", "generate_summary": "auto"}},
    ],
    "`reasoning.context`, `reasoning.mode`": [{"reasoning": {"context": "auto"}}, {"reasoning": {"mode": "x"}}],
    "`include`: `reasoning.encrypted_content`": [{"include": ["reasoning.encrypted_content"]}],
    "other `include`": [{"include": ["web_search_call.action.sources"]}],
    "`max_output_tokens`": [{"max_output_tokens": 500}],
    "`temperature`, `top_p`": [{"temperature": 0.5}, {"top_p": 0.5}],
    "`top_logprobs`, `include`: `message.output_text.logprobs`": [
        {"top_logprobs": 2},
        {"include": ["message.output_text.logprobs"]},
    ],
    "`user`, `safety_identifier`": [{"user": "u"}, {"safety_identifier": "u"}],
    "`metadata`": [{"metadata": {"a": "b"}}],
    "`service_tier`: `auto`, `default`": [{"service_tier": "auto"}, {"service_tier": "default"}],
    "`service_tier`: `flex`, `priority`": [{"service_tier": "flex"}, {"service_tier": "priority"}],
    "`prompt_cache_key`": [{"prompt_cache_key": "k"}],
    "`prompt_cache_options`, `prompt_cache_retention`": [
        {"prompt_cache_options": {"mode": "explicit"}},
        {"prompt_cache_retention": "24h"},
    ],
    "`store`": [{"store": True}],
    "`access_programs`, `background_options`, `client_metadata`, `context_management`, `image`, `max_tool_calls`, "
    "`stream_options`, `truncation`": [
        {"access_programs": {}},
        {"background_options": {}},
        {"client_metadata": {"a": "b"}},
        {"context_management": [{"type": "compaction"}]},
        {"image": {"detail": "auto"}},
        {"max_tool_calls": 3},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"truncation": "auto"},
    ],
    "`background`": [{"background": True}],
    "`conversation`, `previous_response_id`, `prompt`": [
        {"conversation": "conv_1"},
        {"previous_response_id": "resp_1"},
        {"prompt": {"id": "pmpt_1"}},
    ],
    "`moderation`": [{"moderation": {"model": "omni"}}],
    "any other field": [{"of_tomorrow": 1}],
}


# Messages


def _asked(*blocks: Json, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": list(blocks)}], **more}


def _answered(*blocks: Json, **more: Any) -> Json:
    return {"messages": [_HI, {"role": "assistant", "content": list(blocks)}, _HI], **more}


def _block(**more: Any) -> Json:
    return {"type": "text", "text": "Hi", **more}


def _document(source: Json, **more: Any) -> Json:
    return {"type": "document", "source": source, **more}


def _use(result: Any, **more: Any) -> Json:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"town": "Bern"}}
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": result, **more}
    return {
        "tools": [_schema_tool()],
        "messages": [_HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [answer]}],
    }


def _schema_tool(name: str = "weather", **more: Any) -> Json:
    return {"name": name, "input_schema": SCHEMA, **more}


def _tool_choice(**choice: Any) -> Json:
    return {"tools": [_schema_tool(), _schema_tool("time")], "tool_choice": choice}


def _marked(ttl: str | None) -> Json:
    return {"cache_control": {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}}


_PNG_BLOCK: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
_PDF: Json = {"type": "base64", "media_type": "application/pdf", "data": PAGE}
_FORMAT: Json = {"type": "json_schema", "schema": SCHEMA}

_MESSAGES: dict[str, list[Json]] = {
    "`model`, `messages`, `max_tokens`, `stream`": [{}, {"stream": True}, {"max_tokens": 500}, _answered(_block())],
    "`system`": [{"system": "Be brief."}, {"system": [_block(), _block()]}],
    "Claude Code's first block of `system`": [
        {"system": [_block(text="x-anthropic-billing-header: a=b"), _block(text="Be brief.")]}
    ],
    "`system` as a role": [
        {"messages": [_HI, {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Ho"}, _HI]}
    ],
    "`assistant` at the end": [{"messages": [_HI, {"role": "assistant", "content": "Ho"}]}],
    "`text`": [_asked(_block(), _block())],
    "`text.citations`": [
        _answered(
            _block(
                citations=[
                    {
                        "type": "char_location",
                        "cited_text": "x",
                        "document_index": 0,
                        "document_title": "A",
                        "start_char_index": 0,
                        "end_char_index": 1,
                    }
                ]
            )
        )
    ],
    "`cache_control` of blocks": [
        _asked(_block(**_marked(None))),
    ],
    "`cache_control.ttl`": [_asked(_block(**_marked("1h")))],
    "`cache_control` of tools, calls and results": [
        {"tools": [_schema_tool(**_marked(None))]},
        _use("sunny", **_marked(None)),
    ],
    "`cache_control` of the whole request": [_marked(None)],
    "`image` with data": [_asked(_PNG_BLOCK)],
    "`image` with a URL": [_asked(_block(), {"type": "image", "source": {"type": "url", "url": PICTURE_URL}})],
    "`document` of a PDF": [_asked(_document(_PDF))],
    "`document` of a text": [
        _asked(_document({"type": "text", "media_type": "text/plain", "data": "Once."})),
        _asked(_document({"type": "content", "content": [_block()]})),
    ],
    "`document` with a URL": [_asked(_block(), _document({"type": "url", "url": PAGE_URL}))],
    "`document.title`": [_asked(_document(_PDF, title="A"))],
    "`document.context`": [_asked(_document(_PDF, context="Old."))],
    "`document.citations`": [_asked(_document(_PDF, citations={"enabled": True}))],
    "`image`, `document` with a `file_id`": [
        _asked(_block(), {"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
        _asked(_block(), _document({"type": "file", "file_id": "file_1"})),
    ],
    "`thinking` without a signature": [_answered({"type": "thinking", "thinking": "Hm.", "signature": ""}, _block())],
    "`thinking`, `redacted_thinking` of Anthropic's": [
        _answered({"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}, _block()),
        _answered({"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"}, _block()),
    ],
    "`tool_use`, `tool_result`": [_use("sunny")],
    "`tool_result` with several texts": [_use([_block(), _block()])],
    "`tool_result` with images": [_use([_block(), _PNG_BLOCK])],
    "`tool_result.is_error`": [_use("It broke.", is_error=True)],
    "`tool_reference`, `fallback`": [
        _use([_block(), {"type": "tool_reference", "tool_name": "time"}]),
        _answered({"type": "fallback"}, _block()),
    ],
    "`search_result`, `container_upload`, `compaction`": [
        _asked(_block(), {"type": "search_result", "source": PAGE_URL, "title": "A", "content": [_block()]}),
        _asked(_block(), {"type": "container_upload", "file_id": "file_1"}),
        _answered({"type": "compaction", "content": "x"}, _block()),
    ],
    "`server_tool_use`, `mcp_tool_use` and all results of Anthropic's own tools": [
        _answered({"type": kind, "id": "srvtoolu_1"}, _block())
        for kind in (
            "server_tool_use",
            "web_search_tool_result",
            "web_fetch_tool_result",
            "advisor_tool_result",
            "code_execution_tool_result",
            "bash_code_execution_tool_result",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "mcp_tool_use",
            "mcp_tool_result",
            "mcp_tool_listing",
        )
    ],
    "`tool_addition`, `tool_removal`": [
        _answered({"type": kind, "tool": {"type": "tool_reference", "tool_name": "time"}}, _block())
        for kind in ("tool_addition", "tool_removal")
    ],
    "other fields of blocks": [_asked(_block(of_tomorrow=1))],
    "`tools`": [{"tools": [_schema_tool(), {"type": "custom", **_schema_tool("time", description="Of day.")}]}],
    "`tools[].strict`": [{"tools": [_schema_tool(strict=True)]}],
    "`tools[].strict` of some": [{"tools": [_schema_tool(strict=True), _schema_tool("time")]}],
    "`tools[].defer_loading`, `eager_input_streaming`, `input_examples`": [
        {"tools": [_schema_tool(defer_loading=True)]},
        {"tools": [_schema_tool(eager_input_streaming=True)]},
        {"tools": [_schema_tool(input_examples=[{"town": "Bern"}])]},
    ],
    "`tools[].allowed_callers`": [{"tools": [_schema_tool(allowed_callers=["code_execution_20260120"])]}],
    "`tool_search_tool_bm25`, `tool_search_tool_regex`": [
        {"tools": [_schema_tool(), {"type": f"tool_search_tool_{kind}_20251119", "name": "search"}]}
        for kind in ("bm25", "regex")
    ],
    "all other `tools` with a `type`": [
        {"tools": [_schema_tool(), {"type": kind, "name": "own"}]}
        for kind in (
            "bash_20250124",
            "computer_20251124",
            "text_editor_20250728",
            "memory_20250818",
            "web_search_20250305",
            "web_fetch_20250910",
            "code_execution_20250825",
            "advisor_20260301",
            "browser_toolset_20260801",
            "computer_toolset_20260801",
            "mcp_toolset",
        )
    ],
    "`tool_choice`: `auto`, `any`, `none`": [_tool_choice(type=kind) for kind in ("auto", "any", "none")],
    "`tool_choice`: `tool`": [_tool_choice(type="tool", name="weather")],
    "`disable_parallel_tool_use`": [_tool_choice(type="auto", disable_parallel_tool_use=True)],
    "`thinking`: `enabled`": [{"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 4096}}],
    "`thinking`: `adaptive`": [{"thinking": {"type": "adaptive"}}],
    "`thinking`: `disabled`": [{"thinking": {"type": "disabled"}}],
    "`thinking`: `between_tools`": [{"thinking": {"type": "between_tools"}}],
    "`thinking.display`": [{"thinking": {"type": "adaptive", "display": "summarized"}}],
    "`output_config.effort`: `low`, `medium`, `high`": [
        {"output_config": {"effort": effort}} for effort in ("low", "medium", "high")
    ],
    "`output_config.effort`: `xhigh`": [{"output_config": {"effort": "xhigh"}}],
    "`output_config.effort`: `max`": [{"output_config": {"effort": "max"}}],
    "`output_config.format`, `output_format`": [{"output_config": {"format": _FORMAT}}, {"output_format": _FORMAT}],
    "`output_config.task_budget`": [{"output_config": {"task_budget": {"type": "tokens", "total": 64000}}}],
    "`stop_sequences`": [{"stop_sequences": ["END", "ENDE"]}],
    "`temperature`, `top_p`": [{"temperature": 0.5}, {"top_p": 0.5}],
    "`top_k`": [{"top_k": 5}],
    "`metadata.user_id`": [{"metadata": {"user_id": "u"}}],
    "other `metadata`": [{"metadata": {"a": "b"}}],
    "`service_tier`": [{"service_tier": "auto"}, {"service_tier": "standard_only"}],
    "`anthropic_beta`, `anthropic_version`, `betas`, `context_management`, `diagnostics`, `fallback_credit_token`, "
    "`fallbacks`, `speed`, `user_profile_id`": [
        {"anthropic_beta": ["x"]},
        {"anthropic_version": "vertex-2023-10-16"},
        {"betas": ["x"]},
        {"context_management": {"edits": []}},
        {"diagnostics": {}},
        {"fallback_credit_token": "x"},
        {"fallbacks": [{"model": "x"}]},
        {"speed": "fast"},
        {"user_profile_id": "u"},
    ],
    "`billing_policy`, `compaction`, `container`, `inference_geo`, `mcp_servers`, `thread`, `workspace_id`": [
        {"billing_policy": {"type": "billing_policy"}},
        {"compaction": {}},
        {"container": "container_1"},
        {"inference_geo": "eu"},
        {"mcp_servers": [{"type": "url", "url": "https://example.com/mcp", "name": "x"}]},
        {"thread": {"type": "create"}},
        {"workspace_id": "w"},
    ],
    "any other field": [{"of_tomorrow": 1}],
}


# Gemini


def _contents(*parts: Json) -> Json:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


def _modelled(*parts: Json) -> Json:
    said = {"role": "user", "parts": [{"text": "Hi"}]}
    return {"contents": [said, {"role": "model", "parts": list(parts)}, said]}


def _config(**fields: Any) -> Json:
    return {"generationConfig": fields}


def _declared(*names: str, **more: Any) -> Json:
    declarations = [
        {"name": name, "parametersJsonSchema": SCHEMA, **(more if name == "weather" else {})}
        for name in names or ("weather",)
    ]
    return {"tools": [{"functionDeclarations": declarations}]}


def _calling(**config: Any) -> Json:
    return {**_declared("weather", "time"), "toolConfig": {"functionCallingConfig": config}}


def _function(response: Json, **more: Any) -> Json:
    return {
        **_declared(),
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {
                "role": "model",
                "parts": [{"functionCall": {"id": "call_1", "name": "weather", "args": {"town": "Bern"}}}],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "call_1", "name": "weather", "response": response, **more}},
                ],
            },
        ],
    }


def _blob(media_type: str, data: str, **more: Any) -> Json:
    return {"inlineData": {"mimeType": media_type, "data": data}, **more}


_GOOGLE = "https://generativelanguage.googleapis.com"
_OBJECT: Json = {"type": "OBJECT", "properties": {"town": {"type": "STRING"}}, "required": ["town"]}

_GEMINI: dict[str, list[Json]] = {
    "`contents`": [{}, _modelled({"text": "Ho"})],
    "`systemInstruction`": [{"systemInstruction": {"parts": [{"text": "Be brief."}]}}],
    "`text`": [_contents({"text": "Hi"}, {"text": "Ho"})],
    "`inlineData` of an image": [_contents(_blob("image/png", PIXEL))],
    "`inlineData` of a PDF": [_contents(_blob("application/pdf", PAGE))],
    "`inlineData` of a text": [_contents(_blob("text/plain", TEXT_FILE))],
    "`inlineData` of sound": [_contents({"text": "Hi"}, _blob("audio/wav", SOUND))],
    "`inlineData` of a film": [_contents({"text": "Hi"}, _blob("video/mp4", PAGE))],
    "`inlineData.displayName`": [
        _contents({"inlineData": {"mimeType": "application/pdf", "data": PAGE, "displayName": "a.pdf"}})
    ],
    "`fileData` of an image, with a URL": [
        _contents({"fileData": {"mimeType": "image/png", "fileUri": PICTURE_URL}}),
    ],
    "`fileData` of a PDF, with a URL": [
        _contents({"text": "Hi"}, {"fileData": {"mimeType": "application/pdf", "fileUri": PAGE_URL}})
    ],
    "`fileData` of Google's own": [
        _contents({"text": "Hi"}, {"fileData": {"mimeType": "image/png", "fileUri": f"{_GOOGLE}/v1beta/files/a"}}),
        _contents({"text": "Hi"}, {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/a.pdf"}}),
    ],
    "`mediaResolution` of a part": [
        _contents(_blob("image/png", PIXEL, mediaResolution={"level": "MEDIA_RESOLUTION_LOW"}))
    ],
    "`mediaProcessing`, `partMetadata`": [
        _contents(_blob("image/png", PIXEL, mediaProcessing={})),
        _contents({"text": "Hi", "partMetadata": {"a": "b"}}),
    ],
    "`thought` without a signature": [_modelled({"text": "Hm.", "thought": True}, {"text": "Ho"})],
    "`thoughtSignature` of Google's": [
        _modelled({"text": "Hm.", "thought": True, "thoughtSignature": "c2lnbmVk"}, {"text": "Ho"}),
        _modelled({"text": "Ho", "thoughtSignature": "c2lnbmVk"}),
        {
            **_declared(),
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {
                    "role": "model",
                    "parts": [
                        {"functionCall": {"id": "c", "name": "weather", "args": {}}, "thoughtSignature": "c2lnbmVk"}
                    ],
                },
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"id": "c", "name": "weather", "response": {"output": "sunny"}}}],
                },
            ],
        },
    ],
    "`functionCall`, `functionResponse`": [_function({"output": "sunny"}), _function({"town": "Bern", "sun": True})],
    "`functionResponse.parts`": [_function({"output": "sunny"}, parts=[_blob("image/png", PIXEL)])],
    "`functionResponse.response.error`": [_function({"error": "It broke."})],
    "`functionResponse.willContinue`, `scheduling`": [
        _function({"output": "sunny"}, willContinue=True),
        _function({"output": "sunny"}, scheduling="SILENT"),
    ],
    "`codeExecutionResult`, `executableCode`, `toolCall`, `toolResponse`": [
        _modelled({kind: {"id": "x"}}, {"text": "Ho"})
        for kind in ("codeExecutionResult", "executableCode", "toolCall", "toolResponse")
    ],
    "`videoMetadata`, `audioMetadata`, `documentMetadata`, `spreadsheetMetadata`, `speechMetadata`, "
    "`audioTranscription`": [
        _contents(_blob("image/png", PIXEL, **{kind: {}}))
        for kind in (
            "videoMetadata",
            "audioMetadata",
            "documentMetadata",
            "spreadsheetMetadata",
            "speechMetadata",
            "audioTranscription",
        )
    ],
    "`tools[].functionDeclarations`": [
        _declared("weather", "time", description="Of a town."),
        {"tools": [{"functionDeclarations": [{"name": "weather", "parameters": _OBJECT}]}]},
    ],
    "`functionDeclarations[].response`, `responseJsonSchema`": [
        _declared(response=_OBJECT),
        _declared(responseJsonSchema=SCHEMA),
    ],
    "`functionDeclarations[].behavior`": [_declared(behavior="NON_BLOCKING")],
    "`codeExecution`, `computerUse`, `enterpriseWebSearch`, `exaAiSearch`, `fileSearch`, `googleMaps`, `googleSearch`, "
    "`googleSearchRetrieval`, `mcpServers`, `parallelAiSearch`, `retrieval`, `urlContext`": [
        {"tools": [{kind: {}}]}
        for kind in (
            "codeExecution",
            "computerUse",
            "enterpriseWebSearch",
            "exaAiSearch",
            "fileSearch",
            "googleMaps",
            "googleSearch",
            "googleSearchRetrieval",
            "mcpServers",
            "parallelAiSearch",
            "retrieval",
            "urlContext",
        )
    ],
    "`toolConfig.functionCallingConfig.mode`: `AUTO`, `NONE`, `VALIDATED`": [
        _calling(mode=mode) for mode in ("AUTO", "NONE", "VALIDATED")
    ],
    "`toolConfig.functionCallingConfig.mode`: `ANY`": [
        _calling(mode="ANY"),
        _calling(mode="ANY", allowedFunctionNames=["weather"]),
    ],
    "`allowedFunctionNames`: several, or `VALIDATED`": [
        _calling(mode="ANY", allowedFunctionNames=["weather", "time"]),
        _calling(mode="VALIDATED", allowedFunctionNames=["weather"]),
    ],
    "`streamFunctionCallArguments`, `includeServerSideToolInvocations`, `retrievalConfig`": [
        _calling(mode="AUTO", streamFunctionCallArguments=True),
        {"toolConfig": {"includeServerSideToolInvocations": True}},
        {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}},
    ],
    "`maxOutputTokens`": [_config(maxOutputTokens=500)],
    "`stopSequences`": [_config(stopSequences=["END", "ENDE"])],
    "`temperature`, `topP`": [_config(temperature=0.5), _config(topP=0.5)],
    "`topK`": [_config(topK=5)],
    "`presencePenalty`, `frequencyPenalty`": [_config(presencePenalty=0.5), _config(frequencyPenalty=0.5)],
    "`seed`, `candidateCount`": [_config(seed=7), _config(candidateCount=2)],
    "`responseLogprobs`, `logprobs`": [_config(responseLogprobs=True), _config(responseLogprobs=True, logprobs=2)],
    "`responseMimeType` with `responseJsonSchema`, `responseSchema`": [
        _config(responseMimeType="text/plain"),
        _config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        _config(responseMimeType="application/json", responseSchema={**_OBJECT, "additionalProperties": False}),
    ],
    "`responseMimeType` without a schema": [_config(responseMimeType="application/json")],
    "`responseMimeType`: `text/x.enum`": [
        _config(responseMimeType="text/x.enum", responseSchema={"type": "STRING", "enum": ["a"]})
    ],
    "`responseModalities`: `TEXT`": [_config(responseModalities=["TEXT"])],
    "`responseModalities`: `AUDIO`": [_config(responseModalities=["AUDIO"])],
    "`responseModalities`: `IMAGE`": [_config(responseModalities=["TEXT", "IMAGE"])],
    "`thinkingConfig.thinkingLevel`: `LOW`, `MEDIUM`, `HIGH`": [
        _config(thinkingConfig={"thinkingLevel": level}) for level in ("LOW", "MEDIUM", "HIGH")
    ],
    "`thinkingConfig.thinkingLevel`: `MINIMAL`": [_config(thinkingConfig={"thinkingLevel": "MINIMAL"})],
    "`thinkingConfig.thinkingBudget`": [_config(thinkingConfig={"thinkingBudget": 4096})],
    "`thinkingConfig.thinkingBudget`: 0": [_config(thinkingConfig={"thinkingBudget": 0})],
    "`thinkingConfig.thinkingBudget`: -1": [_config(thinkingConfig={"thinkingBudget": -1})],
    "`thinkingConfig.includeThoughts`": [
        _config(thinkingConfig={"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
    "`enableEnhancedCivicAnswers`, `mediaResolution`": [
        _config(enableEnhancedCivicAnswers=True),
        _config(mediaResolution="MEDIA_RESOLUTION_LOW"),
    ],
    "`audioTimestamp`, `audioTranscriptionConfig`, `enableAffectiveDialog`, `imageConfig`, `modelSelectionConfig`, "
    "`responseFormat`, `routingConfig`, `speechConfig`, `translationConfig`": [
        _config(**{name: {}})
        for name in (
            "audioTimestamp",
            "audioTranscriptionConfig",
            "enableAffectiveDialog",
            "imageConfig",
            "modelSelectionConfig",
            "responseFormat",
            "routingConfig",
            "speechConfig",
            "translationConfig",
        )
    ],
    "`labels`, `safetySettings`, `store`": [
        {"labels": {"a": "b"}},
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
        {"store": True},
    ],
    "`serviceTier`: `standard`": [{"serviceTier": "standard"}],
    "`serviceTier`: `flex`, `priority`": [{"serviceTier": "flex"}, {"serviceTier": "priority"}],
    "`cachedContent`, `continuationToken`, `generationOutputConfig`, `modelArmorConfig`": [
        {"cachedContent": "cachedContents/a"},
        {"continuationToken": "x"},
        {"generationOutputConfig": {}},
        {"modelArmorConfig": {}},
    ],
    "any other field": [{"ofTomorrow": 1}, _config(ofTomorrow=1), _contents({"text": "Hi", "ofTomorrow": 1})],
}

SAMPLES: Mapping[str, Mapping[str, list[Json]]] = {
    "chat": _CHAT,
    "responses": _RESPONSES,
    "messages": _MESSAGES,
    "gemini": _GEMINI,
}
