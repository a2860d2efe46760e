"""A limit on what several runs cost together: what one may cost is set aside before it begins."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class CostLimit:
    """Of one event loop. What is set aside and what is spent is never more than the limit."""

    usd: float | None
    """None: there is none."""
    each: float
    """What one run may cost."""
    spent: float = 0.0
    begun: int = 0
    """Runs that are set aside for."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def set_aside(self, number: int = 1) -> bool:
        """Wait until there is room for so many runs; False once there will be none."""
        if self.usd is None:
            return True
        async with self._changed:
            while self.spent + (self.begun + number) * self.each > self.usd:
                if not self.begun:
                    return False
                await self._changed.wait()
            self.begun += number
        return True

    async def settle(self, number: int, usd: float) -> None:
        """So many runs that were set aside for have cost this."""
        if self.usd is None:
            return
        async with self._changed:
            self.begun -= number
            self.spent += usd
            self._changed.notify_all()
