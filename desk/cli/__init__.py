"""The command line, one file for each group of commands."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.desk.cli.app import main as main
    from signoff.desk.cli.lists import picture as picture
offer(__name__)
