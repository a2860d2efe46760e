"""The first lines of a run, said before the frameworks are loaded, which takes seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signoff.agents.models.registry import OFFLINE, choose_model
from signoff.agents.models.settings import Terms
from signoff.agents.run_context import budgets_of
from signoff.agents.tracing import set_up
from signoff.checkpoints.ledger.budgets.model import Budget
from signoff.errors import SettingsError, SourcesMissing, UnknownTeam
from signoff.graphs.teams.catalog import TEAMS
from signoff.settings import Settings, load_settings


def open_run(
    team: str,
    question: str,
    *,
    sources: Path | None,
    out: Path | None,
    model: str | None,
    budget: str | None = None,
    recorded: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of a new run, checked; says which model is used. `recorded` are those of a run that is replayed."""
    if team not in TEAMS:
        raise UnknownTeam(team, sorted(TEAMS))
    if not question.strip():
        raise SettingsError("QUESTION", "is empty", "Say what the team is to find out.")
    outside = load_settings()  # parts of a run read them so, without what is given here
    _check(outside)
    set_up(outside)
    if budget:
        _check_budget(budget)
    given = {"model": model, "sources": sources, "out": out, "run_budget": budget}
    said: dict[str, Any] = {**(recorded or {}), **{name: value for name, value in given.items() if value}}
    settings = load_settings(**(said | {"tiers": {}} if model else said))  # a model that is asked for does all
    _check(settings)
    if settings.sources is None:
        raise SettingsError("--sources", "is not set", "Name a folder of documents.")
    if not settings.sources.expanduser().is_dir():
        raise SourcesMissing(settings.sources)
    _check_out(settings.out.expanduser().absolute())
    sys.stderr.write("Model: none, answers are replayed.\n" if recorded else f"{_model_line(settings)}\n")
    sys.stderr.flush()
    return settings


def _check(settings: Settings) -> None:
    """Raise for what only the first step would read, whatever model is used: no run is left behind that cannot go."""
    budgets_of(settings)
    Terms.of(settings)


def _check_budget(budget: str) -> None:
    try:
        Budget.read(budget)
    except ValueError as error:
        problem = f"{budget!r} is not usable ({error})"
        raise SettingsError("--budget", problem, "Write it as '$2 tokens=100000'.") from None


def _check_out(out: Path) -> None:
    """Raise before any work is done if the report could not be written there."""
    nearest = next(folder for folder in out.parents if folder.exists())
    if out.is_dir():
        raise SettingsError("--out", f"{str(out)!r} is a folder", "Name a file.")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK) or (out.exists() and not os.access(out, os.W_OK)):
        raise SettingsError("--out", f"{str(out)!r} cannot be written", "Name another file.")


def _model_line(settings: Settings) -> str:
    where = f" at {settings.base_url}" if settings.base_url else ""
    if settings.tiers:
        chains = {tier: [names] if isinstance(names, str) else names for tier, names in settings.tiers.items()}
        tiers = "; ".join(f"{tier} = {', else '.join(chain)}" for tier, chain in chains.items())
        of_openai = any(name.startswith("openai:") or name == "openai" for chain in chains.values() for name in chain)
        return f"Models by tier: {tiers}" + (f"; openai{where}" if where and of_openai else "")
    chosen = choose_model(settings)
    if chosen != OFFLINE:
        return f"Model: {chosen}{where}"
    why = "as asked" if settings.model else "no OPENAI_API_KEY or SIGNOFF_BASE_URL is set"
    return f"Model: offline ({why}). The report is extracted from your documents, not generated."
