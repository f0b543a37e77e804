"""The gateway in a site of somebody's own, whose idle clients are closed after ``brief_site.py SECONDS``."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString

from llm_gateway.demo.listener import demo_keys_file
from llm_gateway.settings import Settings
from llm_gateway.tap import make_gateway
from llm_gateway.wire.server import Site


async def main(reactor: Any, idle_s: str) -> None:
    settings = Settings(
        keys_file=demo_keys_file(), aiservices_file=None, demo=True, listen=(), access_log=None, health_interval_s=0
    )
    gateway = make_gateway(settings, reactor)
    gateway.service.startService()
    site = Site(gateway.resource, timeout=float(idle_s), reactor=reactor)
    listening = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
    print(f"Listening on http://127.0.0.1:{listening.getHost().port}", flush=True)
    await Deferred()


if __name__ == "__main__":
    task.react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
