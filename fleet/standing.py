"""How runs stand, in words: also what their status alone does not tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from signoff.checkpoints.ledger import Approval, Effect, Ledger, RunRecord


@dataclass(frozen=True)
class Standing:
    """How one run stands."""

    record: RunRecord
    cut_off_in: Effect | None
    """The call in which it was cut off, and that nobody was asked about yet."""
    lapsed: Sequence[Approval]
    """What nobody decided in time, if it waits for nothing else."""

    def __str__(self) -> str:
        """The status in words: a run that nobody drives is cut off, not running, and one may have fallen silent."""
        record = self.record
        if self.cut_off_in is not None:
            return f"cut off while {self.cut_off_in.action} was being called"
        if self.lapsed:
            return f"waiting, {self.lapsed[0].action} expired"
        if record.status == "running" and record.driver == "local" and not record.owner:
            return "cut off"
        if record.left_out:
            return f"done, without {record.left_out}"
        return "silent" if record.is_silent else record.status

    @property
    def in_full(self) -> str:
        """How it stands and why, in one line."""
        lines = self.record.note.splitlines()[bool(self.record.left_out) :]
        return f"{self}: {'; '.join(lines)}"

    @property
    def news(self) -> list[str]:
        """What somebody should know of it and do, as sentences."""
        told = [str(approval.already_decided()) for approval in self.lapsed]
        if (call := self.cut_off_in) is not None:
            told.append(
                f"Cut off while {call.action} was being called, at {call.call}: nobody knows yet whether it happened. "
                "Resume the run: its read-back tells, or you are asked."
            )
        return told


def standings(ledger: Ledger, records: Sequence[RunRecord]) -> list[Standing]:
    """How each of these runs stands."""
    records = [_driven(ledger, record) for record in records]
    lapsed = defaultdict[str, list[Approval]](list)
    waiting = [record.id for record in records if record.status == "waiting"]
    for approval in ledger.approvals.lapsed(*waiting) if waiting else ():
        for run_id in (approval.run_id, *(run for run, _ in approval.path)):
            lapsed[run_id].append(approval)
    nobodys = [record.id for record in records if record.status in ("running", "failed") and not record.owner]
    children = ledger.runs.children(*nobodys)
    cut_off: dict[str, Effect] = {}
    for run_id, effect in ledger.effects.cut_off(*nobodys, *(child.id for child in children)).items():
        around = next((child.path for child in children if child.id == run_id), ())
        cut_off |= dict.fromkeys((run_id, *(run for run, _ in around)), effect)
    return [Standing(record, cut_off.get(record.id), lapsed[record.id]) for record in records]


def _driven(ledger: Ledger, record: RunRecord) -> RunRecord:
    """A child run is driven by whoever drives the one around it."""
    if not record.path:
        return record
    root = ledger.runs.get(record.root)
    return replace(record, owner=root.owner, driver=root.driver)
