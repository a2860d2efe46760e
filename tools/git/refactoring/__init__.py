"""Refactoring: a repository in units that can be worked on side by side, and their work merged in order."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.git.refactoring.merging import Merged as Merged, UnitWork as UnitWork
    from signoff.tools.git.refactoring.merging import merge_in_order as merge_in_order, patched as patched
    from signoff.tools.git.refactoring.units import FILES as FILES, RepositoryUnits as RepositoryUnits, Unit as Unit
    from signoff.tools.git.refactoring.units import fill_in as fill_in, find_units as find_units
offer(__name__)
