"""What a team knows next time: kept by proposal, with where it came from, listed and deleted by people."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.memory.item import Remembered as Remembered
    from signoff.tools.memory.memory import Memory as Memory
    from signoff.tools.memory.tools import memory_tools as memory_tools
offer(__name__)
