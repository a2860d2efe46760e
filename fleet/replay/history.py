"""What a run did, turn by turn, read from its checkpoints and the ledger: the story that a rehearsal plays again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypedDict

from signoff.checkpoints.ledger.approval import Approval
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.opening import configured_ledger, configured_saver
from signoff.checkpoints.redaction import redact
from signoff.errors import CannotExport, RunElsewhere
from signoff.fleet.run import Run
from signoff.graphs.approval.questions import CONTROLS, SETTLE_OUTCOME
from signoff.graphs.state import RAISE_BUDGET
from signoff.settings import Settings, load_settings

FORMAT: Final = 1
"""Version of the format of a story."""
_OWN_IDS: Final = ("effect", "claim")
"""Arguments of the team's own questions that name rows of one ledger."""

State = Mapping[str, Any]


class Story(TypedDict):
    """A run, as JSON without secrets."""

    format: int
    run: str
    team: str
    options: dict[str, Any]
    goal: str
    requested_by: str
    dry_run: bool
    limits: dict[str, int]
    turns: list[dict[str, Any]]
    """Each agent's step: what it gave and proposed, or why it failed."""
    has_chooser: bool
    """Whether the supervisor had a model."""
    choices: list[dict[str, str]]
    """What that model chose, where it was asked and answered."""
    decisions: list[dict[str, Any]]
    """What became of each proposal at the gate, in the order of the proposals."""
    calls: list[dict[str, Any]]
    """What became of each action that was called."""
    ending: dict[str, Any]
    """What a rehearsal must come to again: see `read_ending`."""


def read_story(run: Run, settings: Settings) -> Story:
    """The story of a run; CannotExport if its checkpoints do not tell it, RunElsewhere if they are not here."""
    record = run.record
    if record.driver != "local":
        raise RunElsewhere(record.id)
    if record.status == "running":
        raise CannotExport(record.id, "it is at work or was cut off; export it once it waits or has ended")
    states = read_states(run.id, settings)
    if not states:
        raise CannotExport(record.id, "none of its checkpoints is there")
    turns = list(_turns(states))
    if len(turns) != states[-1].get("turns", 0):
        raise CannotExport(record.id, "some of its checkpoints are gone, such as pruned ones")
    approvals = _approvals(run, states)
    if record.status == "waiting" and not run.approvals:
        raise CannotExport(record.id, "it was decided, but did not go on yet; resume it first")
    if any(asked.action == RAISE_BUDGET and asked.status == "pending" for asked in approvals):
        raise CannotExport(record.id, "it waits for more budget, and a rehearsal spends nothing; decide that first")
    if any(asked.action == RAISE_BUDGET and asked.status != "approved" for asked in approvals):
        raise CannotExport(record.id, "its budget ended it, and a rehearsal spends nothing")
    story = Story(
        format=FORMAT,
        run=record.id.partition("~")[0],
        team=record.team,
        options={name: value for name, value in record.options.items() if name in run.team.options},
        goal=record.goal,
        requested_by=record.requested_by,
        dry_run=record.dry_run,
        limits={"turns": settings.max_turns, "rounds": settings.max_rounds},
        turns=turns,
        has_chooser=run.team.supervisor.model is not None or record.options.get("model", "offline") != "offline",
        choices=list(_choices(states)),
        decisions=[_decision(asked) for asked in approvals if asked.action != RAISE_BUDGET],
        calls=list(_calls(run, approvals)),
        ending=read_ending(run, settings),
    )
    redacted: Story = redact(story)
    return redacted


def read_ending(run: Run, settings: Settings) -> dict[str, Any]:
    """What a run came to: its route, what was proposed and what policy and people said, outcomes and status."""
    states = read_states(run.id, settings)
    outcomes = states[-1].get("outcomes", []) if states else []
    decisions = [_decision(asked) for asked in _approvals(run, states) if asked.action != RAISE_BUDGET]
    ending = {
        "route": [turn["agent"] for turn in _turns(states)],
        "proposals": [
            {name: made[name] for name in ("by", "action", "args", "status", "decided_by")} for made in decisions
        ],
        "outcomes": [
            {
                **{name: outcome[name] for name in ("role", "action", "status", "by")},
                **({} if outcome["action"] in CONTROLS else {"detail": outcome["detail"], "result": outcome["result"]}),
            }
            for outcome in outcomes
            if outcome["action"] != RAISE_BUDGET
        ],
        "status": run.status,
    }
    redacted: dict[str, Any] = redact(ending)
    return redacted


