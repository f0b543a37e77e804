"""
Tools of OpenAI's that the caller runs itself, as functions.

``local_shell``, ``shell`` (in the caller's own environment) and ``apply_patch`` have no schema in a request: OpenAI's
models know them. Any other model is told by a function of the same name, and its calls become the items that the
caller's program waits for.

Source: https://platform.openai.com/docs/guides/tools-local-shell, .../tools-shell and .../tools-apply-patch, and the
item types of the official SDK.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from llm_gateway.core.translation.conversation import Text as TextPart
from llm_gateway.core.translation.conversation import Tool, ToolCall, ToolResult
from llm_gateway.core.translation.fields import BROKEN, Fields, text
from llm_gateway.core.translation.responses.raw import json_text

__all__ = ["CALLS", "OUTPUTS", "call_item", "is_builtin", "tool_for", "written"]


class _Exec(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="type", tag="exec"):
    command: list[str]
    env: dict[str, str]
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class _ExecArguments(msgspec.Struct, omit_defaults=True):
    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class _LocalShellCall(msgspec.Struct, kw_only=True, tag_field="type", tag="local_shell_call"):
    id: str
    call_id: str
    action: _Exec
    status: str


class _Commands(msgspec.Struct, omit_defaults=True):
    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class _ShellCall(msgspec.Struct, kw_only=True, tag_field="type", tag="shell_call"):
    id: str
    call_id: str
    action: _Commands
    status: str


class _Operation(msgspec.Struct, omit_defaults=True):
    type: str
    path: str
    diff: str | None = None


class _ApplyPatchCall(msgspec.Struct, kw_only=True, tag_field="type", tag="apply_patch_call"):
    id: str
    call_id: str
    operation: _Operation
    status: str


_LOCAL_SHELL = Tool(
    "local_shell",
    "Runs a command on the user's machine and returns its output.",
    msgspec.Raw(
        b'{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"description":"The '
        b'program and its arguments."},"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"},"env":'
        b'{"type":"object","additionalProperties":{"type":"string"}},"user":{"type":"string"}},"required":["command"]}'
    ),
)
_SHELL = Tool(
    "shell",
    "Runs commands in a shell on the user's machine, one after another, and returns what each printed.",
    msgspec.Raw(
        b'{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"}},"timeout_ms":{"type":'
        b'"integer"},"max_output_length":{"type":"integer"}},"required":["commands"]}'
    ),
)
_APPLY_PATCH = Tool(
    "apply_patch",
    "Creates, updates or deletes one file. The diff is in the V4A format, without a header: lines that begin with a "
    "space, + or -, under lines that begin with @@; of a new file every line begins with +.",
    msgspec.Raw(
        b'{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},'
        b'"path":{"type":"string"},"diff":{"type":"string"}},"required":["type","path"]}'
    ),
)
_TOOLS = {tool.name: tool for tool in (_LOCAL_SHELL, _SHELL, _APPLY_PATCH)}
_WRITTEN = {
    "local_shell": msgspec.Raw(b'{"type":"local_shell"}'),
    "shell": msgspec.Raw(b'{"type":"shell","environment":{"type":"local"}}'),
    "apply_patch": msgspec.Raw(b'{"type":"apply_patch"}'),
}

_exec_arguments = msgspec.json.Decoder(_ExecArguments).decode
_commands = msgspec.json.Decoder(_Commands).decode
_operation = msgspec.json.Decoder(_Operation).decode


def tool_for(kind: str, tool: Fields) -> Tool | None:
    """
    :param kind: its ``type``.
    :param tool: a tool of a request.
    :return: the function for it; ``None`` where OpenAI runs it.
    """
    if kind == "shell":
        environment = tool.inner("environment")
        if environment is not None and environment.take("type", text) not in (None, "local"):
            return None
    return _TOOLS.get(kind)


def is_builtin(tool: Tool) -> bool:
    """
    :param tool: of a request.
    :return: whether it stands for one of OpenAI's.
    """
    own = _TOOLS.get(tool.name)
    # By what it says: what an answer needs of a request is a copy.
    return (
        own is not None
        and tool.description == own.description
        and bytes(tool.parameters or b"") == bytes(own.parameters or b"")
    )


def written(tool: Tool) -> msgspec.Raw:
    """
    :param tool: one of OpenAI's.
    :return: the tool as a request of this dialect has it.
    """
    return _WRITTEN[tool.name]


def call_item(tool: Tool, call: ToolCall, id: str) -> msgspec.Raw | None:
    """
    :param tool: the tool of the request that is called.
    :param id: of the item.
    :return: the item that the call is; ``None`` where it is a plain function's, or its arguments do not fit.
    """
    if not is_builtin(tool):
        return None
    item: _LocalShellCall | _ShellCall | _ApplyPatchCall
    try:
        if tool.name == _LOCAL_SHELL.name:
            told = _exec_arguments(call.arguments)
            action = _Exec(
                command=told.command,
                env=told.env,
                timeout_ms=told.timeout_ms,
                user=told.user,
                working_directory=told.working_directory,
            )
            item = _LocalShellCall(id=id, call_id=call.id, action=action, status="completed")
        elif tool.name == _SHELL.name:
            item = _ShellCall(id=id, call_id=call.id, action=_commands(call.arguments), status="completed")
        else:
            item = _ApplyPatchCall(id=id, call_id=call.id, operation=_operation(call.arguments), status="completed")
    except BROKEN:
        return None
    return msgspec.Raw(msgspec.json.encode(item))


# The items as a caller sends them back


def _again(document: msgspec.Struct) -> str:
    return msgspec.json.encode(document).decode()


def _local_shell_call(item: Fields) -> ToolCall:
    call_id = item.take("call_id", text) or item.need("id", text)
    return ToolCall(call_id, "local_shell", _again(item.need("action", _exec_arguments)))


def _shell_call(item: Fields) -> ToolCall:
    return ToolCall(item.need("call_id", text), "shell", _again(item.need("action", _commands)))


def _apply_patch_call(item: Fields) -> ToolCall:
    return ToolCall(item.need("call_id", text), "apply_patch", _again(item.need("operation", _operation)))


def _local_shell_output(item: Fields) -> ToolResult:
    # The SDK's type names the call by ``id``; what older versions of Codex send has ``call_id``.
    call_id = item.take("call_id", text) or item.need("id", text)
    return ToolResult(call_id, (TextPart(item.need("output", text)),))


def _shell_output(item: Fields) -> ToolResult:
    return ToolResult(item.need("call_id", text), (TextPart(item.need("output", json_text)),))


def _apply_patch_output(item: Fields) -> ToolResult:
    call_id = item.need("call_id", text)
    failed = item.take("status", text) == "failed"
    said = item.take("output", text) or ("failed" if failed else "completed")
    return ToolResult(call_id, (TextPart(said),), is_error=failed)


CALLS: dict[str, Callable[[Fields], ToolCall]] = {
    "local_shell_call": _local_shell_call,
    "shell_call": _shell_call,
    "apply_patch_call": _apply_patch_call,
}
OUTPUTS: dict[str, Callable[[Fields], ToolResult]] = {
    "local_shell_call_output": _local_shell_output,
    "shell_call_output": _shell_output,
    "apply_patch_call_output": _apply_patch_output,
}
