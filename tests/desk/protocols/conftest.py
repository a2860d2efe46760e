"""An office whose teams are served, and people who have tokens."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from desk_pages import OFFICE

from signoff import Ledger
from signoff.checkpoints import configured_ledger
from signoff.desk.offers import read_offers
from signoff.desk.service import Service
from signoff.settings import load_settings

TEAMS = ("office.py:team", "office.py:two", "office.py:soon", "office.py:asks")


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(configured_ledger(load_settings())) as found:
        yield found


@pytest.fixture
def service(home: Path, ledger: Ledger) -> Service:
    (home / "office.py").write_text(OFFICE)
    return Service(load_settings(), ledger, read_offers(TEAMS, load_settings()), page="http://desk.test")