def read_states(run_id: str, settings: Settings) -> list[State]:
    """The states of one run at its checkpoints, oldest first."""
    with configured_saver(settings) as saver:
        found = list(saver.list({"configurable": {"thread_id": run_id.partition("~")[0], "checkpoint_ns": ""}}))
    states = [tuple_.checkpoint["channel_values"] for tuple_ in reversed(found)]
    return [state for state in states if state.get("run", {}).get("id") == run_id]


def _ledger(run: Run) -> Ledger:
    """The ledger that the run is in."""
    return run.team.ledger or configured_ledger(load_settings())


def _turns(states: Sequence[State]) -> Iterator[dict[str, Any]]:
    """Each agent's step, from the assignment to what came of it."""
    began: State | None = None
    for state in states:
        if began is not None and (ended := _ended(began, state)):
            yield ended
            began = None
        if state.get("turns", 0) > (began or {}).get("turns", 0) and _is_at_work(state):
            began = state
    if began is not None:
        yield {"agent": began["assignment"]["agent"], "cut": True}


def _is_at_work(state: State) -> bool:
    role = state["assignment"]["agent"]
    return any(step["status"] == "in_progress" and step["agent"] == role for step in state.get("plan", []))


def _ended(began: State, state: State) -> dict[str, Any] | None:
    """What came of the step that began in the one state, if it has ended in the other."""
    role = began["assignment"]["agent"]
    if role in state.get("held", {}) or (_is_at_work(state) and state.get("turns") == began.get("turns")):
        return None
    before, known = began.get("artifacts", {}), {proposal["id"] for proposal in began.get("proposals", [])}
    for name, artifact in state.get("artifacts", {}).items():
        if artifact["by"] == role and artifact["version"] > before.get(name, {"version": 0})["version"]:
            made = [
                {name: proposal[name] for name in ("action", "args", "reason")}
                for proposal in state.get("proposals", [])
                if proposal["by"] == role and proposal["id"] not in known
            ]
            flags = artifact.get("flags", [])
            return {"agent": role, "gives": artifact["value"], "proposes": made, **({"flags": flags} if flags else {})}
    steps = [step for step in state.get("plan", []) if step["agent"] == role and step["status"] == "failed"]
    if len(steps) == len([step for step in began.get("plan", []) if step["agent"] == role and step in steps]):
        return None
    return {"agent": role, "failed": steps[-1]["note"], "final": steps[-1]["final"]}


def _choices(states: Sequence[State]) -> Iterator[dict[str, str]]:
    """What the supervisor's model chose: it was asked where calls were counted and no step had ended."""
    for before, state in pairwise(states):
        calls = [found.get("usage", {}).get("calls", 0) for found in (before, state)]
        if calls[1] <= calls[0] or _is_at_work(before):
            continue
        if state.get("turns", 0) > before.get("turns", 0):
            yield {"next": state["assignment"]["agent"], "instructions": state["assignment"]["instructions"]}
        else:
            yield {"next": "person", "instructions": ""}


def _approvals(run: Run, states: Sequence[State]) -> list[Approval]:
    """The approvals of everything that was proposed, in that order."""
    ids = dict.fromkeys(proposal["id"] for state in states for proposal in state.get("proposals", []))
    found = [_ledger(run).approvals.of_proposal(proposal) for proposal in ids]
    return [asked for asked in found if asked is not None]


def _decision(asked: Approval) -> dict[str, Any]:
    return {
        "by": asked.proposed_by,
        "action": asked.action,
        "args": own_arguments(asked.action, asked.proposed),
        "status": asked.status,
        "decided_by": asked.decided_by,
        "decided_at": asked.decided_at,
        "reason": asked.decision_reason,
        "approved": own_arguments(asked.action, asked.args),
        # Whoever decided had what was asked for, from the ledger or from a server that vouched for it.
        "roles": [need.role for need in asked.authority.requirements],
    }


def own_arguments(action: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without what names a row of one ledger."""
    return {name: value for name, value in args.items() if action not in CONTROLS or name not in _OWN_IDS}


def _calls(run: Run, approvals: Sequence[Approval]) -> Iterator[dict[str, Any]]:
    """What became of each action that was called, and how often nobody knew at first."""
    asked_about = [str(asked.proposed["effect"]) for asked in approvals if asked.action == SETTLE_OUTCOME]
    by_id = {asked.id: asked for asked in approvals}
    for effect in _ledger(run).effects.of_run(run.id):
        if effect.approval_id in by_id:
            yield {
                "action": effect.action,
                "args": by_id[effect.approval_id].args,
                "status": effect.status,
                "result": effect.result,
                "error": effect.error,
                "unknown": asked_about.count(effect.key),
            }
