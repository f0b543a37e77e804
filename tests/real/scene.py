"""The gateway between a scripted provider and raw clients: what most tests on the wire need."""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.real.client import Answer, Client, Turns, eventually
from tests.real.gateway import RunningGateway, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.provider import Provider, running_provider

PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
}
"""A chat path of each dialect; on it the key ``vk_{dialect}`` is let through."""

BODY = b'{"model": "m-1", "messages": []}'

_numbers = itertools.count(1)


@attrs.frozen
class Scene:
    """One gateway, its provider in three dialects, and what a test asks of them."""

    gateway: RunningGateway
    provider: Provider
    turns: Turns

    def client(self, *, receive_buffer: int | None = None, bound_s: float = BOUND_S) -> Client:
        return Client(self.gateway.port, receive_buffer=receive_buffer, bound_s=bound_s)

    def call(
        self,
        target: str,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = BODY,
        *,
        method: str = "POST",
        key: str | None = "vk_openai",
    ) -> Answer:
        """One call on a connection of its own."""
        with self.client() as client:
            return client.call(method, target, {**(asking(key) if key else {}), **(fields or {})}, body)

    def logged(self, name: str, bound_s: float = BOUND_S) -> dict[str, Any]:
        """
        :param name: a call's ``x-request-id``, as :func:`named` gives it.
        :return: the call's line in the access log, as soon as it is there.
        """
        line = self.gateway.wait_for(rf'"client_request_id":"{name}"', timeout_s=bound_s)
        record: dict[str, Any] = json.loads(line)
        return record


@contextmanager
def scene(
    bin_dir: Path,
    folder: Path,
    *options: str,
    timeouts: Mapping[str, float] | None = None,
    environ: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    send_buffer: int | None = None,
    more: Callable[[Provider], Mapping[str, Any]] | None = None,
) -> Iterator[Scene]:
    """
    :param options: of the gateway.
    :param timeouts: the provider's clocks.
    :param send_buffer: of the provider's connections, in bytes.
    :param more: from the provider to more entries of ``aiservices.json``; each gets a key ``vk_{name}``.
    """
    with running_provider(tls=tls, send_buffer=send_buffer) as provider:
        providers: dict[str, Any] = {
            "openai": {"url": f"{provider.url}/v1/chat/completions"},
            "anthropic": {"url": f"{provider.url}/v1/messages"},
            "gemini": {"base_url": f"{provider.url}/v1beta"},
        }
        for each in providers.values():
            each["timeouts"] = dict(timeouts or {})
        providers.update(more(provider) if more else {})
        keys = {f"vk_{name}": {"provider": name, "api_key": f"sk-real-{name}"} for name in providers}
        keys["vk_nowhere"] = {"provider": "nowhere", "api_key": "sk-real-nowhere"}
        settings = ("--access-log-format", "json", "--health-interval", "0", "--reload-interval", "0")
        with running_gateway(
            bin_dir, folder, *settings, *options, keys=keys, providers=providers, environ=environ
        ) as gateway:
            turns = Turns(gateway.port)
            try:
                yield Scene(gateway, provider, turns)
            finally:
                turns.close()


def asking(key: str = "vk_openai") -> dict[str, str]:
    """The headers of a JSON call with this key."""
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def named() -> tuple[str, dict[str, str]]:
    """A name for a call to be found by in the access log, and the header that gives it."""
    name = f"call-{next(_numbers)}."
    return name, {"X-Request-Id": name}


def settled_sockets(gateway: RunningGateway, at_most: int) -> None:
    """Wait until the gateway holds no more than so many sockets."""
    eventually(lambda: gateway.open_sockets() <= at_most, f"no more than {at_most} sockets open")
