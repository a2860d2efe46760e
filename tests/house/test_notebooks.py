"""Every notebook runs from top to bottom in a kernel of its own."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it ships no types


def _skip_without_sandbox(notebook: Any) -> None:
    problem = Bubblewrap().problem() if "sandbox_tools" in str(notebook.cells) else ""
    if problem:
        pytest.skip(f"bubblewrap cannot be used here: {problem}")


def _outputs(notebook: Any) -> str:
    return "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, home: Path) -> None:
    notebook = _read(path)
    _skip_without_sandbox(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    assert not any(cell.get("outputs") for cell in _read(path).cells), "commit it without outputs"


def test_the_first_report_pauses_is_approved_and_shown(home: Path) -> None:
    (path,) = [path for path in NOTEBOOKS if path.stem == "01_first_report"]
    notebook = _read(path)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    shown = _outputs(notebook)
    for expected in ("image/png", "waiting", "publish_report", "written: False", "done ['done']"):
        assert expected in shown
    assert "a pilot is required for every ship" in (home / "tides-report.md").read_text()


def test_the_competitors_are_compared_and_what_changed_is_told(home: Path) -> None:
    (path,) = [path for path in NOTEBOOKS if path.stem == "03_competitors"]
    notebook = _read(path)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    shown = _outputs(notebook)
    for expected in (
        "<details><summary>contradiction: ≥ 3.10 / ≥ 3.9</summary>",
        "done ['market-evidence.csv', 'market.csv', 'market.json', 'market.md', 'market.xlsx']",
        "('TernDB', 'version', '0.13.4', '0.14.0')",
    ):
        assert expected in shown


def test_leads_are_scored_written_as_approved_and_written_once(home: Path) -> None:
    (path,) = [path for path in NOTEBOOKS if path.stem == "04_leads"]
    notebook = _read(path)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    shown = _outputs(notebook)
    for expected in (
        "confirm_lead ['otterdb', 'sealdb', 'terndb']",
        "<details><summary>contradiction: ≥ 3.10 / ≥ 3.8</summary>",
        "+3 holds urllib3 below 2 (Requires-Dist: urllib3<2,>=1.26)",
        "write_lead ['otterdb', 'sealdb']",
        "[('otterdb', '4', 'Dear otters')]",
        "[('otterdb', 'reminder', 'planned')]",
        "'created': 1, 'updated': 0, 'unchanged': 0, 'refused': 0, 'unknown': 0, 'rejected': 1",
        "[(1,)]",
    ):
        assert expected in shown


def test_the_tools_are_shown_with_a_chart_and_a_figure_that_was_computed(home: Path) -> None:
    (path,) = [path for path in NOTEBOOKS if path.stem == "02_tools"]
    notebook = _read(path)
    _skip_without_sandbox(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    shown = _outputs(notebook)
    for expected in ("image/png", "ships a year: 318", "secrets here: []", "Action external | can be invoked: False"):
        assert expected in shown
    assert "26.5" in (home / "lock-report.md").read_text()
