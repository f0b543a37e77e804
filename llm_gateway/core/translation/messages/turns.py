"""
Messages, written as turns.

This dialect has strict rules about them: the roles take turns and the first is the user's; instructions stand in
``system``, or, on newer models, in a message of that role directly behind a user's that nothing of the user's follows;
the results of a turn's calls are the first blocks of the turn behind it, all of them and no others; ids of calls have
few letters and come once; no text is blank.

Source: platform.claude.com/docs/en/build-with-claude/working-with-messages, .../mid-conversation-system-messages and
.../agents-and-tools/tool-use/handle-tool-calls
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llm_gateway.core.translation.conversation import Foreign, Message, Part, Request, Role, Text, ToolCall, ToolResult
from llm_gateway.core.translation.losses import Weight
from llm_gateway.core.translation.messages.names import Json
from llm_gateway.core.translation.messages.parts import PartWriter
from llm_gateway.errors import BadRequest

__all__ = ["Turns"]

_BEGIN = "Begin."
"""What the user says where the conversation has nothing of theirs at its beginning."""

_GO_ON = "Continue."
"""The same at its end, on models that do not continue what they said themselves."""

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


class _Turn:
    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[Json] = []
        self.blocks: list[Json] = []
        self.calls: dict[str, str] = {}
        """Where its calls are, by their ids as they are written."""
        self.answered: dict[str, str] = {}
        """Where its results are, by the ids of their calls."""
        self.more: Json = {}
        """Fields of the message that only this dialect has."""

    def content(self) -> object:
        blocks = self.results + self.blocks
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            return blocks[0]["text"]
        return blocks


class Turns:
    """One conversation as this dialect writes it."""

    def __init__(self, request: Request, writer: PartWriter, skipped: int = 0) -> None:
        """
        :param skipped: blocks of ``system`` that the decoder kept apart, at its beginning.
        :raises BadRequest: a result has no call, or a call no result.
        """
        self._skipped = skipped
        self._writer = writer
        self._own = writer.own
        self._losses = writer.losses
        self._abilities = writer.abilities
        self._ids: dict[str, str] = {}
        """The newest id in this document of each id of the caller's."""
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        """Behind ids that several calls have, the last one given."""
        self._followed = _followers(request.messages)
        self._turns: list[_Turn] = []
        self.called: dict[str, None] = {}
        """The names of the tools that were called, in order."""
        self.system: list[Json] = []

        messages = request.messages
        leading = 0
        while leading < len(messages) and _is_instruction(messages[leading]):
            self._instruct(messages[leading], leading)
            leading += 1
        # Instructions of this dialect's callers have one message here and none there.
        self._shift = min(leading, 1) if self._own else 0
        for index in range(leading, len(messages)):
            self._say(messages, index)
        if not self._own:
            self._check_pairs()
            self._round_off()

    def documents(self) -> list[Json]:
        return [{"role": turn.role, "content": turn.content(), **turn.more} for turn in self._turns]

    def blocks(self) -> Iterable[Json]:
        """All blocks that may carry a cache mark, in the order of the prompt."""
        yield from self.system
        for turn in self._turns:
            yield from turn.results
            yield from turn.blocks

    def _place(self, index: int) -> str:
        return f"messages[{index - self._shift}]"

    def _instruct(self, message: Message, index: int) -> None:
        self._drop_name(message, f"messages[{index}]")
        place = "system" if self._own else f"messages[{index}].content"
        self.system.extend(self._instructions(message, place, self._skipped))

    def _instructions(self, message: Message, place: str, first: int = 0) -> list[Json]:
        blocks: list[Json] = []
        for at, part in enumerate(message.parts, first):
            if isinstance(part, Text) or (isinstance(part, Foreign) and self._own):
                blocks.extend(self._writer.blocks(part, f"{place}[{at}]", assistant=False))
            else:
                self._losses.lose(f"{place}[{at}]", Weight.MEANING, "instructions are text there")
        return blocks

    def _say(self, messages: tuple[Message, ...], index: int) -> None:
        message = messages[index]
        place = self._place(index)
        self._drop_name(message, place)
        if _is_instruction(message):
            self._say_instruction(messages, index, place)
            return
        turn = self._turn(message.role.value)
        turn.more.update(self._writer.more_at(place))
        for at, part in enumerate(message.parts):
            self._add(turn, part, f"{place}.content[{at}]")
        if not turn.results and not turn.blocks:
            self._turns.pop()

    def _turn(self, role: str) -> _Turn:
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role))
        return self._turns[-1]

    def _add(self, turn: _Turn, part: Part, place: str) -> None:
        assistant = turn.role == "assistant"
        if isinstance(part, ToolCall):
            if not assistant:
                raise BadRequest.of_field(place, "only the assistant calls tools.")
            written = self._new_id(part.id)
            turn.calls[written] = place
            self.called[part.name] = None
            turn.blocks.extend(self._writer.call(part, written, place))
        elif isinstance(part, ToolResult):
            if assistant:
                raise BadRequest.of_field(place, "the assistant has no results of tools.")
            known = self._ids.get(part.call_id)
            if known is None and not self._own:
                raise BadRequest.of_field(place, "is the result of a call that is not in the conversation before it.")
            turn.answered[known or part.call_id] = place
            turn.results.append(self._writer.result(part, known or part.call_id, place))
        else:
            turn.blocks.extend(self._writer.blocks(part, place, assistant=assistant))

    def _new_id(self, given: str) -> str:
        clean = _NOT_IN_IDS.sub("_", given) or "call"
        written = clean
        # Not from the first on, or a conversation of calls with one id takes a minute.
        count = self._counts.get(clean, 1)
        while written in self._taken:
            count += 1
            written = f"{clean}_{count}"
        self._counts[clean] = count
        self._taken.add(written)
        self._ids[given] = written
        return written

    def _say_instruction(self, messages: tuple[Message, ...], index: int, place: str) -> None:
        blocks = self._instructions(messages[index], f"{place}.content")
        if not blocks:
            return
        if self._own or self._may_stand_here(index):
            turn = self._turn("system")
            turn.more.update(self._writer.more_at(place))
            turn.blocks.extend(blocks)
            return
        self._losses.change(f"{place}.role")
        text = "\n\n".join(str(block["text"]) for block in blocks)
        self._turn("user").blocks.append({"type": "text", "text": f"<system>\n{text}\n</system>"})

    def _may_stand_here(self, index: int) -> bool:
        if not self._abilities.system_anywhere or not self._turns or self._turns[-1].role == "assistant":
            return False
        return self._followed[index] in (None, Role.ASSISTANT)

    def _drop_name(self, message: Message, place: str) -> None:
        if message.name is not None:
            self._losses.lose(f"{place}.name", Weight.HINT, "messages have no names there")

    def _check_pairs(self) -> None:
        called: dict[str, str] = {}
        for turn in self._turns:
            for call, place in turn.answered.items():
                if call not in called:
                    raise BadRequest.of_field(place, "is a result that does not follow its call.")
            for call, place in called.items():
                if call not in turn.answered:
                    raise BadRequest.of_field(place, "is a call that has no result behind it.")
            called = turn.calls
        for place in called.values():
            raise BadRequest.of_field(place, "is a call that has no result behind it.")

    def _round_off(self) -> None:
        turns = self._turns
        if not turns or turns[0].role != "user":
            self._losses.change("messages")
            first = _Turn("user")
            first.blocks.append({"type": "text", "text": _BEGIN})
            turns.insert(0, first)
        if turns[-1].role != "assistant":
            return
        if not self._abilities.prefill:
            self._losses.change("messages")
            self._turn("user").blocks.append({"type": "text", "text": _GO_ON})
        elif "text" in turns[-1].blocks[-1]:
            # A text to be continued must not end in white space.
            turns[-1].blocks[-1]["text"] = str(turns[-1].blocks[-1]["text"]).rstrip()


def _followers(messages: Sequence[Message]) -> list[Role | None]:
    """
    :return: whose turn follows each message, looking past instructions and what says nothing.
    """
    found: list[Role | None] = []
    role: Role | None = None
    for message in reversed(messages):
        found.append(role)
        if not _is_instruction(message) and _says_something(message):
            role = message.role
    return found[::-1]


def _is_instruction(message: Message) -> bool:
    return message.role in (Role.SYSTEM, Role.DEVELOPER)


def _says_something(message: Message) -> bool:
    return any(not isinstance(part, Text) or part.text.strip() for part in message.parts)
