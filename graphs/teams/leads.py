"""The leads team: candidates scored by a rubric, each point with its line, and written to a CRM as people approve."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from langchain_core.language_models import BaseChatModel
from pydantic import AfterValidator, BaseModel, Field

from signoff.agents import (
    Agent,
    Artifact,
    Candidates,
    CandidateScout,
    Company,
    Draft,
    Letters,
    Libraries,
    Review,
    Rubric,
    Scores,
    Table,
    Task,
    check_outgoing,
    check_rows,
    check_table,
    confirm_each,
    copywriter,
    dashboard,
    fill,
    outcomes_of,
    planned,
    score,
    table_attachments,
    table_researcher,
    tally,
    unsaid,
)
from signoff.agents.artifacts import Check, key_of
from signoff.agents.models import Tiers, models_of
from signoff.error_base import SettingsError
from signoff.graphs.input_types import FileToRead, FileToWrite, Folder, Names
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.graphs.teams.entries import check_places, entries_of
from signoff.settings import Settings, load_settings
from signoff.tools import Action, Attachment, Proposal, Publication, publish_report
from signoff.tools.crm import (
    CANCELLED,
    CRM,
    SENT,
    AddressedRow,
    Kind,
    Record,
    Row,
    Send,
    addressed_upsert,
    open_crm,
    property_of,
    sending,
    suppressed,
)
from signoff.tools.errors import CrmFailed
from signoff.tools.search import Library
from signoff.tools.storage import Blobs

_DONE: Final = ("done", "skipped")
_OWN: Final = ("name", "score", "points", "draft", "since", "rubric")
"""Properties of a lead beside what is known of it."""


def _address(given: str) -> str:
    try:
        return given if "://" in given else open_crm(given, load_settings()).name
    except SettingsError as error:
        raise ValueError(f"{error.problem}. {error.remedy}") from error


class LeadsInput(BaseModel):
    """Find leads among what documents are about, score them by a rubric, and write them to a CRM."""

    goal: str = "Find leads by the rubric"
    rubric: FileToRead = Field(repr=False, description="TOML file of rules, points and texts: docs/leads.md.")
    companies: Names = Field(
        (), repr=False, description="Names, or a FILE with one on each line; without, whom the documents are about."
    )
    sources: Folder = Field("", repr=False, description="Folder of documents about the candidates.")
    crm: Annotated[str, AfterValidator(_address)] = Field(
        "crm.db", validate_default=True, repr=False, description="SQLite file, or address of a CRM."
    )
    suppress: FileToRead = Field("", repr=False, description="File of names and domains that are not written to.")
    out: FileToWrite = Field("leads.md", repr=False, description="File for the summary: .md, .html or .docx.")


class Leads(Table):
    """What is known of each candidate."""


class Rows(Artifact):
    """What is to stand in the CRM."""

    rows: tuple[AddressedRow, ...]


class FollowUps(Artifact):
    """What is to be said later, what is not said any more, and what is sent now."""

    rows: tuple[AddressedRow, ...]
    due: tuple[AddressedRow, ...] = ()


@dataclass(frozen=True)
class _Desk:
    """What the agents do, with the documents and the CRM of each run."""

    settings: Settings
    documents: Libraries
    write: Action[AddressedRow]
    schedule: Action[AddressedRow]
    send: Action[AddressedRow] | None
    publish: Action[Publication]
    blobs: Blobs

    def check(self, given: LeadsInput, dry_run: bool) -> None:
        """SettingsError if the rubric is faulty, a file cannot be read or made, or the CRM takes no rows."""
        Rubric.read(given.rubric)
        check_places(given, self.documents)
        try:
            suppressed(given.suppress)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{given.suppress!r} cannot be read: {getattr(error, 'strerror', None) or error}"
            raise SettingsError("--suppress", problem, "Name a text file, a name or domain on each line.") from error
        try:
            for kind in () if dry_run else get_args(Kind):
                open_crm(given.crm, self.settings, kind).check()
        except CrmFailed as error:
            problem = f"no rows can be written to {error.crm}: {error.problem}"
            raise SettingsError("--crm", problem, "Mend that, or name another: docs/leads.md#the-crm.") from error

    def crm(self, task: Task, kind: Kind = "leads") -> CRM:
        return open_crm(task.input.crm, self.settings, kind)

    def library(self, task: Task) -> Library:
        return self.documents.of(task.input.sources)

    def clerk(self, task: Task) -> Rows:
        """A row for each lead; since when it is one stands in the CRM, if it was one before."""
        table, leads, letters = task.need(Leads), task.need(Scores).leads, task.need(Letters)
        rubric, rows = task.need(Rubric), list[AddressedRow]()
        found = self.kept(
            task, [one.row for one in leads], [*_OWN, *map(property_of, (column.name for column in table.columns))]
        )
        for one in leads:
            known = {property_of(cell.column): cell.shown for cell in table.row(one.row) if cell.facts}
            own = {"name": one.row, "score": str(one.total), "points": one.told, "draft": letters.text(one.row)}
            record = found.get(one.row)
            since = record.properties.get("since", "") if record is not None else ""
            own |= {"since": since or _today().isoformat(), "rubric": rubric.sha256[:12]}
            rows.append(self.row(task, one.row, {**known, **own}).over(record))
        return Rows(rows=tuple(rows))

    def kept(self, task: Task, names: Sequence[str], properties: Sequence[str]) -> dict[str, Record]:
        """The rows of these leads as the CRM has them."""
        keys = {name: self.row(task, name, {"name": name}).key for name in names}
        found = self.crm(task).find(list(keys.values()), properties)
        return {name: found[key] for name, key in keys.items() if key in found}

    def row(self, task: Task, name: str, properties: Mapping[str, str], *more: str) -> AddressedRow:
        made = Row.of("leads", "\n".join((key_of(name), *more)), "1", name, properties)
        return AddressedRow(**made.model_dump(), crm=task.input.crm, suppress=task.input.suppress)

    def write_rows(self, found: Rows, task: Task) -> list[Proposal]:
        return [
            self.write.propose(row, f"{row.properties['score']} points.")
            for row in unsaid(task, self.write, found.rows)
        ]

    def scheduler(self, task: Task) -> FollowUps:
        """What is due to each lead that was written, and what is taken back from those who are suppressed by now."""
        leads = [(one.args["name"], one.args["properties"]["since"]) for one in outcomes_of(task, self.write, *_DONE)]
        kept = self.kept(task, task.need(Candidates).suppressed, ["since"])
        gone = {name: since for name, record in kept.items() if (since := record.properties.get("since"))}
        wanted = [row for name, since in leads for row in self.steps(task, name, since, "planned")]
        taken = [row for name, since in gone.items() for row in self.steps(task, name, since, CANCELLED)]
        plan = planned(wanted, taken, self.crm(task, "followups"), _today().isoformat())
        if self.send is None:  # what is due stays as it is planned
            return FollowUps(rows=(*plan.due, *plan.later, *plan.cancelled))
        sent = tuple(row.changed(status=SENT) for row in plan.due)
        return FollowUps(rows=(*plan.later, *plan.cancelled), due=sent)

    def steps(self, task: Task, name: str, since: str, status: str) -> Iterator[AddressedRow]:
        table = task.need(Leads)
        for one in task.need(Rubric).followups:
            due = (date.fromisoformat(since) + timedelta(days=one.after_days)).isoformat()
            text = fill(one.text, name, table)[0] if name in table.rows and status == "planned" else ""
            properties = {"lead": name, "step": one.step, "due": due, "status": status, "text": text}
            yield self.row(task, name, properties, one.step, due)

    def plan(self, found: FollowUps, task: Task) -> list[Proposal]:
        rows = unsaid(task, self.schedule, found.rows)
        due = [] if self.send is None else unsaid(task, self.send, found.due)
        why = "{properties[step]}, due {properties[due]}: {properties[status]}."
        asked = [self.schedule.propose(row, why.format(properties=row.properties)) for row in rows]
        return [*asked, *(self.send.propose(row, "It is due.") for row in due if self.send is not None)]

    def summary(self, task: Task) -> Draft:
        return Draft(title="Leads", markdown=dashboard(self.told(task), task.need(Leads)), method="extracted")

    def told(self, task: Task) -> dict[str, Any]:
        """The dashboard, as JSON."""
        scores, candidates = task.need(Scores), task.need(Candidates)
        failed = [one for action in (self.write, self.schedule) for one in outcomes_of(task, action, "failed")]
        return {
            "candidates": len(candidates.names),
            "suppressed": list(candidates.suppressed),
            "several documents": list(candidates.twice),
            "confirmed": len(scores.scores),
            "leads": {one.row: {"score": one.total, "points": one.told} for one in scores.leads},
            "too few points": {one.row: one.total for one in scores.others},
            "excluded": {one.row: one.excluded for one in scores.scores if one.excluded},
            "not told": {one.row: list(one.open) for one in scores.scores if one.open},
            "drafts": {letter.row: letter.text for letter in task.need(Letters).letters if letter.text},
            "crm": task.input.crm,
            "rows": tally(task, self.write).model_dump(),
            "follow-ups": tally(task, self.schedule).model_dump(),
            "sent": len(outcomes_of(task, self.send, "done")),
            "refused": [f"{one.args['name']}: {one.detail}" for one in failed],
        }

    def review(self, task: Task) -> Review:
        table, scores, rubric = task.need(Leads), task.need(Scores), task.need(Rubric)
        done = [one for action in (self.write, self.schedule, self.send) for one in outcomes_of(task, action, "done")]
        outgoing = [
            row for one in done if (row := AddressedRow.model_validate(one.args)).properties.get("status") != CANCELLED
        ]
        sums = all(one.total == sum(point.points for point in one.points) for one in scores.scores)
        strays = list(task.need(Letters).strays(table, rubric.draft))
        same = task.need(Draft).markdown == dashboard(self.told(task), table)
        checks = (
            *check_table(table, self.library(task)),
            Check(name="Every score is the sum of its points.", passed=sums and score(rubric, table) == scores),
            Check(name="Drafts say only what is in cells.", passed=not strays, detail=", ".join(strays)),
            *check_rows(task, self.write, self.crm(task)),
            *check_rows(task, self.schedule, self.crm(task, "followups")),
            check_outgoing(outgoing, suppressed(task.input.suppress)),
            Check(name="The summary is what code makes of all this.", passed=same),
        )
        return Review.of(checks)

    def sign_off(self, review: Review, task: Task) -> list[Proposal]:
        if not review.accepted:
            return []
        told, out = json.dumps(self.told(task), ensure_ascii=False, indent=1).encode(), task.input.out
        summary = Attachment(name=f"{Path(out).stem}-summary.json", sha256=self.blobs.keep(told), bytes=len(told))
        attached = (*table_attachments(task.need(Leads), out, self.blobs, "lead"), summary)
        report = Publication(path=out, content=task.need(Draft).markdown, attachments=attached)
        return [self.publish.propose(report, f"It passed its review ({len(review.checks)} checks).")]


def leads_team(
    *, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None, sender: Send | None = None
) -> Team:
    """Scout, enricher, qualifier, copywriter, CRM clerk, scheduler and reviewer; what they work on is each run's input.

    Without a `sender` nothing is sent: what is due stays a row of the CRM. With one each message that is due is asked
    about, sent once, and its row says so.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    write = addressed_upsert(settings, name="write_lead", kind="leads", description="Writes a lead to the CRM.")
    schedule = addressed_upsert(
        settings,
        name="schedule_followup",
        kind="followups",
        description="Plans a message, or cancels it. Sends nothing.",
    )
    send = None if sender is None else sending(settings, sender, name="send_followup", kind="followups")
    blobs = Blobs(settings.home)
    publish = publish_report(blobs=blobs)
    desk = _Desk(settings, Libraries(settings, None), write, schedule, send, publish, blobs)
    scout = CandidateScout(desk.library, confirm_each("confirm_lead", "Look at this candidate."))
    analyst = Agent(role="analyst", gives=Rubric, function=lambda task: Rubric.read(task.input.rubric))
    agents: list[Agent[Any]] = [analyst, scout.agent(), *_agents(desk, scout, models)]
    policy = Policy({action.name: "ask" for agent in agents for action in agent.actions})
    return Team(name="leads", input=LeadsInput, look=desk.check, agents=agents, policy=policy, options={"model": name})


