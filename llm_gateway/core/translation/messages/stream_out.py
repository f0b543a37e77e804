"""
A caller's stream, written.

The SDKs put a message together as it comes: blocks by their place in the list, so that indices have to count from 0
without a gap, ``stop_reason`` and totals of tokens from ``message_delta``. That event is held back to the end, because
other dialects tell their counts last.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming, and ``accumulate_event`` of the ``anthropic``
package (2.12).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llm_gateway.core.translation.codec import StreamEncoder
from llm_gateway.core.translation.collect import usage_after
from llm_gateway.core.translation.conversation import (
    Audio,
    Finish,
    Foreign,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.messages.answer import citation_document, redacted_block
from llm_gateway.core.translation.messages.attached import carried
from llm_gateway.core.translation.messages.failures import error_document
from llm_gateway.core.translation.messages.finishes import finish_document
from llm_gateway.core.translation.messages.names import NAME, Json
from llm_gateway.core.translation.messages.usage import usage_document
from llm_gateway.core.translation.opaque import sealed_thinking

__all__ = ["MessagesStreamEncoder"]

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_DELTAS = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}
"""By the field that has the text."""

_encode = msgspec.json.encode


class MessagesStreamEncoder(StreamEncoder):
    """Of an answer's choices it writes the first; callers of this dialect ask for one."""

    def __init__(self) -> None:
        self._begun: Begun | None = None
        self._started = False
        self._over = False
        self._usage = Usage()
        self._finish: Finish | None = None
        self._called = False
        self._refused = False
        self._index = -1
        """Of the newest block."""
        self._part: Part | None = None
        """What is open in the neutral stream."""
        self._block_is_open = False
        self._prefix = b""
        """Of a delta of the open block, up to its text."""
        self._opaque: Opaque | None = None
        self._behind: Opaque | None = None
        """The signature of the text that has ended, if it came with its end."""
        self.unsaid: tuple[str, ...] = ()

    def encode(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                if event.choice == 0 and not self._over:
                    if event.text:
                        self._say(event.text, out)
                    if event.citation is not None or event.opaque is not None:
                        self._more(event, out)
            elif not self._over:
                self._take(event, out)
        if not self._started and self._begun is not None and not self._over:
            # Counts that come with the beginning are told with it; nothing else is worth waiting for.
            self._start(out)
        return b"".join(out)

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case PartBegun(choice=0, part=part):
                self._begin_part(part, out)
            case PartEnded(choice=0):
                self._end_part(out)
            case Finished(choice=0, finish=finish):
                self._finish = finish
            case UsageSeen(usage=usage):
                self._usage = usage_after(self._usage, usage)
            case Begun():
                self._begun = event
            case Ended():
                self._end(out)
            case Failed(failure=failure):
                out.append(b"event: error\ndata: " + error_document(failure, None) + b"\n\n")
                self._over = True

    def _start(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        begun = self._begun or Begun("", "")
        message: Json = {
            "id": begun.id,
            "type": "message",
            "role": "assistant",
            "model": begun.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_document(self._usage, begun.service_tier),
        }
        out.append(_event("message_start", {"type": "message_start", "message": message}))

    def _end(self, out: list[bytes]) -> None:
        self._end_part(out)
        self._start(out)
        if self._behind is not None:
            # Callers take an answer's last block for what it says, and who signs texts does not demand it back.
            self.unsaid = ("answer.signature",)
        finish = finish_document(self._finish, called=self._called, refused=self._refused)
        usage = usage_document(self._usage)
        out.append(_event("message_delta", {"type": "message_delta", "delta": finish, "usage": usage}))
        out.append(_STOP)
        self._over = True

    # Parts

    def _begin_part(self, part: Part, out: list[bytes]) -> None:
        self._end_part(out)
        self._start(out)
        behind, self._behind = self._behind, None
        self._carry(behind, out, behind=True)
        self._part = part
        self._opaque = None
        match part:
            case ToolCall():
                self._called = True
                self._carry(part.opaque, out)
                call: Json = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                self._open(call, "partial_json", out)
                self._say(part.arguments, out)
            case Thinking(redacted=False):
                self._opaque = part.opaque
                self._open({"type": "thinking", "thinking": "", "signature": ""}, "thinking", out)
                self._say(part.text, out)
            case Thinking():
                # Its data may come behind its beginning, and the block has to begin with them.
                self._opaque = part.opaque
            case Text():
                self._carry(part.opaque, out)
                self._say(part.text, out)
                for citation in part.citations:
                    self._cite(citation_document(citation), out)
            case Refusal():
                self._refused = True
                self._say(part.text, out)
            case Audio():
                self._say(part.transcript or "", out)
            case Foreign(dialect=dialect, raw=raw) if dialect == NAME:
                self._open(raw, "", out)

    def _more(self, delta: Delta, out: list[bytes]) -> None:
        """What of it is not text."""
        if delta.citation is not None and isinstance(self._part, Text):
            self._cite(citation_document(delta.citation), out)
        if delta.opaque is not None:
            self._opaque = delta.opaque

    def _say(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        if not self._block_is_open:
            if not isinstance(self._part, Text | Refusal | Audio):
                return
            self._open_text(out)
        if self._prefix:
            out.append(self._prefix + _encode(text) + b"}}\n\n")

    def _open_text(self, out: list[bytes]) -> None:
        # A text that never comes has no block: sent back with the next request, an empty one would be refused.
        self._open({"type": "text", "text": ""}, "text", out)

    def _cite(self, citation: object, out: list[bytes]) -> None:
        if not self._block_is_open:
            self._open_text(out)
        delta = {"type": "citations_delta", "citation": citation}
        out.append(_event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _open(self, block: object, field: str, out: list[bytes]) -> None:
        """
        :param field: of the deltas that will come.
        """
        self._index += 1
        self._block_is_open = True
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        out.append(_event("content_block_start", start))
        if self._index == 0:
            out.append(_PING)
        self._prefix = b""
        if field:
            self._prefix = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
                % (self._index, _DELTAS[field].encode(), field.encode())
            )

    def _end_part(self, out: list[bytes]) -> None:
        part, opaque = self._part, self._opaque
        self._part = self._opaque = None
        if isinstance(part, Thinking):
            whole = msgspec.structs.replace(part, text="", opaque=opaque)
            if part.redacted:
                self._open(redacted_block(whole), "", out)
            else:
                self._sign(sealed_thinking(whole, NAME), out)
        self._close(out)
        if isinstance(part, Text):
            self._behind = None if opaque is None or opaque.dialect == NAME else opaque
        elif not isinstance(part, Thinking):
            self._carry(opaque, out, behind=True)

    def _sign(self, signature: str | None, out: list[bytes]) -> None:
        if signature:
            delta = {"type": "signature_delta", "signature": signature}
            event = {"type": "content_block_delta", "index": self._index, "delta": delta}
            out.append(_event("content_block_delta", event))

    def _carry(self, opaque: Opaque | None, out: list[bytes], *, behind: bool = False) -> None:
        """Another dialect's signature of a text or a call travels in a block of its own."""
        if opaque is None or opaque.dialect == NAME:
            return
        self._open({"type": "redacted_thinking", "data": carried(opaque, behind=behind)}, "", out)
        self._close(out)

    def _close(self, out: list[bytes]) -> None:
        if self._block_is_open:
            out.append(_event("content_block_stop", {"type": "content_block_stop", "index": self._index}))
            self._block_is_open = False


def _event(name: str, document: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(document))
