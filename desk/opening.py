"""The first lines of a run, said before the frameworks are loaded, which takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path

from signoff.agents.models import OFFLINE, choose_model
from signoff.errors import SettingsError
from signoff.settings import Settings, load_settings


def open_run(question: str, *, sources: Path | None, out: Path | None, model: str | None) -> Settings:
    """The settings of a new run, checked; says which model is used."""
    if not question.strip():
        raise SettingsError("QUESTION", "is empty", "Say what the team is to find out.")
    settings = load_settings(model=model, sources=sources, out=out)
    if settings.sources is None:
        raise SettingsError("--sources", "is not set", "Name a folder of documents.")
    sys.stderr.write(f"{_model_line(settings)}\n")
    sys.stderr.flush()
    return settings


def _model_line(settings: Settings) -> str:
    chosen = choose_model(settings)
    if chosen != OFFLINE:
        return f"Model: {chosen}" + (f" at {settings.base_url}" if settings.base_url else "")
    why = "as asked" if settings.model else "no OPENAI_API_KEY or SIGNOFF_BASE_URL is set"
    return f"Model: offline ({why}). The report is extracted from your documents, not generated."