def _agents(desk: _Desk, scout: CandidateScout, models: Tiers | None) -> list[Agent[Any]]:
    """Those who work on what people confirmed."""
    everything = (Rubric, Candidates, Leads, Scores, Letters, Rows, FollowUps)
    return [
        table_researcher(
            Leads,
            title="Leads",
            of=Company,
            rows=scout.confirmed,
            columns=lambda task: task.need(Rubric).asked,
            pages=lambda company, task: company.pages(desk.library(task)),
            needs=(Candidates, Rubric),
            row_needs=(Rubric,),
            role="enricher",
            model=models,
        ),
        Agent(
            role="qualifier",
            needs=(Rubric, Leads),
            gives=Scores,
            function=lambda task: score(task.need(Rubric), task.need(Leads)),
        ),
        copywriter(
            Leads,
            rows=lambda task: [one.row for one in task.need(Scores).leads],
            draft=lambda task: task.need(Rubric).draft,
            needs=(Rubric, Scores),
            model=models,
        ),
        Agent(
            role="clerk",
            needs=(Rubric, Candidates, Leads, Scores, Letters),
            gives=Rows,
            function=desk.clerk,
            actions=(desk.write,),
            propose=desk.write_rows,
        ),
        Agent(
            role="scheduler",
            needs=(Rubric, Candidates, Leads, Rows),
            gives=FollowUps,
            function=desk.scheduler,
            actions=(desk.schedule, *([desk.send] if desk.send is not None else [])),
            propose=desk.plan,
        ),
        Agent(role="writer", needs=everything, gives=Draft, function=desk.summary),
        Agent(
            role="reviewer",
            needs=(*everything, Draft),
            gives=Review,
            function=desk.review,
            actions=(desk.publish,),
            propose=desk.sign_off,
        ),
    ]


def _today() -> date:
    return datetime.now(UTC).date()


build, rebuild, graph, build_graph = entries_of(leads_team)
