"""Who does the work: the Agent, its roles and bodies, models, what guards their prompts, and recordings."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.agent import Agent as Agent, Each as Each, Limits as Limits, Outcome as Outcome
    from signoff.agents.agent import OutcomeStatus as OutcomeStatus, Row as Row, Task as Task, Waiting as Waiting
    from signoff.agents.agent import given_by as given_by, given_by_actions as given_by_actions
    from signoff.agents.agent import check_model as check_model, item_by_item as item_by_item
    from signoff.agents.artifacts.artifact import Analysis as Analysis, Artifact as Artifact, Draft as Draft
    from signoff.agents.artifacts.artifact import Evidence as Evidence, Quote as Quote, Review as Review
    from signoff.agents.artifacts.artifact import SubGoal as SubGoal, Verdict as Verdict, WorkPlan as WorkPlan
    from signoff.agents.artifacts.table import Cell as Cell, Cells as Cells, Column as Column, Table as Table
    from signoff.agents.extractive.rubric import FollowUp as FollowUp, Rubric as Rubric, Score as Score
    from signoff.agents.extractive.rubric import Scores as Scores, fill as fill, score as score
    from signoff.agents.roles.deep import deep_agents as deep_agents
    from signoff.agents.roles.outreach.candidates import Candidate as Candidate, CandidateScout as CandidateScout
    from signoff.agents.roles.outreach.candidates import Candidates as Candidates, confirm_each as confirm_each
    from signoff.agents.roles.outreach.candidates import confirmed_each as confirmed_each, unconfirmed as unconfirmed
    from signoff.agents.roles.outreach.copywriter import Letter as Letter, Letters as Letters, copywriter as copywriter
    from signoff.agents.roles.outreach.outward import Tally as Tally, check_outgoing as check_outgoing
    from signoff.agents.roles.outreach.outward import check_rows as check_rows, dashboard as dashboard
    from signoff.agents.roles.outreach.outward import outcomes_of as outcomes_of, planned as planned, tally as tally
    from signoff.agents.roles.outreach.outward import unsaid as unsaid
    from signoff.agents.roles.planner import planner as planner
    from signoff.agents.roles.prompts import prompt as prompt
    from signoff.agents.roles.remedy.adapting import Adapted as Adapted, adapter as adapter
    from signoff.agents.roles.remedy.evidence import Case as Case, Cases as Cases, pull_text as pull_text
    from signoff.agents.roles.remedy.evidence import pull_title as pull_title, reason_of as reason_of
    from signoff.agents.roles.remedy.evidence import refusals as refusals, summary as summary
    from signoff.agents.roles.remedy.ladder import Attempt as Attempt, Fix as Fix, Fixes as Fixes, Ladder as Ladder
    from signoff.agents.roles.remedy.regression import Regression as Regression, ReleaseSources as ReleaseSources
    from signoff.agents.roles.remedy.scanning import Records as Records, Rescans as Rescans, Scan as Scan
    from signoff.agents.roles.remedy.scanning import Scans as Scans, scan as scan
    from signoff.agents.roles.remedy.verifying import Tests as Tests, Verified as Verified
    from signoff.agents.roles.remedy.verifying import choose_checks as choose_checks, verify as verify
    from signoff.agents.roles.remedy.verifying import wanted_by as wanted_by
    from signoff.agents.roles.tables.row_pages import Libraries as Libraries, Shelf as Shelf, browse as browse
    from signoff.agents.roles.tables.row_pages import distinct as distinct, read_pages as read_pages, refresh as refresh
    from signoff.agents.roles.scout import CONFIRM as CONFIRM, Companies as Companies, Company as Company
    from signoff.agents.roles.scout import companies_in as companies_in, companies_of as companies_of
    from signoff.agents.roles.scout import confirmed as confirmed, scout as scout
    from signoff.agents.roles.tables.table_checks import check_prose as check_prose, check_table as check_table
    from signoff.agents.roles.tables.table_checks import unmapped as unmapped
    from signoff.agents.roles.tables.table_report import (
        TableReport as TableReport,
        table_attachments as table_attachments,
    )
    from signoff.agents.roles.tables.table_report import table_before as table_before, table_pictures as table_pictures
    from signoff.agents.roles.tables.table_researcher import Pages as Pages, row_cells as row_cells
    from signoff.agents.roles.tables.table_researcher import table_researcher as table_researcher
    from signoff.agents.roles.coder import Baseline as Baseline, Change as Change, CodeWork as CodeWork, coder as coder
    from signoff.agents.roles.coder import ready as ready, run_codemod as run_codemod, tester as tester
    from signoff.agents.run_context import Hired as Hired, Payer as Payer, Say as Say, budgets_of as budgets_of
    from signoff.agents.run_context import current_payer as current_payer, paying as paying, say_nothing as say_nothing
    from signoff.agents.runner import StepFailed as StepFailed, StepHeld as StepHeld, Work as Work, ado_work as ado_work
    from signoff.agents.runner import do_work as do_work
    from signoff.agents.tracing import Span as Span, act_span as act_span, gate_span as gate_span, run_span as run_span
    from signoff.agents.tracing import set_up as set_up
    from signoff.agents.usage import NO_USAGE as NO_USAGE, Usage as Usage, add_usage as add_usage
    from signoff.agents.usage import usage_text as usage_text
    from signoff.agents.usage import call_usage as call_usage
offer(__name__)
