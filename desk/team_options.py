"""Teams of somebody's own at the command line: named by their modules, with options made of the input they declare."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from contextlib import suppress
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from rich.console import Console

from signoff.checkpoints import configured_ledger, read_once
from signoff.checkpoints.ledger import RunRecord
from signoff.desk.cli.terminal import command, say
from signoff.error_base import SettingsError
from signoff.fleet import check_whole
from signoff.graphs import Positional, Team, field_of
from signoff.graphs.errors import BadInput, NotImportable
from signoff.graphs.teams import (
    MODEL,
    OWN,
    TeamModule,
    is_own,
    is_ready_made,
    load_stored,
    load_team,
    new_team,
    takes_input,
    with_model,
)
from signoff.settings import Settings, load_settings
from signoff.tools.broker import SecretName

TeamAgain = Annotated[str, typer.Option("--team", metavar="MODULE:NAME", help="The run's team, if it is your own.")]

_TAKING_A_VALUE: Final = ("--sources", "--out", "--depth", "--model", "--budget", "--record", "--replay", "--input")
_NOT_FOR_OWN: Final = ("sources", "out", "depth")
_GOAL: Final = "goal"
_GOAL_HELP: Final = "What the team is to do"
_KINDS: Final[Sequence[tuple[Any, str]]] = (
    ((SecretStr, SecretName), "SECRET"),
    (int, "INT"),
    (float, "NUMBER"),
    (datetime, "TIME"),
    (date, "DATE"),
    (Path, "PATH"),
    ((BaseModel, Mapping), "JSON"),
)
_MANY: Final = (list, tuple, set, frozenset, Sequence, Iterable, AbstractSet)

Start = Callable[..., int]
"""Starts a run of a team with what it is given, and the command's other options."""


def open_team(named: str, settings: Settings) -> TeamModule:
    """A team of somebody's own, imported, and says so; or a ready-made one that declares an input."""
    if takes_input(named):
        return TeamModule(new_team(named, settings), named, Path())
    loaded = load_team(named, settings)
    say(Console(stderr=True), str(loaded))
    return loaded


def team_of_run(record: RunRecord, settings: Settings, named: str = "") -> Team | None:
    """The team of a run, if it is somebody's own; None if it is ready-made. See `module_of_run`."""
    check_whole(record)
    if not named and is_ready_made(record.team, record.options):
        return None
    about = {"team": record.team, "options": record.options, "run": record.id}
    return module_of_run(about, settings, named).team


def module_of_recording(about: Mapping[str, Any], settings: Settings, named: str = "") -> TeamModule | None:
    """The team that a recording is of, if it is somebody's own; None if it is ready-made. See `module_of_run`."""
    if not named and is_ready_made(about.get("team", ""), about.get("options", {}), recorded=True):
        return None
    return module_of_run(about, settings, named)


def module_of_run(about: Mapping[str, Any], settings: Settings, named: str = "") -> TeamModule:
    """The team of somebody's own that a run, or a recording, is of: where that says, or as it is `named` again.

    NotTrusted or SettingsError where it is in neither.
    """
    team, options, run = str(about.get("team", "")), about.get("options", {}), about.get("run", "RUN")
    try:
        loaded = load_team(named, settings) if named else load_stored(options, settings)
    except NotImportable as error:
        if named or not error.is_missing:
            raise
        again = f"{command()} resume {run} --team FILE.py:{error.named.rpartition(':')[2]}"
        raise NotImportable(error.named, error.problem, f"{error.remedy}. If its file moved: {again}") from None
    if loaded is None:
        remedy = f"Name it, if it is in a module: --team MODULE:NAME; or in your program: Run.open({run!r}, team=…)"
        raise SettingsError("--team", f"run {run} is of a team of somebody's own, {team!r}", f"{remedy}.")
    say(Console(stderr=True), str(loaded))
    if loaded.team.name != team:
        problem = f"{loaded.named!r} is the team {loaded.team.name!r}, and run {run} is of {team!r}"
        raise SettingsError("--team", problem, "Name its own team.")
    return with_model(loaded, options.get(MODEL), settings)


def change_model(record: RunRecord, team: Team, model: str, settings: Settings) -> Team:
    """The run's own team with this model at work from now on, and later too; it is built before anything is kept."""
    changed = with_model(TeamModule(team, team.name, Path()), model, settings).team
    options = {**record.options, MODEL: model}
    configured_ledger(settings).runs.change_options(record.id, options, by=settings.user_name)
    return changed


