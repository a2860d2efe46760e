"""How work flows: the team, its state, its nodes, who works next, what is allowed, and the ready-made teams."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.graphs.given import Given as Given, field_of as field_of
    from signoff.graphs.input_types import FileToRead as FileToRead, FileToWrite as FileToWrite, Folder as Folder
    from signoff.graphs.input_types import Names as Names, Positional as Positional, Words as Words
    from signoff.graphs.input_types import files_to_write as files_to_write
    from signoff.graphs.state import CONTINUE_RUN as CONTINUE_RUN, FOLLOW_PLAN as FOLLOW_PLAN, ItemRow as ItemRow
    from signoff.graphs.state import PlanStep as PlanStep, RAISE_BUDGET as RAISE_BUDGET, TeamInput as TeamInput
    from signoff.graphs.state import TeamState as TeamState, as_run as as_run
    from signoff.graphs.team import Team as Team, TeamGraph as TeamGraph
    from signoff.graphs.versions import Migrate as Migrate, is_current as is_current, migration as migration
offer(__name__)
