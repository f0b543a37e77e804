"""The command line of ``twistd llmgateway``, and what it and the environment come to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import ClassVar

from twisted.internet.endpoints import serverFromString
from twisted.python import usage

from llm_gateway import __version__
from llm_gateway.config.load import choose_files, choose_prices, load_configuration
from llm_gateway.config.values import Configuration
from llm_gateway.core.prices.said import BadPrice
from llm_gateway.errors import ConfigurationError
from llm_gateway.fleet.pid_file import PidFile
from llm_gateway.fleet.succession import Succession, succession
from llm_gateway.settings import BACKLOG, DEFAULT_PORT, WHEN_FULL, WIRES, Settings
from llm_gateway.web.access_log import FORMATS

DEFAULTS = Settings()

LEDGER_FILE = "llmgateway-ledger.sqlite"

_DESCRIPTION = """
A gateway between programs and LLM providers. Applications hold virtual keys;
the real keys of OpenAI, Anthropic, DeepSeek and compatible providers stay here.
Any SDK works by changing its base URL and its key.

  twistd -n llmgateway --demo   try it: no key, no network
  twistd -n llmgateway          with this folder's keys.json and aiservices.json
  llmgateway check              look for mistakes in both files
  llmgateway chat -h            talk to a running gateway

Environment:
  KEYS_FILE, AISERVICES_FILE, GATEWAY_PORT and LEDGER stand for --keys,
  --aiservices, --port and --ledger, which win.

Endpoints for --listen, among others:
  tcp:8080:interface=127.0.0.1
  ssl:443:privateKey=key.pem:certKey=cert.pem
  unix:/run/llmgateway.sock
  systemd:domain=INET:index=0

Signals:
  SIGHUP             read both files again and open the access log anew
  SIGTERM, SIGINT    refuse new calls and let running ones finish; a second one
                     ends those too
  SIGUSR2            start the program anew, leave the addresses to it once it
                     answers, finish the running calls, and end
