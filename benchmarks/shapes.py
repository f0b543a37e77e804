"""What goes over the wire: the call, its answer, and the events of a stream, which can be checked one by one."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import takewhile

VIRTUAL_KEY = "vk-bench"
"""What a client sends."""
REAL_KEY = "sk-bench-real"
"""What the provider wants to see instead; it refuses everything else."""
MODEL = "gpt-5.4-mini"
PATH = "/v1/chat/completions"

EVENTS = 100
"""In each stream, before its end marker."""
MOST_EVENTS = 1000
"""More cannot be asked for."""
LAST_EVENT = b"data: [DONE]\n\n"

_SENTENCE = "A reverse proxy that does not slow its source down has to keep what a slow reader leaves. "
ANSWERED = _SENTENCE * 8
"""What a call without a stream is answered."""


def call_body(*, stream: bool) -> bytes:
    """A chat call of about 1 KB."""
    messages = [
        {"role": "system", "content": _SENTENCE * 9},
        {"role": "user", "content": "Why does a gateway need back-pressure?"},
    ]
    return json.dumps({"model": MODEL, "stream": stream, "temperature": 0.2, "messages": messages}).encode()


def image_body(size: int) -> bytes:
    """
    :param size: of the image as it stands in the call, in bytes.
    :return: a chat call without a stream that shows it to the model.
    """
    # In order and repeated, as no picture is; what counts is that it is valid base64 and as long as one.
    data = (b64encode(bytes(range(256)) * (size // 340 + 1)))[: size - size % 4].decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
    ]
    return json.dumps(
        {"model": MODEL, "max_completion_tokens": 4096, "messages": [{"role": "user", "content": parts}]}
    ).encode()


def answer() -> bytes:
    """The answer to a call without a stream, about 1 KB."""
    message = {"role": "assistant", "content": ANSWERED}
    usage = {"prompt_tokens": 190, "completion_tokens": 150, "total_tokens": 340}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"id": "chatcmpl-bench", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
    ).encode()


def is_answer(body: bytes) -> bool:
    """Whether it says what ``answer`` does; a gateway may have written the JSON around it anew."""
    return ANSWERED.encode() in body


_START = f'data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","model":"{MODEL}","choices":[{{"index":0,'
_ENDING = b" sixteen letters"
CONTENT = b"%06d %020d" + _ENDING
"""What every event of a stream says, in whatever dialect: its number and the clock."""
_EVENT = _START.encode() + b'"delta":{"content":"' + CONTENT + b'"},"finish_reason":null}]}\n\n'
_LONGEST_REST = 8_192
"""Bytes between two contents. Some dialects begin and end a stream with documents of a kilobyte or two."""
_NUMBERS = [b"%06d" % number for number in range(MOST_EVENTS)]
_NO_CLOCK = b"%020d" % 0


def event(number: int, clock_ns: int) -> bytes:
    """
    One event of a stream, about 200 bytes.

    :param number: its place, from 0.
    :param clock_ns: ``time.monotonic_ns()`` at sending, which is one clock for all processes; 0 for not told.
    """
    return _EVENT % (number, clock_ns)


class WrongStream(Exception):
    """An event was lost, repeated, moved or damaged, or the end is missing; the message says which."""


class StreamCheck:
    """Follows the body of one stream, however it is cut into pieces, and looks at every event's number."""

    __slots__ = ("_all", "_end", "_repeats", "_rest", "events")

    def __init__(self, end: bytes = b"[DONE]", *, repeats: bool = False, events: int = EVENTS) -> None:
        """
        :param end: what stands in the dialect's last event and nowhere else.
        :param events: how many there are before that.
        :param repeats: whether what was said is said again behind the last delta, and has no number then.
        """
        self._end = end
        self._repeats = repeats
        self._all = events
        self._rest = b""
        self.events = 0
        """How many have come, each in its place."""

    def feed(self, data: bytes) -> list[int]:
        """
        :return: the clocks of the events that have now come; none if they do not tell.
        :raises WrongStream: another event came than the next one.
        """
        if self._repeats and self.events == self._all:
            self._rest += data
            return []
        # Less work than a regular expression: the reader must not be what limits the gateway.
        contents = (self._rest + data).split(_ENDING)
        self._rest = contents.pop()
        if self._repeats and len(contents) > self._all - self.events:
            self._rest = _ENDING.join((*contents[self._all - self.events :], self._rest))
            del contents[self._all - self.events :]
        numbers = [content[-27:-21] for content in contents]
        expected = _NUMBERS[self.events : self.events + len(numbers)]
        if numbers != expected:
            right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(numbers, expected, strict=False)))
            self.events += right
            raise WrongStream(f"in place of event {self.events} came {numbers[right]!r}")
        if len(self._rest) > _LONGEST_REST and not (self._repeats and self.events + len(numbers) == self._all):
            raise WrongStream(f"no event {self.events} in {len(self._rest)} bytes")
        self.events += len(numbers)
        if not contents or contents[0].endswith(_NO_CLOCK):
            return []
        try:
            return [int(content[-20:]) for content in contents]
        except ValueError as error:
            raise WrongStream(f"before event {self.events} a clock was damaged") from error

    def finish(self) -> None:
        """
        :raises WrongStream: the stream is not complete.
        """
        if self.events != self._all or self._end not in self._rest:
            raise WrongStream(f"the stream ended without its end marker after {self.events} events")
