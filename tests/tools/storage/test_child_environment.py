"""Programs that tools start get what a program needs, and nothing that may be a secret."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from signoff.tools.storage.child_environment import clean_environment, forget_variables


def test_a_program_gets_what_is_needed_and_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    environment = clean_environment(GIT_TERMINAL_PROMPT="0")
    assert (environment["PATH"], environment["LC_ALL"]) == (os.environ["PATH"], "C.UTF-8")
    assert environment["GIT_TERMINAL_PROMPT"] == "0"


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "SIGNOFF_DATABASE",
        "INNOCENT",
        "LC_TOKEN",
        "SSH_AUTH_SOCK",
        "LD_PRELOAD",
        "HTTP_PROXY",
    ],
)
def test_a_program_does_not_get_the_rest(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "planted")
    assert name not in clean_environment()
    assert "planted" not in clean_environment().values()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's environment in /proc")
@pytest.mark.parametrize("before", ["", "os.environ['PLANTED'] += 'x'; "])
def test_a_forgotten_variable_is_gone_from_what_the_system_shows_too(before: str) -> None:
    code = (
        f"import os; {before}from signoff.tools.storage.child_environment import forget_variables; "
        "forget_variables(['PLANTED', 'OTHER']); "
        "print('PLANTED' in os.environ, 'canary' in open('/proc/self/environ').read(), os.environ['KEPT'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PLANTED": "canary-4711", "KEPT": "kept"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False", "kept"]


def test_forgetting_leaves_what_was_never_there(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    monkeypatch.setenv("PLANTED", "canary-4711")
    forget_variables(["PLANTED", "NOT_THERE"])
    assert dict(os.environ) == before
