"""Every test runs in a folder of its own, with a clean environment, and cannot leave loopback."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

GUARD = Path(__file__).parent / "guard"

FOREIGN = ("LANGCHAIN_", "LANGSMITH_", "OPENAI_", "SIGNOFF_")
"""Starts of the names of variables that would change what is tested."""

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy")


def pytest_configure() -> None:
    """Guard this process, and every Python that it starts."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
    if not hasattr(sys.modules.get("sitecustomize"), "NetworkBlocked"):
        spec = spec_from_file_location("network_guard", GUARD / "sitecustomize.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(module_from_spec(spec))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test, where `.signoff` is made; nobody's settings reach it."""
    for name in os.environ:
        if name.startswith(FOREIGN) or name in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("LANGGRAPH_CLI_NO_ANALYTICS", "1")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
