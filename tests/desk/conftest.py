"""The `signoff` command in this process, and a folder of documents to ask about."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TIDES = """# Tides

The tide rises and falls twice a day because the moon pulls the water of the ocean.
The difference between high and low water is called the tidal range.

## Spring tides

Spring tides happen at full moon and at new moon, when the sun and the moon pull in one line.
The tidal range is largest during a spring tide.
"""
HARBOUR = """# Harbour rules

Ships longer than 80 metres must take a pilot on board.
The harbour master closes the lock when the tidal range exceeds six metres.
"""


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Signoff = Callable[..., Said]


@pytest.fixture
def documents(home: Path) -> Path:
    folder = home / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text(TIDES)
    (folder / "harbour.md").write_text(HARBOUR)
    return folder


@pytest.fixture
def signoff(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Signoff:
    from signoff.desk.cli.app import main

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["signoff", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return call