"""


class Options(usage.Options):
    """The command line of ``twistd llmgateway``."""

    synopsis = "[options]"
    # What Twisted would wrap into one paragraph; see getUsage.
    longdesc = ""

    optFlags: ClassVar = [
        ["demo", None, "Answer from a built-in provider with example keys, on loopback: no real key, no network."],
    ]

    optParameters: ClassVar = [
        ["keys", "k", None, "File with the virtual keys. [default: keys.json]"],
        ["aiservices", "a", None, "File with the providers. [default: aiservices.json, or the shipped one]"],
        ["port", "p", None, "TCP port to listen on, on all interfaces. [default: 8080]"],
        ["wire", None, DEFAULTS.wire, "Implementation of HTTP/1.1: llhttp, or twisted for Twisted's own."],
        ["workers", "w", DEFAULTS.workers, 'Processes that answer calls; "auto" for one per core.'],
        ["drain-timeout", None, f"{DEFAULTS.drain_timeout_s:g}", "Seconds that running calls get after SIGTERM."],
        ["health-interval", None, f"{DEFAULTS.health_interval_s:g}", "Seconds between two health checks; 0 for none."],
        ["health-timeout", None, f"{DEFAULTS.health_timeout_s:g}", "Seconds that a provider has to answer one."],
        ["reload-interval", None, f"{DEFAULTS.reload_interval_s:g}", "Seconds between looks at the files; 0 for none."],
        [
            "access-log",
            None,
            None,
            'File for a line per call, "-" for standard output, "none". [default: "-"; '
            '"llmgateway-access.log" when daemonised]',
        ],
        ["access-log-format", None, DEFAULTS.access_log_format, "text or json."],
        ["max-body-size", None, DEFAULTS.max_body_bytes, "Largest request body, in bytes."],
        [
            "ledger",
            None,
            None,
            f'SQLite file or postgresql://... for what calls use; "none". [default: {LEDGER_FILE}]',
        ],
        ["journal", None, None, "Folder for what is not in the ledger's database yet. [default: beside the file]"],
        ["ledger-when-full", None, DEFAULTS.ledger_when_full, "What becomes of calls then: refuse or drop."],
        ["ledger-retention", None, f"{DEFAULTS.ledger_retention_days:g}", "Days that attempts are kept; 0 for ever."],
        ["prices", None, None, "File with prices in place of the shipped ones; see llmgateway prices."],
        ["warn-webhook", None, None, "URL that is told when a limit's share for a warning is passed."],
        ["admin-key-file", None, None, "File with the keys of the admin API, which is off without one."],
        ["pool-size", None, DEFAULTS.pool_size, "Idle connections kept open to each provider."],
        ["pool-idle", None, f"{DEFAULTS.pool_idle_s:g}", "Seconds that an idle connection is kept."],
    ]

    environ: Mapping[str, str] = os.environ

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.admin_listen: list[str] = []
        self.settings = DEFAULTS
        self.pid_file = PidFile(None)
        self.succession: Succession | None = None

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to listen on instead of --port; may be given several times."""
        self.listen.append(endpoint)

    opt_l = opt_listen

    def opt_admin_listen(self, endpoint: str) -> None:
        """Twisted endpoint for the admin API instead of those of the calls; may be given several times."""
        self.admin_listen.append(endpoint)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"llm-gateway {__version__}")
        sys.exit(0)

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + _DESCRIPTION

    def postOptions(self) -> None:
        """
        :raises usage.UsageError: an option or an environment variable is wrong.
        :raises SystemExit: a configuration file is.
        """
        keys_file, aiservices_file = self._files()
        self.pid_file = PidFile(getattr(self, "parent", None))
        self.succession = succession(self.environ, self.pid_file)
        self.settings = Settings(
            keys_file=keys_file,
            aiservices_file=aiservices_file,
            listen=self._listen(),
            demo=bool(self["demo"]),
            wire=self._one_of("wire", WIRES),
            workers=self._workers(),
            drain_timeout_s=self._number("drain-timeout", 0),
            health_interval_s=self._number("health-interval", 0),
            health_timeout_s=self._number("health-timeout", 0.001),
            reload_interval_s=self._number("reload-interval", 0),
            access_log=self._access_log(),
            access_log_format=self._one_of("access-log-format", FORMATS),
            max_body_bytes=self._whole_number("max-body-size", 1),
            ledger=self._ledger(),
            journal=self["journal"] and os.path.abspath(self["journal"]),
            ledger_when_full=self._one_of("ledger-when-full", WHEN_FULL),
            ledger_retention_days=self._number("ledger-retention", 0),
            prices_file=self._prices(),
            warn_webhook=self._url("warn-webhook"),
            admin_key_file=self._admin_keys(),
            admin_listen=self._admin_listen(),
            pool_size=self._whole_number("pool-size", 0),
            pool_idle_s=self._number("pool-idle", 0),
        )
        try:
            loader(self.settings, self.environ)()
        except ConfigurationError as error:
            # Not a UsageError, before which twistd would print the whole help.
            raise SystemExit(f"llmgateway: the configuration cannot be used.\n{error}") from error

    def _files(self) -> tuple[str, str | None]:
        keys_file, aiservices_file = choose_files(self["keys"], self["aiservices"], self.environ)
        if self["demo"]:
            from llm_gateway.demo.listener import demo_keys_file

            # What lies about in the current directory is for real calls; what was named is meant.
            if not (self["keys"] or self.environ.get("KEYS_FILE")):
                keys_file = demo_keys_file()
            if not (self["aiservices"] or self.environ.get("AISERVICES_FILE")):
                aiservices_file = None
        # Absolute, since --rundir changes what a relative path means.
        return os.path.abspath(keys_file), aiservices_file and os.path.abspath(aiservices_file)

    def _listen(self) -> tuple[str, ...]:
        if self.listen and self["port"] is not None:
            raise usage.UsageError("--port and --listen exclude each other; put the port into --listen.")
        if self.listen:
            for endpoint in self.listen:
                if not self._inherits(endpoint):
                    _check_endpoint(endpoint)
            return tuple(self.listen)
        source, value = "--port", self["port"]
        if value is None:
            source, value = "GATEWAY_PORT", self.environ.get("GATEWAY_PORT") or str(DEFAULT_PORT)
        if not (value.isascii() and value.isdigit() and int(value) <= 65535):
            raise usage.UsageError(f"{source} must be a port number from 0 to 65535, not {value!r}.")
        return (f"tcp:{int(value)}:backlog={BACKLOG}" + (":interface=127.0.0.1" if self["demo"] else ""),)

    def _admin_listen(self) -> tuple[str, ...]:
        if self.admin_listen and self._named_admin_keys() is None:
            raise usage.UsageError("--admin-listen needs --admin-key-file: without a key nobody is let in.")
        for endpoint in self.admin_listen:
            if not self._inherits(endpoint):
                _check_endpoint(endpoint, "--admin-listen")
        return tuple(self.admin_listen)

    def _named_admin_keys(self) -> str | None:
        return self["admin-key-file"] or self.environ.get("ADMIN_KEY_FILE") or None

    def _admin_keys(self) -> str | None:
        named = self._named_admin_keys()
        if named is None:
            return None
        if self._ledger() is None:
            raise usage.UsageError("--admin-key-file needs a ledger: keys that are made at run time are kept there.")
        from llm_gateway.web.admin.admission import read_admin_keys

        try:
            read_admin_keys(named)
        except ConfigurationError as error:
            raise usage.UsageError(f"--admin-key-file: {error}") from error
        return os.path.abspath(named)

    def _inherits(self, endpoint: str) -> bool:
        """Whether it is one that only the first program on it can make anything of: systemd tells of it once."""
        inherited = () if self.succession is None else self.succession.sockets
        return endpoint.startswith("systemd:") and any(endpoint == description for description, _ in inherited)

    def _workers(self) -> int:
        if self["workers"] == "auto":
            return usable_cores()
        text = str(self["workers"])
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
            raise usage.UsageError(f'--workers must be a number from 1 to 1024, or "auto", not {text!r}.')
        return int(text)

    def _number(self, name: str, least: float) -> float:
        try:
            value = float(self[name])
        except ValueError:
            value = float("nan")
        if not least <= value <= 1e9:
            raise usage.UsageError(f"--{name} must be a number of at least {least:g}, not {self[name]!r}.")
        return value

    def _whole_number(self, name: str, least: int) -> int:
        text = str(self[name])
        if not (text.isascii() and text.isdigit() and least <= int(text) <= 10**12):
            raise usage.UsageError(f"--{name} must be a whole number of at least {least}, not {text!r}.")
        return int(text)

    def _access_log(self) -> str | None:
        named: str | None = self["access-log"]
        if named is None:
            # A daemon has no standard output.
            parent = getattr(self, "parent", None) or {}
            named = "-" if parent.get("nodaemon", True) else "llmgateway-access.log"
        if named == "none":
            return None
        return named if named == "-" else os.path.abspath(named)

    def _ledger(self) -> str | None:
        named: str = self["ledger"] or self.environ.get("LEDGER") or LEDGER_FILE
        if named == "none":
            return None
        from llm_gateway.ledger.store import BadUrl, open_store

        try:
            open_store(named)
        except BadUrl as error:
            raise usage.UsageError(f"--ledger: {error}") from error
        if named.startswith(("postgresql:", "postgres:")):
            return named
        # Absolute, since --rundir changes what a relative path means.
        return os.path.abspath(named.removeprefix("sqlite:"))

    def _prices(self) -> str | None:
        named = choose_prices(self["prices"], self.environ)
        if named is None:
            return None
        from llm_gateway.config.prices import read_price_file

        try:
            read_price_file(Path(named))
        except (OSError, BadPrice) as error:
            raise usage.UsageError(f"--prices: {error}") from error
        return os.path.abspath(named)

    def _url(self, name: str) -> str | None:
        named: str | None = self[name]
        if named is not None and not re.match("https?://[^/]", named):
            raise usage.UsageError(f"--{name} must be a URL that begins with http:// or https://.")
        return named

    def _one_of(self, name: str, known: Collection[str]) -> str:
        named: str = self[name]
        if named not in known:
            raise usage.UsageError(f"--{name} must be {' or '.join(sorted(known))}, not {named!r}.")
        return named


def usable_cores() -> int:
    """
    :return: how many cores this process may run on.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def loader(settings: Settings, environ: Mapping[str, str]) -> Callable[[], Configuration]:
    """
    :return: reads both files anew each time; raises ``ConfigurationError``.
    """
    return lambda: load_configuration(settings.keys_file, settings.aiservices_file, environ)


def _check_endpoint(endpoint: str, option: str = "--listen") -> None:
    try:
        # The reactor is kept for later, not used.
        serverFromString(object(), endpoint)
    except Exception as error:
        raise usage.UsageError(f"{option} {endpoint!r} is not a Twisted endpoint that works: {error}") from error
