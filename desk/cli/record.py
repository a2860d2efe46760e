"""Recording a run, replaying one (nothing is called then, neither a model nor an action), and making a test of one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import zip_longest
from keyword import iskeyword
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.agents import Payer, paying
from signoff.agents.errors import NotRecorded
from signoff.agents.replay import Cassette
from signoff.checkpoints.ledger import RunRecord
from signoff.desk.cli.terminal import Json, print_json, say
from signoff.desk.team_options import TeamAgain, module_of_recording
from signoff.error_base import SettingsError
from signoff.fleet import Ending, Run, record as record_run, replay as replay_run
from signoff.fleet.errors import CannotExport
from signoff.graphs.teams import OWN, TeamModule
from signoff.settings import Settings, load_settings

_SHOWN = 100
"""Characters of a text that a message shows."""
_ABSENT = object()

_TEST = '''"""Run {run} of the team {team}, played again without model or network. Made by `signoff export`.

It fails if the team would take another route today, make or propose something else, or if policy would say otherwise.
"""

from pathlib import Path

from signoff.fleet import replay
{imports}
RECORDING = Path(__file__).with_suffix(".jsonl")


def test_run_{name}_goes_as_it_went(tmp_path: Path) -> None:
    now, then = replay(RECORDING, tmp_path{argument})
    assert then is not None
    assert now.route == then.route
    assert now.artifacts == then.artifacts
    assert now.proposals == then.proposals
    assert now.outcomes == then.outcomes
    assert now.status == then.status
'''


def check_files(record: Path | None, replay: Path | None, *, new: bool) -> None:
    """SettingsError if both are named, or a `new` run would be recorded over another."""
    if record is not None and replay is not None:
        raise SettingsError("--record", "goes not with --replay", "Use one of them.")
    if new and record is not None and record.exists() and record.stat().st_size:
        raise SettingsError("--record", f"{str(record)!r} is there already", "Name another file, or remove it.")


def check_dry(record: RunRecord) -> None:
    """SettingsError if a run that acts would go on from a recording."""
    if not record.dry_run:
        problem = f"calls nothing, and run {record.id!r} is no dry run"
        raise SettingsError("--replay", problem, "Start one: signoff run --replay FILE")


@contextmanager
def recorded(
    run: Run, settings: Settings, console: Console, record: Path | None, replay: Path | None
) -> Iterator[None]:
    """Have the run's traffic recorded, or replayed; says at the end what of the recording was not asked.

    NotRecorded if a replay asked what the recording does not have, whatever the team made of that.
    """
    ledger = run.team.ledger
    if record is not None:
        with record_run(run, record, settings=settings):
            yield
        say(console, f"Recorded on {record}")
    elif replay is not None and ledger is not None:
        cassette = Cassette.open(replay, "replay")
        for note in cassette.notes:
            say(console, note)
        try:
            with paying(Payer(ledger=ledger, cassette=cassette)):
                yield
            for miss in cassette.misses[:1]:
                raise miss
        except NotRecorded as miss:
            say(console, miss.difference)
            raise
        if unused := cassette.unused:
            say(console, f"{len(unused)} exchanges of the recording were not asked, the first: {unused[0]}")
    else:
        yield


def export(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="What `signoff run --record` wrote.")],
    test: Annotated[Path, typer.Option(metavar="FILE", help="The test to write; its data goes beside it.")],
    team: TeamAgain = "",
    json: Json = False,
) -> None:
    _check(recording, test)
    cassette, copy = Cassette.open(recording, "replay"), test.with_suffix(".jsonl")
    run = cassette.about.get("run", recording.stem)
    if cassette.ending is not None:
        _check_ending(run, cassette.ending)
    own = module_of_recording(cassette.about, load_settings(), team)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        now, then = replay_run(recording, Path(folder), team=None if own is None else own.team)
    if then is not None and now != then:
        raise CannotExport(run, f"played again it does not go as it went: {_difference(now, then)}")
    test.parent.mkdir(parents=True, exist_ok=True)
    copyfile(recording, copy)
    if then is None:  # recorded before endings were
        Cassette.open(copy, "record").end({"ending": asdict(now), "budgets": [], "decisions": {}, "calls": {}})
    test.write_text(_text(run, str(cassette.about.get("team", "")), own), encoding="utf-8")
    if json:
        return print_json({"run": run, "test": str(test), "recording": str(copy)})
    return say(Console(stderr=True), f"Wrote {test} and {copy.name}, and the test passes: pytest {test}")


def _check(recording: Path, test: Path) -> None:
    """Raise before any work is done if there is no recording, or the test would not be found or replace a file."""
    if not recording.is_file():
        remedy = "Record a run with --record FILE, such as `signoff run … --record FILE`, then export that file."
        raise SettingsError("RECORDING", f"there is no file {str(recording)!r}", remedy)
    if test.suffix != ".py" or not test.stem.isidentifier():
        raise SettingsError("--test", f"{str(test)!r} is no name of a test", "Name it like tests/test_run.py.")
    for path in (test, test.with_suffix(".jsonl")):
        if path.exists():
            raise SettingsError("--test", f"{str(path)!r} is there already", "Name another file, or remove it.")


def _check_ending(run: str, told: Mapping[str, Any]) -> None:
    """CannotExport if no replay could come to this."""
    if told["ending"]["status"] == "running":
        raise CannotExport(run, "it was cut off; resume it with --record, and export once it waits or has ended")
    if "pending" in told["budgets"]:
        raise CannotExport(run, "it waits for more budget, and a replay spends nothing; decide that first")
    if set(told["budgets"]) - {"approved"}:
        raise CannotExport(run, "its budget ended it, and a replay spends nothing")


def _text(run: str, named: str, team: TeamModule | None) -> str:
    """The test. What a recording says, which somebody else may have made, stands in it as words, never as code."""
    stored = {} if team is None else team.team.options[OWN]
    if stored and not all(part.isidentifier() and not iskeyword(part) for part in stored["module"].split(".")):
        raise CannotExport(run, f"no test can import its team's module {stored['module']!r}: rename that")
    return _TEST.format(
        run=_quoted(str(run)),
        team=_quoted(f"'{named}'"),
        name=re.sub(r"\W", "_", run),
        imports=f"from {stored['module']} import {stored['name']} as team\n" if stored else "",
        argument=", team=team" if stored else "",
    )


def _quoted(text: str) -> str:
    """A text within a docstring, which it cannot end."""
    return "".join(each if each.isprintable() and each not in '"\\' else "?" for each in text)


def _difference(now: Ending, then: Ending) -> str:
    """The first thing that is not the same, down to the one field of it."""
    for name in ("route", "artifacts", "proposals", "outcomes", "status"):
        found, wanted = getattr(now, name), getattr(then, name)
        if found != wanted:
            return f"its {_differing(name, found, wanted)}"
    return "nothing"


def _differing(name: str, found: Any, wanted: Any) -> str:
    """Where two values of this name differ first, and what stands there."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            if found.get(key, _ABSENT) != wanted.get(key, _ABSENT):
                return _differing(f"{name}.{key}", found.get(key, _ABSENT), wanted.get(key, _ABSENT))
    if isinstance(found, list) and isinstance(wanted, list):
        for place, (one, other) in enumerate(zip_longest(found, wanted, fillvalue=_ABSENT)):
            if one != other:
                return _differing(f"{name}[{place}]", one, other)
    return f"{name} is {_around(found, wanted)}, and was {_around(wanted, found)}"


def _around(text: Any, other: Any) -> str:
    """A value for a message: of a long text only what stands where it begins to differ from the other."""
    if text is _ABSENT:
        return "not there"
    if not isinstance(text, str) or not isinstance(other, str) or len(text) <= _SHOWN:
        return f"{text!r:.{2 * _SHOWN}}"
    same = next((place for place, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), len(other))
    start = max(0, min(same, len(text)) - _SHOWN // 4)
    part = text[start : start + _SHOWN]
    return f"{'…' if start else ''}{part!r}{'…' if start + _SHOWN < len(text) else ''}"
