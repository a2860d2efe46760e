"""Every notebook runs from top to bottom in a kernel of its own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import warm
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient import NotebookClient
from traitlets.config import Config

from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap

SOCKETS = Config({"KernelManager": {"transport": "ipc"}} if sys.platform != "win32" else {})
"""Kernels listen at files in their folders: a port that was free when it was chosen may be taken when one starts."""
KERNEL = ("ipykernel.kernelapp", "ipykernel.zmqshell", "signoff.desk.cli", "signoff.graphs.teams")
"""What kernels import that the process which forks has not."""
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


class ForkedKernel(LocalProvisioner):
    """A kernel that is a fork of a process with its modules: to import them takes longer than most notebooks."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        env = {
            name: value for name, value in kwargs["env"].items() if name != "JPY_PARENT_PID"
        }  # its parent is another
        started: Any = warm.start(cmd, stdin=subprocess.DEVNULL, cwd=kwargs.get("cwd"), env=env, modules=KERNEL)
        self.process, self.pid = started, started.pid
        return self.connection_info


class ForkedKernels(AsyncKernelManager):
    """Starts such kernels."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_id = "notebook"
        self.provisioner = ForkedKernel(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it ships no types


def _skip_without_sandbox(notebook: Any) -> None:
    needs_one = any(name in str(notebook.cells) for name in ("sandbox_tools", "code_team"))
    problem = Bubblewrap().problem() if needs_one else ""
    if problem:
        pytest.skip(f"bubblewrap cannot be used here: {problem}")


def _outputs(notebook: Any) -> str:
    return "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))


SHOWN = {
    "01_first_report": ("image/png", "waiting", "publish_report", "written: False", "done ['done']"),
    "02_tools": ("image/png", "ships a year: 318", "secrets here: []", "Action external | can be invoked: False"),
    "03_your_own_team": (
        "langgraph.graph.state.StateGraph",
        "2000 deny",
        "waiting []",
        "done done [('Ann', 80.0), ('Bob', 9.5)]",
        "BadInput Input of team 'refunds': order is missing.",
        "waiting Dear Ann, you get 80.00 euros. 4 calls",
        "stopped [('Ann', 80.0), ('Bob', 9.5)]",
    ),
    "04_approvals": (
        "done [('Ann', 75)]",
        "waiting {'euros': 30, 'to': 'Cem'}",
        "done 2",
        "role finance is asked for, and eve has no role. Nothing was decided.",
        "waiting ('Cem', 30)",
        "done ('Shipyard', 5000)",
        "3 of one kind",
        "done [('Dana', 30), ('Fay', 50)]",
        "stopped ('Fay', 50)",
        "pay approved by ann",
        "was already decided: approved by ann",
        "done ('Hana', 70)",
        "done ('Ida', 65) <p>",
        "approved by bob",
    ),
    "05_business_teams": (
        "<details><summary>contradiction: ≥ 3.10 / ≥ 3.9</summary>",
        "done ['market-evidence.csv', 'market.csv', 'market.json', 'market.md', 'market.xlsx']",
        "('TernDB', 'version', '0.13.4', '0.14.0')",
        "confirm_lead ['otterdb', 'sealdb', 'terndb']",
        "<details><summary>contradiction: ≥ 3.10 / ≥ 3.8</summary>",
        "+3 holds urllib3 below 2 (Requires-Dist: urllib3<2,>=1.26)",
        "write_lead ['otterdb', 'sealdb']",
        "[('otterdb', '4', 'Dear otters')]",
        "[('otterdb', 'reminder', 'planned')]",
        "'created': 1, 'updated': 0, 'unchanged': 0, 'refused': 0, 'unknown': 0, 'rejected': 1",
        "[(1,)]",
    ),
    "06_code_teams": (
        "+    return a + b",
        "Not done: 'python3 -m unittest -q' fails, with exit code 1: test_none (tests.test_calc.Adding.test_none)",
        "Not done: it changes what is read-only unless the task names it: tests/test_calc.py (a test).",
        "rope fixed []",
        "sail not fixed",
        "fails, with exit code 1: test_loose (tests.test_knots.Knots.test_loose)",
        "+knot==1.1",
        "2 repositories: 1 not fixed, 1 fixed.",
        "2 shop/bill.py done",
        "The goal's own check (it failed before) passes",
    ),
    "07_fleet_and_costs": (
        "6 jobs; 0 when submitted again",
        "6 questions wait for people",
        "The worker ends with 0",
        "bob stopped ['rejected']",
        "cem done ['done']",
        "| writer | 6 |",
        "6 runs have called a model",
    ),
    "08_debugging_a_run": (
        "done 2 [2]",
        "4 ('checker',) ['Count'] 0",
        "{'berths': 3} [2]",
        "True ['counter', 'checker'] done [2]",
        "NotRecorded",
        "1 passed",
        "as it is: three: Count.ships is 2, not 3",
        "<td>mended</td>\\n<td>2/2 (100%)</td>",
    ),
}
"""By notebook: what its outputs show."""
WRITTEN = {
    "01_first_report": ("tides-report.md", "a pilot is required for every ship"),
    "02_tools": ("lock-report.md", "26.5"),
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_is_about(path: Path, home: Path) -> None:
    notebook = _read(path)
    _skip_without_sandbox(notebook)
    how: dict[str, Any] = {"resources": {"metadata": {"path": str(home)}}, "config": SOCKETS}
    NotebookClient(notebook, kernel_manager_class=ForkedKernels, timeout=600, **how).execute()
    shown = _outputs(notebook)
    assert not any(cell.source.endswith("\nrun") for cell in notebook.cells), "a run is shown live"
    live = [cell for cell in notebook.cells if re.search(r"\b(?:run|again)\.wait\(\)$", cell.source)]
    assert live
    for cell in live:
        (output,) = cell.outputs  # what is shown while it goes on is replaced
        assert "<strong>Run " in output["data"]["text/html"]
        assert "<p>… " not in output["data"]["text/html"]
    assert [expected for expected in SHOWN[path.stem] if expected not in shown] == []
    for name, text in [WRITTEN[path.stem]] if path.stem in WRITTEN else ():
        assert text in (home / name).read_text()
    assert not any(cell.get("outputs") for cell in _read(path).cells), "commit it without outputs"
