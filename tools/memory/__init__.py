"""What a team knows next time: kept by proposal, with where it came from, listed and deleted by people."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.tools.memory.item import Remembered as Remembered
    from signoff.tools.memory.memory import Memory as Memory
    from signoff.tools.memory.tools import memory_tools as memory_tools
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
