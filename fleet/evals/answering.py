"""What people say to a run of an eval, as its case has it, and what a judge model says of its work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from langchain_core.language_models import BaseChatModel

from signoff.agents import NO_USAGE, Agent, Artifact
from signoff.agents.models import Tiers
from signoff.checkpoints.ledger import Approval, Ledger, Person
from signoff.error_base import SignoffError
from signoff.fleet.evals.cases import EvalCase
from signoff.fleet.run import Run
from signoff.graphs import FOLLOW_PLAN, Team
from signoff.graphs.approval import CONTROLS
from signoff.settings import Settings

_REASON: Final = "an eval"


class Judged(Artifact):
    """What a judge says of some work."""

    passes: bool
    why: str


def decide(run: Run, case: EvalCase, number: int) -> str | None:
    """Decide one thing that is asked, as the case says; what was refused, empty if nothing, None if nobody decides."""
    for asked in run.approvals:
        if say := _decision(run, asked, case, number):
            say()
            return asked.reason if _is_control(asked) else ""
    return None


def _is_control(asked: Approval) -> bool:
    """Whether it asks for what no eval gives, such as more budget."""
    return asked.action in CONTROLS and asked.action != FOLLOW_PLAN


def _decision(run: Run, asked: Approval, case: EvalCase, number: int) -> Callable[[], object] | None:
    """What somebody says to a question; None: nobody does.

    Whoever decides has every role that is asked for, and is another person each time: nothing is called in any case.
    """
    by = Person(f"eval {number}", frozenset(need.role for need in asked.authority.requirements))
    says = case.decide if isinstance(case.decide, str) else case.decide.get(asked.action, "approve")
    if _is_control(asked):
        return lambda: run.reject(_REASON, approval=asked.id, by=by, drive=False)  # a budget is not raised here
    if asked.is_question and says not in ("wait", "reject"):
        return None if says == "approve" else lambda: run.respond(says, approval=asked.id, by=by, drive=False)
    match says:
        case "approve":
            return lambda: run.approve(approval=asked.id, by=by, reason=_REASON, drive=False)
        case "reject":
            return lambda: run.reject(approval=asked.id, by=by, drive=False)
        case "wait":
            return None
        case Mapping():
            changed: dict[str, Any] = {**asked.shown, **says}
            return lambda: run.approve(approval=asked.id, by=by, args=changed, drive=False)
        case _:
            return lambda: run.respond(str(says), approval=asked.id, by=by, drive=False)


async def judged(
    case: EvalCase,
    run: Run,
    judge: BaseChatModel | Tiers,
    settings: Settings,
    ledger: Ledger,
    budget: str | None,
) -> tuple[str, float]:
    """What a judge model says is wrong, empty if nothing, and what asking it cost."""
    values = run.values
    work = {name: found["value"] for name, found in values.get("artifacts", {}).items()}
    shown = json.dumps({"given": dict(case.given), "made": work}, ensure_ascii=False, default=str)
    asked = Agent(
        role="judge",
        gives=Judged,
        model=judge,
        instructions="Judge the work that you are shown: whether the answer to the question of the goal is yes.",
        opening=lambda _: shown,
    )
    team = Team(name="judge", agents=[asked], ledger=ledger)
    try:
        told = await Run.astart(team, case.judge, settings=settings, dry_run=True, budget=budget)
    except (SignoffError, OSError) as error:
        return f"the judge could not be asked: {error}", 0.0
    usage = told.usage or NO_USAGE
    if told.status != "done":
        return f"the judge came to nothing: {told.record.note}", usage["cost_usd"]
    said = told.artifact(Judged)
    return "" if said.passes else f"the judge says: {said.why}", usage["cost_usd"]
