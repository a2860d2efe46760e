"""A folder with tables in it, and the tables of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from signoff.tools.analysis.tables import Tables

SALES = "region,month,amount\nnorth,2024-01,10\nnorth,2024-02,20\nsouth,2024-01,5.5\nsouth,2024-02,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for files of tables."""
    place = tmp_path / "numbers"
    place.mkdir()
    return place


@pytest.fixture
def sales(folder: Path) -> Tables:
    """One table of four rows."""
    (folder / "sales.csv").write_text(SALES)
    return Tables.open(folder)
