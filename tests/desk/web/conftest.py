"""The page over a ledger of its own, and somebody who is signed in at it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from desk_pages import OFFICE, Office, Page

from signoff import Ledger
from signoff.checkpoints import configured_ledger
from signoff.desk.web.context import PageContext
from signoff.desk.web.identity import Identity
from signoff.settings import load_settings


@pytest.fixture
def office(home: Path) -> Path:
    path = home / "office.py"
    path.write_text(OFFICE)
    return path


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(configured_ledger(load_settings())) as found:
        yield found


@pytest.fixture
def desk(office: Path, ledger: Ledger) -> Iterator[Office]:
    context = PageContext(load_settings(), ledger, Identity(ledger), teams_offered=("office.py:team",))
    yield Office(ledger, context)
    while under_way := context.background.alive:  # else it would write where the next test, or nobody, is
        context.background.wait(under_way[0], 60)


@pytest.fixture
def ann(desk: Office) -> Page:
    return desk.visit("ann")
