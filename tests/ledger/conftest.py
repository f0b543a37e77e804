"""A database for each test, of either kind."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_gateway.ledger.store import Store, open_store
from tests.ledger.postgres_server import REQUIRED, found, running_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a server that runs as long as the tests do."""
    programs = found()
    if programs is None:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{REQUIRED} says that PostgreSQL is required, and there is no server")
        pytest.skip("there is no PostgreSQL server on this machine")
    with running_server(programs) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    server: str = request.getfixturevalue("postgres_url")
    return new_schema(server)


def new_schema(server: str) -> str:
    """:return: the URL of a part of the server's database where nothing is yet."""
    import psycopg

    name = f"test{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create schema {name}".encode())
    return f"{server}&options=-csearch_path%3D{name}"


@pytest.fixture
def opened() -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes them after the test."""
    stores = []

    def open_one(url: str) -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield open_one
    for each in stores:
        each.close()


@pytest.fixture
def store(url: str, opened: Callable[[str], Store]) -> Store:
    """A database of either kind, empty."""
    return opened(url)
