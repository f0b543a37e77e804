"""The file with the program's pid, which twistd writes, checks and removes for one process and not for two."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

from twisted.logger import Logger

_log = Logger()

_OPTION = "pidfile"


class PidFile:
    """
    Which process the file belongs to while one program takes over from another.

    twistd looks into its options at the end for a file to remove, and at the start for one that nobody else may have:
    without an entry there it does neither.
    """

    def __init__(self, twistd_options: MutableMapping[str, Any] | None) -> None:
        """
        :param twistd_options: those in front of ``llmgateway``; ``None``, or without an entry, for other runners.
        """
        self._options = {} if twistd_options is None else twistd_options
        self._path: str = self._options.get(_OPTION) or ""

    def wait(self) -> None:
        """Leave the file to the process that still has it. To be called before twistd looks at it."""
        if self._path:
            self._path = os.path.abspath(self._path)
            self._options[_OPTION] = ""

    def take(self) -> None:
        """Put the own pid into the file, which never is without one, and have twistd remove it at the end."""
        if not self._path:
            return
        beside = f"{self._path}.{os.getpid()}"
        try:
            with open(beside, "w") as file:
                file.write(str(os.getpid()))
            os.replace(beside, self._path)
        except OSError as error:
            _log.error("The pid file still has the pid of the program before: {error}", error=error)
            return
        self._options[_OPTION] = self._path

    def leave(self) -> None:
        """It is another process's now."""
        if self._path:
            self._options[_OPTION] = ""
