#!/usr/bin/env python3
"""
The gateway inside another Twisted program: its paths below ``/llm``, beside a page of the program's own.

    python embed.py                      # on port 8000, answering from the built-in demo provider
    python embed.py 8000 keys.json       # with your own keys

OPENAI_BASE_URL is then http://127.0.0.1:8000/llm/v1 and ANTHROPIC_BASE_URL http://127.0.0.1:8000/llm.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from llm_gateway.demo.listener import demo_keys_file
from llm_gateway.settings import Settings
from llm_gateway.tap import make_gateway


async def main(reactor: Any, port: str = "8000", keys_file: str | None = None) -> None:
    startLogging(sys.stdout, setStdout=False)
    # It listens nowhere itself. Without an aiservices.json it knows the providers that ship with it.
    settings = Settings(
        keys_file=keys_file or demo_keys_file(), aiservices_file=None, demo=keys_file is None, listen=()
    )
    gateway = make_gateway(settings, reactor)

    root = Resource()
    root.putChild(b"", Data(b"A page of our own. The gateway is below /llm.\n", "text/plain"))
    root.putChild(b"llm", gateway.resource)

    gateway.service.startService()
    listening = await serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1").listen(Site(root))
    print(f"Listening on http://127.0.0.1:{listening.getHost().port}/llm", flush=True)

    async def stop() -> None:
        # Our own port closes after the last call, so that callers who come meanwhile are told to come back.
        await gateway.service.stopService()
        await listening.stopListening()

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))
    await Deferred()


if __name__ == "__main__":
    task.react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
