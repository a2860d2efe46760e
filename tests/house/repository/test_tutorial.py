"""The tutorial, followed to the letter from an empty folder: its commands, its file, its changes."""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

PAGE = (Path(__file__).parents[3] / "docs" / "tutorial.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(console|python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = {"signoff": ("-m", "signoff"), "python": ()}
"""How the commands of the page are called: as forks of a process that has imported signoff."""
WAITS = 3


class Reader:
    """Somebody who follows the page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[tuple[str, Any]]()

    def do(self, line: str) -> None:
        """One command, with the id of what waits, or of the last run, where the page says APPROVAL or RUN."""
        if line.startswith("cd "):
            self.folder /= line[3:]
            return
        if "APPROVAL" in line:
            line = line.replace("APPROVAL", self._told("approvals")[-1]["id"])
        if re.search(r"\bRUN\b", line):
            line = line.replace("RUN", self._told("runs")[0]["id"])
        program, *words = shlex.split(line)
        if program == "cat":
            self.said.append((line, (self.folder / words[0]).read_text()))
            return
        done = self._called(*PYTHON[program], *words)
        assert done.returncode in (0, WAITS), f"{line}\n{done.stdout}\n{done.stderr}"
        self.said.append((line, f"{done.stdout}{done.stderr}"))

    def change(self, diff: str) -> None:
        """The changes of the page, each of which has to fit in just one place."""
        file = self.folder / "bakery" / "team.py"
        text = file.read_text()
        for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", diff, re.MULTILINE):
            before, after = (re.sub("(?m)^[-+]", "", part) for part in (old, new))
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        file.write_text(text)

    def _told(self, command: str) -> Any:
        return json.loads(self._called("-m", "signoff", command, "--json").stdout)

    def _called(self, *words: str) -> Any:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # a file that is changed twice in a second
        return warm.run([sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The whole page, done in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SIGNOFF_", "OPENAI_"))]:
            patch.delenv(name)
        reader = Reader(tmp_path_factory.mktemp("first"))
        for kind, text in _BLOCK.findall(PAGE):
            match kind:
                case "console":
                    for line in text.splitlines():
                        reader.do(line.removeprefix("$ "))
                case "python":
                    tools = reader.folder / "bakery" / "tools.py"
                    tools.write_text(
                        f"{tools.read_text()}\n\n{text.removeprefix('from signoff import tool').strip()}\n"
                    )
                case _:
                    reader.change(text)
        return reader


def test_the_tutorial_leads_from_an_empty_folder_to_an_own_action_that_was_approved(followed: Reader) -> None:
    said = dict(followed.said)
    paid = (followed.folder / "refunds.jsonl").read_text().splitlines()
    assert [json.loads(line)["euros"] for line in paid] == [80, 9.5]
    (shown,) = [text for line, text in followed.said if line.startswith("signoff show r-")]
    assert "Sorry, and thank you!" in shown
    assert "5 passed" in said["python -m pytest"]
    assert "4/4" in said["signoff eval bakery.team:team evals/cases.jsonl"]


def test_every_command_of_the_tutorial_that_decides_says_what_it_decided(followed: Reader) -> None:
    decided = [text for line, text in followed.said if line.startswith(("signoff approve", "signoff edit"))]
    assert len(decided) == 2
    assert all("is done" in text for text in decided), decided
    approvals = json.loads(followed._called("-m", "signoff", "approvals", "--json").stdout)
    assert approvals == []
