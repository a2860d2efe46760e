"""A server of companies that fails as it is told to, and rows for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from company_server import Companies, Fault, company_server

from signoff.tools.crm import Row


@pytest.fixture
def companies() -> Iterator[Companies]:
    """A loopback server of companies."""
    with company_server() as kept:
        yield kept


def row_of(name: str, /, **properties: str) -> Row:
    return Row.of("leads", name, "1", name, {"licence": "BSD", **properties})


@pytest.fixture
def row() -> Callable[..., Row]:
    """Makes a row of this name."""
    return row_of


@pytest.fixture
def rows() -> list[Row]:
    return [row_of(name) for name in ("flask", "django", "bottle")]


@pytest.fixture
def times() -> Callable[..., Fault]:
    return going_wrong


def going_wrong(count: int, wrong: Any, *, method: str = "POST", path: str = "upsert") -> Fault:
    """This goes wrong with the first so many of such requests; several in turn if it is a list."""
    left = list(wrong) if isinstance(wrong, list) else [wrong] * count

    def fault(asked: str, where: str, _body: Any) -> Any:
        return left.pop(0) if asked == method and path in where and left else None

    return fault
