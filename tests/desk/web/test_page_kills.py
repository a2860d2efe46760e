"""A page whose process is killed as somebody decides: the next one shows the truth, and a decision counts once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from desk_pages import Office, text_of

KILLED = Path(__file__).with_name("programs") / "killed_page.py"


@contextmanager
def served(moment: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """Ann at the page of a process of its own."""
    env = {**os.environ, "SIGNOFF_USER": "ann", "KILLED_AT": moment}
    with subprocess.Popen([sys.executable, str(KILLED)], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        try:
            base = link.partition("/sign-in")[0]
            with httpx.Client(base_url=base, headers={"origin": base}, timeout=60, trust_env=False) as ann:
                assert ann.get(link).status_code == 303
                yield ann, process
        finally:
            process.kill()


def form_of(html: str) -> dict[str, str]:
    """What the form that approves sends."""
    form = next(one for one in re.findall(r"<form.*?</form>", html, re.DOTALL) if 'value="approve"' in one)
    return dict(re.findall(r'name="(csrf|sha256|verb)" value="([^"]*)"', form))


@pytest.mark.parametrize(
    ("moment", "was_decided"),
    [
        pytest.param("before it is written", False, marks=pytest.mark.hunt),
        ("after it is written", True),
        pytest.param("as the run goes on", True, marks=pytest.mark.hunt),
    ],
)
def test_a_decision_at_the_moment_of_a_kill_is_taken_once_and_the_next_page_shows_it(
    desk: Office, home: Path, moment: str, was_decided: bool
) -> None:
    run, (asked,) = desk.asked("write bob")
    path = f"/approvals/{asked.id}"
    with served(moment) as (ann, process):
        with pytest.raises(httpx.TransportError):
            ann.post(path, data=form_of(ann.get(path).text))
        assert process.wait(60) == -9
    with served("never") as (ann, _):
        html = ann.get(path).text
        assert ("It was approved by ann" in text_of(html)) is was_decided
        if not was_decided:
            fields = form_of(html)
            assert ann.post(path, data=fields).status_code == 303
            assert ann.post(path, data=fields).status_code == 409
        shown = ann.get(f"/runs/{run.id}")
        csrf = re.findall(r'name="csrf" value="([^"]+)"', shown.text)[0]
        gone_on = ann.post(f"/runs/{run.id}", data={"csrf": csrf})
        assert ("Go on with it" in shown.text) is (gone_on.status_code == 303)
        for _ in range(600):
            if desk.ledger.runs.get(run.id).status == "done":
                break
            ann.get(f"/runs/{run.id}")
    assert desk.ledger.runs.get(run.id).status == "done"
    assert Path("sent.txt").read_text() == "bob: hello (1)\n"
    approved: list[Any] = [one for one in desk.ledger.audit.entries(run.id) if one.event == "approved"]
    assert len(approved) == 1
    assert desk.ledger.audit.verify().ok
