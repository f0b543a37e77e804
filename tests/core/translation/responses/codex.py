"""
A request in the form in which Codex 0.159 sends them, made up for these tests.

The form: ``ResponsesApiRequest`` in Codex's ``codex-api/src/common.rs``, the items in ``protocol/src/models.rs`` and
the tools in ``tools/src/tool_spec.rs``.
"""

from __future__ import annotations

from typing import Any

GRAMMAR = 'start: begin_patch hunk+ end_patch\nbegin_patch: "*** Begin Patch" LF\n'

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "exec_command",
        "description": "Runs a command.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"cmd": {"type": "string"}},
            "required": ["cmd"],
            "additionalProperties": False,
        },
    },
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files. Do not wrap the patch in JSON.",
        "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
    },
    {"type": "web_search", "external_web_access": False},
    {
        "type": "namespace",
        "name": "mcp__files",
        "description": "Tools in the mcp__files namespace.",
        "tools": [
            {
                "type": "function",
                "name": "read",
                "description": "Reads a file.",
                "strict": False,
                "defer_loading": True,
                "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
            }
        ],
    },
]


def message(role: str, *texts: str, kind: str = "input_text", **more: object) -> dict[str, Any]:
    content = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "id": f"msg_{role}", "role": role, "content": content, **more}


def request(*more: dict[str, Any]) -> dict[str, Any]:
    """
    :param more: items behind the user's first message.
    """
    return {
        "model": "gpt-test",
        "instructions": "You are a coding agent.",
        "input": [
            message("developer", "<permissions>read-only</permissions>", "<skills/>"),
            message("user", "<environment_context/>"),
            message("user", "List the files."),
            *more,
        ],
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "high", "summary": "auto", "context": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "00000000-0000-4000-8000-000000000008",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "00000000"},
    }
