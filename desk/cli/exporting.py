"""Exporting a run as a test: a file for pytest, and the run's story beside it."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from itertools import zip_longest
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.checkpoints.opening import configured_ledger
from signoff.desk.cli.terminal import Json, RunId, print_json, say
from signoff.errors import CannotExport, SettingsError
from signoff.fleet.replay.history import read_story
from signoff.fleet.replay.replay import Ending, rehearse
from signoff.fleet.run import Run
from signoff.graphs.team import Team
from signoff.graphs.teams.catalog import rebuild_team
from signoff.settings import Settings, load_settings

_SHOWN = 100
"""Characters of a text that a message shows."""
_ABSENT = object()

_TEST = '''"""Run {run} of the team {team!r}, played again without its models. Made by `signoff export`.

It fails if the team would take another route today, propose something else, or if policy would say otherwise.
"""

from pathlib import Path

from signoff.fleet.replay.replay import rehearse
{imports}
STORY = Path(__file__).with_suffix(".json")


def test_run_{name}_goes_as_it_went(tmp_path: Path) -> None:
    now, then = rehearse(STORY, tmp_path{argument})
    assert now.route == then.route
    assert now.proposals == then.proposals
    assert now.outcomes == then.outcomes
    assert now.status == then.status
'''


def export(
    run: RunId,
    test: Annotated[Path, typer.Option(metavar="FILE", help="The test to write; its data goes beside it.")],
    team: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Your own team; not for ready-made ones.")] = "",
    json: Json = False,
) -> None:
    """Make a test of a run: it is played again without its models, and must go as it went."""
    _check(test)
    settings = load_settings()
    opened = _open(run, team, settings)
    story = read_story(opened, settings)
    with TemporaryDirectory() as folder:
        now, then = rehearse(story, Path(folder), team=_load(team) if team else None)
    if now != then:
        raise CannotExport(opened.id, f"played again it does not go as it went: {_difference(now, then)}")
    body = dumps(story, ensure_ascii=False, indent=1) + "\n"
    test.parent.mkdir(parents=True, exist_ok=True)
    test.with_suffix(".json").write_text(body, encoding="utf-8")
    test.write_text(_text(opened, team), encoding="utf-8")
    if json:
        return print_json({"run": opened.id, "test": str(test), "story": str(test.with_suffix(".json"))})
    console = Console(stderr=True)
    return say(console, f"Wrote {test} and {test.with_suffix('.json').name}, and the test passes: pytest {test}")


def _check(test: Path) -> None:
    """Raise before any work is done if the test would not be found, or would replace a file."""
    if test.suffix != ".py" or not test.stem.isidentifier():
        raise SettingsError("--test", f"{str(test)!r} is no name of a test", "Name it like tests/test_run.py.")
    for path in (test, test.with_suffix(".json")):
        if path.exists():
            raise SettingsError("--test", f"{str(path)!r} is there already", "Name another file, or remove it.")


def _open(run_id: str, team: str, settings: Settings) -> Run:
    """The run; a ready-made team is built without its models, which nothing asks."""
    if team:
        return Run.open(run_id, team=_load(team), settings=settings)
    record = configured_ledger(settings).runs.get(run_id)
    rebuilt = rebuild_team(record.team, {**record.options, "model": "offline"}, settings)
    return Run.open(record.id, team=rebuilt, settings=settings)


def _load(team: str) -> Team:
    """The team that `module:name` names, or that what it names makes."""
    module, colon, name = team.partition(":")
    remedy = "Write it like shop.teams:orders, for `orders` in shop/teams.py."
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise SettingsError("--team", f"{team!r} is not MODULE:NAME", remedy)
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError("--team", f"{team!r} is not found ({error})", remedy) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    made = found if isinstance(found, Team) else found() if callable(found) else found
    if not isinstance(made, Team):
        raise SettingsError("--team", f"{team!r} is a {type(made).__name__}, no Team", remedy)
    return made


def _text(run: Run, team: str) -> str:
    module, _, name = team.partition(":")
    return _TEST.format(
        run=run.id,
        team=run.record.team,
        name=re.sub(r"\W", "_", run.id),
        imports=f"from {module} import {name} as team\n" if team else "",
        argument=", team=team" if team else "",
    )


def _difference(now: Ending, then: Ending) -> str:
    """The first thing that is not the same, down to the one field of it."""
    for name in ("route", "proposals", "outcomes", "status"):
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