def is_known(record: RunRecord) -> bool:
    """Whether a run says itself what its team is: a ready-made one, or which module it is in."""
    return is_ready_made(record.team, record.options) or OWN in record.options


def how_to_resume(run: str, team: str, options: Mapping[str, Any]) -> str:
    """The command that goes on with a run of this team with these options."""
    known = is_ready_made(team, options) or "folder" in (options.get(OWN) or {})
    return f"{command()} resume {run}" + ("" if known else " --team MODULE:NAME")


def fitted(function: Callable[..., Any], start: Start, words: Sequence[str]) -> Callable[..., Any]:
    """The command's function, as it is for the team that the words of a command line name."""
    named = _named_in(words)
    if not named:
        return function
    loaded = open_team(named, load_settings())
    own, signature = dict[str, Any](), inspect.signature(function, eval_str=True)
    kept = [each for each in signature.parameters.values() if each.name not in _NOT_FOR_OWN]
    goal_help = f"{_GOAL_HELP}{'' if loaded.team.input is None else '; the same as --goal'}."
    kept[0] = kept[0].replace(annotation=Annotated[str, typer.Argument(hidden=True)])
    fields = {} if loaded.team.input is None else loaded.team.input.model_fields
    first = next((name for name, field in fields.items() if _positional(field)), _GOAL)
    kept[1] = _first_words(kept[1], fields[first] if first != _GOAL else None, goal_help)
    if loaded.team.input is None:
        parameters, taken = kept, set[str]()
    else:
        taken = {each.name.replace("_", "-") for each in kept} | {"input", "help", "debug"}
        own = {f"given_{name}": field for name, field in loaded.team.input.model_fields.items()}
        if _GOAL not in loaded.team.input.model_fields:
            own[f"given_{_GOAL}"] = FieldInfo(annotation=str, default="", description=f"{_GOAL_HELP}.")
        options = [
            _option(key, field, taken) for key, field in own.items() if key != f"given_{first}" or first == _GOAL
        ]
        whole = typer.Option("--input", metavar="FILE", help="All of it, or the rest, as a JSON object; - reads it.")
        parameters = [*kept[:2], *options, _parameter("given_", Annotated[str | None, whole]), *kept[2:]]

    def call(**values: Any) -> int:
        del values["team"]
        question = values.pop("question")
        if loaded.team.input is None:
            return start(loaded, question, **values)
        parts = {key: values.pop(key, None) for key in own}
        if first != _GOAL:
            parts[f"given_{first}"], question = question, ""
        whole, said = values.pop("given_"), {key.removeprefix("given_"): (own[key], parts[key]) for key in own}
        try:
            return start(loaded, _given(whole, said, question), **values)
        except BadInput as error:
            hint = _hint(error.field, _option_of(field_of(error.field), taken))
            if first != _GOAL and field_of(error.field) == first:
                hint = kept[1].annotation.__metadata__[0].metavar
            raise typer.BadParameter(f"{error.problem}.", param_hint=hint) from None

    call.__doc__ = f"Give the team {loaded.team.name} a goal; sign off what it proposes."
    if loaded.team.input is not None and (about := loaded.team.input.__dict__.get("__doc__")):
        call.__doc__ += f"\n\n{inspect.cleandoc(about)}"
    call.named = named  # type: ignore[attr-defined]  # what its usage and errors call it
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # Typer reads it
    call.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
    return call


def _named_in(words: Sequence[str]) -> str:
    """The first word that is no option or an option's value, if it names a team that may declare an input."""
    before = ""
    for word in words:
        if not word.startswith("-") and before not in _TAKING_A_VALUE:
            return word if is_own(word) or takes_input(word) else ""
        before = word
    return ""


def _positional(field: FieldInfo) -> Positional | None:
    return next((one for one in field.metadata if isinstance(one, Positional)), None)


def _first_words(parameter: inspect.Parameter, field: FieldInfo | None, goal_help: str) -> inspect.Parameter:
    """The argument after the team: the goal, or the values of a field that take its place."""
    place = None if field is None else _positional(field)
    if field is None or place is None:
        return parameter.replace(annotation=Annotated[str, typer.Argument(metavar="GOAL", help=goal_help)])
    told = typer.Argument(metavar=place.metavar, help=field.description, show_default=False)
    return parameter.replace(annotation=Annotated[list[str] | None, told], default=None)


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default)


def _option_of(field: str, taken: set[str]) -> str:
    """The name of a field's option; one that the command has already is the command's."""
    name = field.replace("_", "-")
    return f"input-{name}" if name in taken else name


