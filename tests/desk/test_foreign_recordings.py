"""A recording that somebody else made: it plays a run again, and runs nothing that it names."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff.fleet import settings_of
from signoff.settings import Settings

LEADS = Path(__file__).parent / "cli" / "programs" / "leads.py"
MARK = "open('imported', 'w').close()\n"


@pytest.fixture
def recording(home: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run of a team of this project, recorded."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)
    sys.modules.pop("leads", None)
    (home / "leads.py").write_text(LEADS.read_text())
    assert signoff("run", "leads:team", "--campaign", "spring", "--record", "run.jsonl").code == 3
    yield home / "run.jsonl"
    sys.path[:] = path
    sys.modules.pop("leads", None)


def plant(recording: Path, **about: Any) -> None:
    """Write something else into its header."""
    first, *rest = recording.read_text().splitlines()
    header = json.loads(first)
    for name, value in about.items():
        told = header["about"].get(name)
        header["about"][name] = told | value if isinstance(told, dict) and isinstance(value, dict) else value
    recording.write_text("\n".join((json.dumps(header), *rest)) + "\n")


def test_no_recording_says_which_project_is_trusted(recording: Path, signoff: Any, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    (evil / ".signoff").mkdir(parents=True)
    (evil / "bad.py").write_text(MARK + LEADS.read_text())
    plant(
        recording,
        settings={"home": str(evil / ".signoff")},
        options={"run module": {"folder": ".", "module": "bad", "name": "team"}},
    )
    for words in (("run", "--replay", recording), ("export", recording, "--test", "out/test_it.py")):
        assert signoff(*words).code != 0
    assert not Path("imported").exists()


def test_no_recording_starts_a_program_or_sends_what_happens_elsewhere(recording: Path, signoff: Any) -> None:
    plant(
        recording,
        settings={
            "hook_command": f"{sys.executable} -c \"open('imported','w')\"",
            "database": "elsewhere.db",
            "user": "mallory",
            "_env_file": "planted.env",
        },
    )
    Path("planted.env").write_text("SIGNOFF_USER=mallory\n")
    said = signoff("run", "--replay", recording)
    assert said.code == 3, said.err
    assert not Path("imported").exists()
    assert not Path("elsewhere.db").exists()
    assert {each["requested_by"] for each in signoff("runs", "--json").json}.isdisjoint({"mallory"})


def test_of_a_recording_only_settings_are_taken_that_are_recorded() -> None:
    planted = dict.fromkeys((*Settings.model_fields, "_env_file", "_secrets_dir", "SIGNOFF_HOME"), "planted")
    taken = settings_of({"settings": planted})
    assert taken["model"] == "planted"
    assert taken["api_key"] == "replayed"
    kept_apart = "home database encryption_key user secrets webhooks webhook_secret hook_command traces mcp_token"
    assert not {*kept_apart.split(), "_env_file", "_secrets_dir", "SIGNOFF_HOME"} & taken.keys()


@pytest.mark.parametrize("place", ["run", "team"])
def test_an_exported_test_holds_no_code_that_a_recording_names(recording: Path, signoff: Any, place: str) -> None:
    planted = f'x"""\n{MARK}"""\\'
    if place == "team":
        text = Path("leads.py").read_text().replace('name="leads"', f"name={planted!r}")
        Path("leads.py").write_text(text)
        sys.modules.pop("leads")
    plant(recording, **{place: planted})
    said = signoff("export", recording, "--test", "out/test_it.py")
    if said.code == 0:
        exec(compile(Path("out/test_it.py").read_text(), "test_it.py", "exec"), {"__file__": "out/test_it.py"})
    assert not Path("imported").exists()
