"""Tools in namespaces under one flat name, for the dialects that know no namespaces."""

from __future__ import annotations

import hashlib
import re

__all__ = ["flat_name"]

_LONGEST = 64
"""Of a tool's name in Chat Completions; Anthropic takes 128."""

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


def flat_name(namespace: str, name: str) -> str:
    """
    Join the two, always in the same way, so that the calls in a conversation's history have the name of their tool.

    :param namespace: such as ``mcp__files``, as Codex names the tools of an MCP server.
    :param name: in the namespace.
    :return: a name that every dialect takes; one that would be too long ends in a digest of the whole.
    """
    joined = _FORBIDDEN.sub("_", namespace if namespace.endswith("__") else namespace + "__") + _FORBIDDEN.sub(
        "_", name
    )
    if len(joined) <= _LONGEST:
        return joined
    digest = hashlib.blake2s(f"{namespace}\n{name}".encode(), digest_size=4).hexdigest()
    return f"{joined[: _LONGEST - 9]}_{digest}"
