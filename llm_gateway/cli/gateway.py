"""A running gateway, as the commands that talk to one reach it."""

from __future__ import annotations

import argparse
import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

import msgspec

__all__ = ["DEFAULT_URL", "NoAnswer", "RunningGateway", "Unreachable", "add_arguments", "key_of", "url_of"]

DEFAULT_URL = "http://127.0.0.1:8080"


class NoAnswer(Exception):
    """There is no answer, or only part of one. The message is one line for a person."""


class Unreachable(NoAnswer):
    """Nothing came that could be one."""


def add_arguments(parser: argparse.ArgumentParser, timeout_s: float) -> None:
    """
    Add what says which gateway, and who asks.

    :param timeout_s: the default of ``--timeout``.
    """
    parser.add_argument("--key", help="the virtual key (default: $LLMGATEWAY_KEY)")
    parser.add_argument("--url", help=f"the gateway's address (default: $LLMGATEWAY_URL, else {DEFAULT_URL})")
    parser.add_argument(
        "--timeout",
        type=float,
        default=timeout_s,
        metavar="S",
        help=f"longest silence in seconds (default: {timeout_s:g})",
    )


def key_of(
    options: argparse.Namespace, environ: Mapping[str, str], parser: argparse.ArgumentParser, *, sent: bool = True
) -> str:
    """
    :param sent: whether it is to go into a header.
    :return: the virtual key. It is nowhere shown.
    :raises SystemExit: there is none that could be sent, and the parser has said so.
    """
    key: str = options.key or environ.get("LLMGATEWAY_KEY") or ""
    if not key:
        parser.error("a virtual key is needed: --key KEY, or LLMGATEWAY_KEY in the environment")
    if sent and not (key.isascii() and key.isprintable()):
        parser.error("a key has printable ASCII characters only")
    return key


def url_of(options: argparse.Namespace, environ: Mapping[str, str], parser: argparse.ArgumentParser) -> SplitResult:
    """
    :return: the gateway's address, without a slash at its end.
    :raises SystemExit: it is none, and the parser has said so.
    """
    address = (options.url or environ.get("LLMGATEWAY_URL") or DEFAULT_URL).rstrip("/")
    try:
        url = urlsplit(address)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        parser.error(f"--url must look like {DEFAULT_URL}, not {address!r}")
    return url


class RunningGateway(msgspec.Struct, frozen=True):
    """Where it is, and how patient we are."""

    url: SplitResult
    timeout_s: float
    """The longest silence."""

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> http.client.HTTPResponse:
        """
        :param path: with the query, behind the path of the URL.
        :return: an answer that has begun.
        :raises NoAnswer: nobody answers, or not in HTTP.
        """
        url = self.url
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=self.timeout_s)
        try:
            with self._network_errors():
                connection.request(method, url.path + path, body or None, {**headers, "connection": "close"})
                return connection.getresponse()
        except NoAnswer:
            connection.close()
            raise

    def chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """
        :return: the body as it arrives.
        :raises NoAnswer: it is not whole.
        """
        while True:
            with self._network_errors():
                chunk = response.read1(65536)
            if not chunk:
                break
            yield chunk
        if response.length:
            raise NoAnswer("the answer broke off: the connection closed inside it")

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        """Turn what ``http.client`` and the socket raise into one line."""
        address = self.url.geturl()
        try:
            yield
        except ConnectionRefusedError as error:
            message = f"nothing listens at {address}; start a gateway with: twistd -n llmgateway --demo"
            raise Unreachable(message) from error
        except TimeoutError as error:
            raise Unreachable(f"nothing came from {address} for {self.timeout_s:g} s (--timeout)") from error
        except http.client.IncompleteRead as error:
            raise NoAnswer("the answer broke off: the connection closed inside it") from error
        except http.client.RemoteDisconnected as error:
            raise Unreachable(f"{address} closed the connection without an answer") from error
        except http.client.HTTPException as error:
            raise Unreachable(f"{address} does not speak HTTP as expected: {error!r}") from error
        except OSError as error:
            raise Unreachable(f"cannot reach {address}: {error}") from error