def _option(key: str, field: FieldInfo, taken: set[str]) -> inspect.Parameter:
    """The option of a field of the input."""
    name = _option_of(key.removeprefix("given_"), taken)
    many, inner = _shape(field.annotation)
    says = [" ".join((field.description or "").split())] if field.description else []
    says += ["Can be given several times."] if many else []
    if field.is_required():
        says.append("[required]")
    elif field.default_factory is None and field.default not in (None, "", [], (), {}, False):
        shown = field.default.value if isinstance(field.default, Enum) else field.default
        says.append(f"[default: {shown}]")
    if inner is bool and not many:
        return _parameter(key, Annotated[bool | None, typer.Option(f"--{name}/--no-{name}", help=" ".join(says))])
    option = typer.Option(f"--{name}", metavar=_metavar(inner), help=" ".join(says), show_default=False)
    return _parameter(key, Annotated[list[str] | None if many else str | None, option])


def _shape(annotation: Any) -> tuple[bool, Any]:
    """Whether there are many of it, and of what type one is, without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = [one for one in get_args(annotation) if one is not NoneType]
    if get_origin(annotation) in (Union, UnionType):
        return _shape(members[0]) if len(members) == 1 else (False, annotation)
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and origin in _MANY:
        return True, _shape(members[0])[1] if members else str
    return False, annotation


def _metavar(kind: Any) -> str:
    if choices := _choices(kind):
        return "|".join(choices)
    bare = get_origin(kind) or kind
    known = (name for types, name in _KINDS if isinstance(bare, type) and issubclass(bare, types))
    return next(known, "TEXT")


def _choices(kind: Any) -> dict[str, Any]:
    """The values of a fixed choice, by how they are written."""
    if get_origin(kind) is Literal:
        return {str(value): value for value in get_args(kind)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {str(one.value): one.value for one in kind}
    return {}


def _given(whole: str | None, parts: Mapping[str, tuple[FieldInfo, Any]], question: str) -> dict[str, Any]:
    """What the options say, and for the rest the file of `--input`."""
    given = _read(whole) if whole is not None else {}
    for name, (field, said) in parts.items():
        many, inner = _shape(field.annotation)
        if said is not None and said != []:
            given[name] = [_value(one, inner, name) for one in said] if many else _value(said, inner, name)
    if question:
        if parts[_GOAL][1] is not None:
            raise typer.BadParameter("is given twice: as GOAL, and by --goal.", param_hint="--goal")
        given[_GOAL] = question
    return given


def read_field(said: str, field: FieldInfo, name: str) -> Any:
    """What a field of a form says, as the model reads it; of several values each stands in a line."""
    many, inner = _shape(field.annotation)
    if not many:
        return said == "true" if inner is bool and said in ("true", "false") else _value(said, inner, name)
    return [_value(line.strip(), inner, name) for line in said.splitlines() if line.strip()]


def has_many(field: FieldInfo) -> bool:
    """Whether it takes several values."""
    return _shape(field.annotation)[0]


def _read(whole: str) -> dict[str, Any]:
    """The JSON object in a file, or on standard input."""
    if whole != "-" and not Path(whole).expanduser().is_file():
        raise typer.BadParameter(f"there is no file {whole!r}.", param_hint="--input")
    try:
        text = sys.stdin.read() if whole == "-" else Path(whole).expanduser().read_text(encoding="utf-8")
        found = read_once(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise typer.BadParameter(f"{whole!r} holds no JSON: {error}.", param_hint="--input") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{whole!r} holds no JSON object.", param_hint="--input")
    return found


def _value(said: Any, kind: Any, name: str) -> Any:
    """What was written as the model reads it: of a choice its value, a number, the JSON of a nested model, or text."""
    choices = _choices(kind)
    if said in choices:
        return choices[said]
    if isinstance(said, str) and kind in (int, float):
        with suppress(ValueError):  # the model says what is wrong with it
            return kind(said)
    if isinstance(said, str) and _metavar(kind) == "JSON":
        try:
            return read_once(said)
        except ValueError as error:
            raise BadInput("", name, f"takes JSON{_fields_of(kind)}: {error}") from None
    return said


def _fields_of(kind: Any) -> str:
    """Of which fields the JSON of a model is, as far as it has any."""
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else ()
    return f", an object with {', '.join(fields)}" if fields else ""


def _hint(field: str, option: str) -> str:
    """The option of a field, and where in it."""
    inside = field.removeprefix(field_of(field)).lstrip("., ")
    return f"--{option}" + (f" ({inside})" if inside else "") if field else "--input"
