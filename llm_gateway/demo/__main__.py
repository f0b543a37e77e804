"""Run the demo provider alone: ``python -m llm_gateway.demo --port 0``."""

from __future__ import annotations

import argparse
import sys
import typing
from collections.abc import Sequence

from twisted.internet.address import IPv4Address
from twisted.web.server import Site

from llm_gateway.demo import script
from llm_gateway.demo.resource import demo_resource


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m llm_gateway.demo",
        description="Play OpenAI, DeepSeek, Anthropic and Google on 127.0.0.1, below /openai/v1, /deepseek/v1, "
        "/anthropic/v1 and /gemini/v1beta.",
        epilog=script.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8081, help="port to listen on; 0 picks a free one (default: 8081)")
    parser.add_argument("--key", action="append", help="an API key to accept; may be repeated (default: demo-key)")
    parser.add_argument("--pace", type=float, default=0.03, metavar="S", help="seconds between two words of a stream")
    options = parser.parse_args(argv)

    # Here and not above: importing it installs it, and a module that is only imported must not choose the reactor.
    from twisted.internet import reactor

    site: typing.Any = Site(demo_resource(reactor, options.key or ["demo-key"], pace_s=options.pace))
    address = reactor.listenTCP(options.port, site, interface="127.0.0.1").getHost()
    assert isinstance(address, IPv4Address)
    print(f"Demo provider on http://127.0.0.1:{address.port}", flush=True)
    reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
