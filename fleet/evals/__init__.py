"""Evals: a team is given cases, what it does is checked by code, and versions of it are held side by side."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.fleet.evals.cases import EvalCase as EvalCase, Expected as Expected, read_cases as read_cases
    from signoff.fleet.evals.checking import Check as Check, read_checks as read_checks
    from signoff.fleet.evals.evaluation import SCORE_COLUMNS as SCORE_COLUMNS, CaseResult as CaseResult
    from signoff.fleet.evals.evaluation import Evaluation as Evaluation, Score as Score, failures as failures
    from signoff.fleet.evals.evaluation import junit as junit, markdown as markdown, marks as marks
    from signoff.fleet.evals.evaluation import read_evaluation as read_evaluation, score_cells as score_cells
    from signoff.fleet.evals.execution import evals_settings as evals_settings
    from signoff.fleet.evals.kept_evaluations import Kept as Kept, KeptEvaluations as KeptEvaluations
    from signoff.fleet.evals.measuring import How as How, Measured as Measured, evaluate as evaluate
    from signoff.fleet.evals.measuring import measure as measure
offer(__name__)
