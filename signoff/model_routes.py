"""Routes: rules that say which tier of models does the work, by team, tenant, time of day and what is left to spend."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Route(BaseModel):
    """A rule that says which tier does the work instead: all that it names must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tier: str
    """Which of the tiers."""
    instead_of: str = ""
    """Of which; empty: of any."""
    team: str = ""
    tenant: str = ""
    hours: str = Field(default="", pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """From when to when by the clock of `zone`, such as `22:00-06:00`."""
    zone: str = "UTC"
    left_below: float | None = Field(default=None, gt=0, le=1)
    """While less than this share of one of the budgets is left that the call is charged to."""

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise ValueError(f"{zone!r} is no time zone, such as Europe/Berlin") from None
        return zone

    def is_time(self, now: datetime) -> bool:
        """Whether this moment is within its hours; they may go over midnight."""
        if not self.hours:
            return True
        since, _, until = self.hours.partition("-")
        at = now.astimezone(ZoneInfo(self.zone)).strftime("%H:%M")
        return since <= at < until if since <= until else at >= since or at < until
