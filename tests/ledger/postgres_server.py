"""A PostgreSQL server for as long as tests need it: in a temporary folder, on a socket in it, and on no port."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

__all__ = ["REQUIRED", "found", "running_server"]

REQUIRED = "LLMGATEWAY_TEST_POSTGRES"
"""Set to ``required`` in the environment: tests without a server fail and are not skipped."""


def found() -> Path | None:
    """:return: the folder with the server's programs, where there is one."""
    for name in ("initdb", "postgres"):
        program = shutil.which(name)
        if program is not None and Path(program).resolve().with_name("initdb").exists():
            return Path(program).resolve().parent
    versions = Path("/usr/lib/postgresql")
    there = [path.parent for path in versions.glob("*/bin/initdb")] if versions.exists() else []
    return max(there, key=lambda path: int(path.parent.name), default=None)


def _user() -> str | None:
    """:return: who runs the server: it refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """
    :return: the URL of a database in it.
    """
    # A socket's path has at most 107 bytes, which pytest's folders exceed.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = _user()
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        _run(user, programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        # Nobody needs what it writes after the tests.
        fast = "-F -c full_page_writes=off -c shared_buffers=16MB"
        told = f"{fast} -c listen_addresses='' -k {folder}"
        log = folder / "log"
        _run(user, programs / "pg_ctl", "-D", data, "-l", log, "-w", "-t", "30", "-o", told, "start")
        try:
            yield f"postgresql://tester@/postgres?host={quote(str(folder), safe='')}"
        finally:
            _run(user, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(user: str | None, *command: object) -> None:
    # The server keeps the descriptors that it is started with: with a pipe this would wait for its end.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [str(each) for each in command], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", user=user
        )
        said.seek(0)
        assert done.returncode == 0, f"{command}\n{said.read().decode(errors='replace')}"
