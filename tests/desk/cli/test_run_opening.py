"""The first lines of a run: what cannot work is told before anything is begun."""

from pathlib import Path
from typing import Any

import pytest

RUN = ("run", "report", "Why does the tide rise and fall?", "--sources", "docs")


def told(said: Any) -> str:
    """The one line of the error."""
    assert said.code == 1, said.err
    assert "Traceback" not in said.err
    (line,) = [line for line in said.err.splitlines() if line.startswith("signoff: ")]
    return str(line)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SIGNOFF_TRACES", "stdout", "otlp, console, api"),
        ("SIGNOFF_REDACT", "secretz", "'secretz' is nothing that can be redacted"),
        ("SIGNOFF_DAY_BUDGET", "five", "'five' is not $AMOUNT"),
        ("SIGNOFF_RUN_BUDGET", "usd=-1", "usd must be 0 or more"),
        ("SIGNOFF_TIERS", "fast", "it is no JSON"),
        ("SIGNOFF_RATES", '{"m": {"requests_per_minute": 0}}', "greater than 0"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--model", "offline"), ("--budget", "$2")], ids=["", "offline", "budget"])
def test_a_setting_that_the_first_step_could_not_read_is_told_and_no_run_is_left(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str, more: Any
) -> None:
    monkeypatch.setenv(name, value)
    line = told(signoff(*RUN, *more))
    assert f"signoff: {name}: " in line
    assert expected in line
    monkeypatch.delenv(name)
    assert signoff("runs", "--json").json == []


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("five", "'five' is not $AMOUNT"),
        ("$-1", "usd must be 0 or more"),
        ("steps=1.5", "steps must be a whole number"),
    ],
)
def test_a_budget_on_the_command_line_is_blamed_by_its_option(
    signoff: Any, documents: Path, budget: str, expected: str
) -> None:
    line = told(signoff(*RUN, "--budget", budget))
    assert "signoff: --budget: " in line
    assert expected in line
    assert signoff("runs", "--json").json == []


def test_the_first_line_names_the_models_of_the_tiers(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_TIERS", '{"fast": "foo:small", "smart": ["foo:large", "foo:small"]}')
    said = signoff(*RUN)
    assert said.err.splitlines()[0] == "Models by tier: fast = foo:small; smart = foo:large, else foo:small"
    assert "there is no provider 'foo'" in told(said)
    monkeypatch.setenv("SIGNOFF_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("SIGNOFF_TIERS", '{"fast": "openai:small", "smart": "foo:large"}')
    first = signoff(*RUN).err.splitlines()[0]
    assert first == "Models by tier: fast = openai:small; smart = foo:large; openai at http://127.0.0.1:9/v1"


def test_a_model_on_the_command_line_comes_before_the_tiers(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_TIERS", '{"fast": "foo:small", "smart": "foo:large"}')
    said = signoff(*RUN, "--model", "offline")
    assert said.err.startswith("Model: offline")
    assert said.code == 3, said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "report"], "QUESTION is missing."),
        (["run"], "TEAM and QUESTION are missing."),
        (["run", "", "Why?"], "TEAM is missing."),
        (["costs", "--by", "foo"], "'--by': 'foo' is not one of run, agent, model, tier, team, day."),
        (["audit", "export", "--format", "xml"], "'--format': 'xml' is not one of jsonl, csv."),
    ],
)
def test_what_is_missing_or_unknown_on_the_command_line_is_told_in_plain_words(
    signoff: Any, home: Path, words: list[str], expected: str
) -> None:
    said = signoff(*words)
    assert said.code == 2
    assert expected in said.err
    assert "Value error" not in said.err


@pytest.mark.parametrize("team", ["shop", "shop.team", "reprot"])
def test_a_team_that_is_none_is_told_before_a_question_is_asked_for(signoff: Any, home: Path, team: str) -> None:
    said = signoff("run", team)
    assert said.code == 1
    assert f"No ready-made team {team!r}, only code, competitors," in said.err
    assert "named by its module, such as shop.teams:orders" in said.err
