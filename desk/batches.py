"""Several questions of one kind at the desk: shown together, and approved, edited or rejected, all, some or one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.prompt import Prompt

from signoff.checkpoints.ledger import Approval, RunRecord
from signoff.desk.cli.question import aligned, edit_in_editor, read_change, said_yes, show_passages, show_whole
from signoff.desk.cli.terminal import command, say
from signoff.desk.team_options import is_known, team_of_run
from signoff.error_base import RunError, SettingsError, TeamError
from signoff.fleet import Run
from signoff.fleet.errors import NotAllDecided
from signoff.graphs import FOLLOW_PLAN, RAISE_BUDGET
from signoff.graphs.approval import CONTROLS, MANY, Passage, batch_sha256, in_a_line, passages_of
from signoff.graphs.errors import BadAnswer
from signoff.settings import Settings
from signoff.wording import counted

_LINES = 60
"""Lines of all previews together that are shown at once."""
_FEWEST = 6
_WORDS = re.compile(r"\s*(?P<verb>[a-z]+)(?P<which>[\s\d,a-z-]*)")
_VERBS = {verb[0]: verb for verb in ("approve", "reject", "edit", "view", "later")}


def run_of(approval: Approval, record: RunRecord, settings: Settings, named: str = "") -> Run | None:
    """The run of an approval, with its team; None if only another program knows that, or it is a question of ours."""
    if approval.action in CONTROLS or not (named or is_known(record)):
        return None
    try:
        return Run.open(record.id, team=team_of_run(record, settings, named), settings=settings)
    except (TeamError, SettingsError) as error:
        say(Console(stderr=True), f"Shown without what its team would add. {error}")
        return None


def ask_batch(console: Console, run: Run) -> Callable[..., Run] | None:
    """Have the person at the terminal decide what is asked together, each as soon as it is said; None for later.

    Only what names its questions counts: `a all`, `r 2,5-7`.
    """
    numbered = dict(enumerate(asked_with(run, ""), start=1))
    decided = False
    show_batch(console, run, numbered)
    while numbered:
        try:
            said = Prompt.ask(
                "[bold]approve, edit, reject or later?[/] (a all, a 1,3-5, e 2, r 4; v 2 to view, l)", console=console
            )
            verb, which = read_words(said, numbered)
            if verb == "later":
                break
            if verb == "view":
                with console.pager():
                    for number in which:
                        show_whole(console, numbered[number], run.action_of(numbered[number]))
                continue
            _decide(console, run, verb, [numbered[number] for number in which])
            decided = True
        except RunError as error:
            say(console, str(error))
            decided = decided or isinstance(error, NotAllDecided)
        except EOFError:
            break
        open_now = {one.id for one in run.approvals}
        numbered = {number: one for number, one in numbered.items() if one.id in open_now}
        if numbered:
            say(console, f"Left: {', '.join(map(str, numbered))}.")
    return run.resume if decided else None


def show_batch(console: Console, run: Run, numbered: Mapping[int, Approval]) -> None:
    """Show what is proposed of each; what is too long for all of them is a key away."""
    first = next(iter(numbered.values()))
    more = len([one for one in run.approvals if one.action == first.action]) - len(numbered)
    then = f", and {more} more after these" if more > 0 else ""
    say(console, f"── {first.action} · {len(numbered)} of its kind{then} ──", "bold")
    lines, said = max(_LINES // len(numbered), _FEWEST), set[Passage]()
    for number, approval in numbered.items():
        passages = list(passages_of(approval, run.action_of(approval)))
        if len(numbered) > MANY and (brief := in_a_line(passages)):
            say(console, f"{number:>3}. {brief}")
            continue
        say(console, f"{number}. approval {approval.id}", "bold")
        # What the gate said of one before, and why, is not said of each.
        show_passages(console, (one for one in passages if one not in said), lines, f"v {number}")
        said |= {one for one in passages if one.kind in ("gate", "words")}

    if len(numbered) > MANY:
        say(
            console,
            f"Each in a line: v {next(iter(numbered))} or v all shows all of it.",
            "yellow",
        )


def read_words(said: str, numbered: Mapping[int, Approval]) -> tuple[str, list[int]]:
    """What is to be done with which; BadAnswer if it does not say so clearly."""
    found = _WORDS.fullmatch(said.lower())
    word = found["verb"] if found else ""
    verb = next((verb for letter, verb in _VERBS.items() if word in (letter, verb)), "")
    if not found or not verb:
        raise BadAnswer(f"{said!r} says neither approve, edit, reject, view nor later (a, e, r, v, l).")
    if verb == "later":
        if found["which"].strip():
            raise BadAnswer("Later is said of all that is left: l.")
        return verb, []
    numbers = _numbers(found["which"].strip(), numbered)
    if verb == "edit" and len(numbers) != 1:
        raise BadAnswer(f"Edit one at a time, such as: e {next(iter(numbered))}.")
    return verb, numbers


def _numbers(which: str, numbered: Mapping[int, Approval]) -> list[int]:
    if which == "all":
        return list(numbered)
    found = list[int]()
    for part in filter(None, re.split(r"[\s,]+", which)):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 12:
            raise BadAnswer(f"{part!r} is no number. Say all, or such as 1,3-5.")
        span = range(int(first), int(last or first) + 1)
        if not span or any(number not in numbered for number in (span[0], span[-1])):
            raise BadAnswer(f"{part!r} is not among {_spelled(numbered)}.")
        found += [number for number in span if number in numbered]
    if not found:
        raise BadAnswer(f"Say which: all, or some of {_spelled(numbered)}, such as 1,3-5.")
    return list(dict.fromkeys(found))


def _spelled(numbered: Mapping[int, Approval]) -> str:
    numbers = list(map(str, numbered))
    return ", ".join(numbers if len(numbers) <= 12 else [*numbers[:10], "…", numbers[-1]])


def _decide(console: Console, run: Run, verb: str, chosen: Sequence[Approval]) -> None:
    ids = [one.id for one in chosen]
    if verb == "approve":
        run.approve(approval=ids, drive=False)
    elif verb == "reject":
        run.reject(Prompt.ask("Why?", console=console, default="", show_default=False), approval=ids, drive=False)
    else:
        (one,) = chosen
        run.approve(args=read_change(edit_in_editor(one), one, run.action_of(one)), approval=one.id, drive=False)


def ways_of_batch(run: Run, approval: Approval) -> list[tuple[str, str]]:
    """The commands that answer it together with the others of its kind, and what each means."""
    asked = asked_with(run, approval.id)
    if approval.status != "pending" or len(asked) < 2:
        return []
    program, first, rest = command(), asked[0].id, counted(len(asked) - 1, "other")
    return [
        (f"{program} approve {first} --batch", f"all of it and the {rest} of its kind, each as it is"),
        (f"{program} approve {first} {asked[1].id}", "those that are named; so does reject"),
        (f"{program} approve {first} --batch --sha256 {batch_sha256(asked)[:12]}", "just these, as you saw them"),
    ]


def asked_with(run: Run, approval_id: str) -> list[Approval]:
    """What is asked in one question with this one, which is the first of them."""
    alike = run.alike(approval_id)
    return sorted((one for one in run.approvals if one.id in alike), key=lambda one: alike.index(one.id))


def commands_of(run: Run, approval: Approval) -> list[str]:
    """The commands that decide it, or all of its kind."""
    decide = f"{command()} {{}} {approval.id}"
    return [
        decide.format("approve"),
        decide.format("edit") + _example(approval),
        f'{decide.format("reject")} --why "…"',
        *aligned(ways_of_batch(run, approval)[:1]),
    ]


def _example(approval: Approval) -> str:
    """What an edit sets, shown by an example where it is a plan or a question about a budget."""
    if approval.action == FOLLOW_PLAN:
        first = min(approval.shown["steps"], key=lambda step: not step["parts"])
        return f" --set steps.{first['agent']}." + ("parts='[\"…\"]'" if first["parts"] else "goal=…")
    if approval.action != RAISE_BUDGET:
        return " --set NAME=VALUE"
    return "".join(f" --set {name}=…" for name, value in approval.shown.items() if name != "scope" and value)


def confirm_batch(console: Console, run: Run | None, asked: Sequence[Approval]) -> bool:
    """Show all of each, and ask whether all are approved. Only a yes is one."""
    for approval in asked:
        show_whole(console, approval, run.team_of(approval).actions.get(approval.action) if run is not None else None)
    return said_yes(console, f"approve all {len(asked)}?")
