"""The command line, one file for each group of commands."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.desk.cli.app import main as main
    from signoff.desk.cli.lists import picture as picture
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
