"""The typed, named pieces of work, among them tables whose cells carry their evidence."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.agents.artifacts.artifact import Analysis as Analysis, Artifact as Artifact, Check as Check
    from signoff.agents.artifacts.artifact import Computation as Computation, Conflict as Conflict, Draft as Draft
    from signoff.agents.artifacts.artifact import Evidence as Evidence, Part as Part, Picture as Picture
    from signoff.agents.artifacts.artifact import Quote as Quote, Review as Review, Said as Said, SubGoal as SubGoal
    from signoff.agents.artifacts.artifact import Theme as Theme, Verdict as Verdict, WorkPlan as WorkPlan
    from signoff.agents.artifacts.artifact import WrittenPart as WrittenPart
    from signoff.agents.artifacts.statements import StoredText as StoredText, column_of as column_of
    from signoff.agents.artifacts.statements import common_columns as common_columns
    from signoff.agents.artifacts.statements import name_key as name_key, names_in as names_in, stated as stated
    from signoff.agents.artifacts.table import Cell as Cell, Cells as Cells, Change as Change, Column as Column
    from signoff.agents.artifacts.table import Fact as Fact, Span as Span, State as State, Table as Table
    from signoff.agents.artifacts.table_files import csv_of as csv_of, evidence as evidence
    from signoff.agents.artifacts.table_files import evidence_csv as evidence_csv, html_of as html_of
    from signoff.agents.artifacts.table_files import markdown as markdown, xlsx_of as xlsx_of
    from signoff.agents.artifacts.values import Kind as Kind, alike as alike, is_of_kind as is_of_kind
    from signoff.agents.artifacts.values import key_of as key_of, normal as normal
offer(__name__)
