"""What a fleet is deployed with: each file is one that its program takes, and names commands that there are."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from signoff.desk.cli.app import build
from signoff.fleet.queue.worker import GRACE_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
"""What the Compose Specification says a file is; check-jsonschema brings it."""
UNIT = DEPLOY / "signoff-worker@.service"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def takes(words: list[str]) -> bool:
    """Whether the command line knows these words: the command, and each of its options."""
    command: Any = build()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    whole = command.load()
    known = {option for parameter in whole.params for option in parameter.opts}
    return {word for word in words if word.startswith("--")} <= known


def test_the_compose_file_is_one_and_its_commands_are_there() -> None:
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    schema.validate(compose())
    services = compose()["services"]
    commands = [service["command"] for service in services.values() if "command" in service]
    assert len(commands) == 4
    assert all(takes(command) for command in commands)
    assert all(service.get("restart") == "unless-stopped" for service in services.values())
    wrong = compose()
    wrong["services"]["worker"]["stop_grace_periods"] = "1s"
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(wrong)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_the_unit_is_one_and_its_command_is_there(tmp_path: Path) -> None:
    text = UNIT.read_text()
    command = re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)
    assert command is not None
    program, *words = shlex.split(command[1])
    assert takes(words)
    here = tmp_path / "signoff-worker@1.service"
    here.write_text(text.replace(program, sys.executable))
    said = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    here.write_text(text.replace(program, sys.executable).replace("KillMode=mixed", "KillMode=gently"))
    assert subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True).stderr


def test_what_is_stopped_has_the_time_that_a_worker_takes_for_it() -> None:
    needed = GRACE_SECONDS + 15  # which its own end takes
    assert float(str(compose()["services"]["worker"]["stop_grace_period"]).removesuffix("s")) >= needed
    stop = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert stop is not None
    assert float(stop[1]) >= needed


def test_the_image_installs_extras_that_there_are_and_starts_a_command_that_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    extras = re.search(r"signoff-\*\.whl\)\[([a-z,]+)\]", text)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    assert {"fleet", "postgres"} <= set(extras[1].split(","))
    start = re.search(r"^CMD (\[.+\])$", text, re.MULTILINE)
    assert start is not None
    assert takes(json.loads(start[1]))
    assert not takes(["fleet", "work", "--parallel"])
    base = re.findall(r"^FROM python:3\.(\d+)", text, re.MULTILINE)
    assert min(map(int, base)) >= int(project["requires-python"].rpartition(".")[2])
