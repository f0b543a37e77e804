"""One gateway whose keys have several real ones behind them, between providers that fail and clients that go on."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from tests.real.client import Answer, Client, eventually
from tests.real.gateway import RunningGateway, running_gateway
from tests.real.inbox import BOUND_S
from tests.real.provider import Provider
from tests.real.routing import mortal
from tests.real.scene import PATHS, asking

__all__ = ["Flow", "MortalProvider", "Stage", "first_and_second", "saying", "stage"]

CHAT = PATHS["openai"]


def saying(what: str, *, model: str = "m-1", **more: Any) -> bytes:
    """The body of a chat call, which a provider of ours may go by."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": what}], **more}).encode()


@attrs.frozen
class Stage:
    """A running gateway, and what a test asks of it."""

    gateway: RunningGateway

    def client(self, *, bound_s: float = BOUND_S) -> Client:
        return Client(self.gateway.port, bound_s=bound_s)

    def call(
        self,
        key: str,
        body: bytes | None = None,
        *,
        target: str = CHAT,
        method: str = "POST",
        fields: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call on a connection of its own."""
        with self.client() as client:
            return client.call(
                method, target, {**asking(key), **(fields or {})}, saying("hello") if body is None else body
            )

    def calls(self, count: int, key: str, body: bytes | None = None, *, at_once: int = 1) -> list[Answer]:
        """So many calls, ``at_once`` of them side by side."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda _: self.call(key, body), range(count)))

    def asked(self, key: str, body: bytes | None = None) -> Client:
        """A client that has sent a call and waits for its answer."""
        client = self.client()
        client.ask("POST", CHAT, asking(key), saying("hello") if body is None else body)
        return client

    def page(self, target: str, key: str | None = None) -> Any:
        """One of the gateway's own pages."""
        with self.client() as client:
            return client.call("GET", target, asking(key) if key else None).json()

    def health(self, provider: str) -> dict[str, Any]:
        """What ``GET /health`` says of one provider."""
        [shown] = self.page(f"/health?provider={provider}")["providers"]
        found: dict[str, Any] = shown
        return found

    def in_state(self, provider: str, state: str) -> None:
        """Wait until the provider as a whole is in this state."""
        eventually(lambda: self.health(provider)["state"] == state, f"{provider} is {state}")

    def slots(self) -> tuple[int, int]:
        """Slots in use and calls in queues, of all providers together."""
        shown = [each["calls"] for each in self.page("/health")["providers"]]
        return sum(each["in_flight"] for each in shown), sum(each["waiting"] for each in shown)

    def live_calls(self) -> int:
        """The calls that are being answered, by all workers together."""
        found: int = self.page("/readyz")["calls"]
        return found

    def wait_for_slots(self, in_use: int, waiting: int = 0) -> None:
        """Wait until so many slots are in use and so many calls in queues, and until there are no other calls."""

        def as_wanted() -> bool:
            return self.slots() == (in_use, waiting) and self.live_calls() == in_use + waiting

        eventually(as_wanted, f"{in_use} slots in use and {waiting} calls waiting")

    def reload(self) -> None:
        """Have the files read anew."""
        after = len(self.gateway.lines)
        self.gateway.process.send_signal(signal.SIGHUP)
        self.told("Configuration read anew", after=after)

    def told(self, pattern: str, *, after: int = 0) -> str:
        """The first line of the log that matches, as soon as it is there."""
        return self.gateway.wait_for(pattern, after=after)

    def lines_with(self, *words: str) -> list[str]:
        """The lines of the log so far that hold all of these."""
        return [line for line in self.gateway.output.splitlines() if all(word in line for word in words)]


def first_and_second(name: str, urls: Sequence[str], **more: Any) -> dict[str, Any]:
    """
    Two providers for one key, the first of which gets into trouble.

    :param more: what is said of both.
    """
    return {f"{name}-{which}": {"url": f"{url}{CHAT}", **more} for which, url in zip(("1st", "2nd"), urls, strict=True)}


@contextmanager
def stage(
    bin_dir: Path,
    folder: Path,
    *options: str,
    providers: Mapping[str, Any],
    routing: Mapping[str, Any] | None = None,
    keys: Mapping[str, Sequence[Any]],
    credentials: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Stage]:
    """
    Start the gateway, and see at the end that no slot is in use and nothing has gone wrong in it.

    :param providers: as in ``aiservices.json``. Each has a credential of its name.
    :param routing: what stands under ``$routing``.
    :param keys: by virtual key: its credentials.
    :param credentials: more of them. Where nothing is said of its real key, it is ``sk-real-`` and the name.
    """
    everything = {**{name: {"provider": name} for name in providers}, **(credentials or {})}
    settings = ("--access-log-format", "json", "--health-interval", "0", "--reload-interval", "0")
    with running_gateway(
        bin_dir,
        folder,
        *settings,
        *options,
        keys={key: {"name": key.removeprefix("vk_"), "credentials": list(uses)} for key, uses in keys.items()},
        credentials={name: {"api_key": f"sk-real-{name}", **said} for name, said in everything.items()},
        providers={"$routing": routing or {}, **providers},
    ) as gateway:
        staged = Stage(gateway)
        yield staged
        staged.wait_for_slots(0)
        for wrong in ("Traceback", "fault in the gateway", "sk-real"):
            assert wrong not in gateway.output, gateway.output


@attrs.frozen
class Called:
    """One call of a flow."""

    status: int
    provider: str | None
    attempts: int
    began_at: float
    """On the clock on which the gateway tells when states began."""
    ended_at: float

    @property
    def took_s(self) -> float:
        return self.ended_at - self.began_at


class Flow:
    """Clients that call again and again, each on a connection of its own, for the length of a block."""

    def __init__(self, staged: Stage, key: str, clients: int = 4) -> None:
        self._staged = staged
        self._key = key
        self._news = threading.Condition()
        self._over = False
        self.calls: list[Called] = []
        """In the order in which they ended."""
        self.faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Flow:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over = True
        for each in self._threads:
            each.join(BOUND_S)
            assert not each.is_alive()
        assert not self.faults, self.faults

    def wait_for(self, holds: Callable[[list[Called]], bool], what: str, bound_s: float = BOUND_S) -> None:
        """
        :param holds: looks at the calls that have ended so far.
        """
        with self._news:
            if not self._news.wait_for(lambda: bool(self.faults) or holds(self.calls), bound_s) or self.faults:
                raise AssertionError(f"not within {bound_s:g} s: {what}; {self.calls[-5:]}; faults: {self.faults}")

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more calls have ended."""
        wanted = len(self.calls) + count
        self.wait_for(lambda calls: len(calls) >= wanted, f"{count} more calls")

    def since(self, when: float) -> list[Called]:
        """The calls that began after ``when``."""
        return [each for each in self.calls if each.began_at >= when]

    def _run(self) -> None:
        try:
            with self._staged.client() as client:
                while not self._over:
                    began_at = time.time()
                    answer = client.call("POST", CHAT, asking(self._key), saying("hello"))
                    called = Called(
                        answer.status,
                        answer.value("x-gw-provider"),
                        int(answer.value("x-gw-attempts") or 0),
                        began_at,
                        time.time(),
                    )
                    with self._news:
                        self.calls.append(called)
                        self._news.notify_all()
        except BaseException as error:
            with self._news:
                self.faults.append(error)
                self._news.notify_all()


class MortalProvider:
    """A provider that is a program of its own. It comes back on the same port."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        # Bound and not listening: while the provider is down nobody else gets its port, and who connects is refused.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._place.getsockname()[1]}"

    def __enter__(self) -> MortalProvider:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.kill()
        self._place.close()

    def start(self) -> None:
        """It takes calls when this returns."""
        command = [sys.executable, mortal.__file__, self.url.rpartition(":")[2]]
        process = self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"

    def kill(self) -> None:
        """With SIGKILL, whatever it is doing. May be called again."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=BOUND_S)


def scripted(provider: Provider, answers: Sequence[bytes], otherwise: bytes) -> None:
    """
    Have a provider give these answers one after the other.

    :param otherwise: what it answers when it has given them all.
    """
    left = list(answers)
    provider.script = lambda exchange: exchange.send(left.pop(0) if left else otherwise)
