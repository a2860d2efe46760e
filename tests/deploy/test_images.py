"""Each line of the Dockerfiles is done, also where there is no Docker, and what comes of it begins to work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = Path(__file__).parent / "programs" / "dockerfiles.py"
PYTHON = Path(sys.base_prefix) / "bin" / "python3"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"),
        reason="it mounts, as root of Linux",
    ),
]


def begins(work: Path, context: Path, dockerfile: Path, *commands: str) -> None:
    """Do the lines, and then these commands as the image would."""
    work.mkdir()
    words = ["unshare", "--mount", sys.executable, str(LINES), str(work), str(context), str(dockerfile), str(PYTHON)]
    done = subprocess.run([*words, *commands], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-5_000:]


def test_the_image_of_a_fleet_is_built_and_a_worker_works_in_it(tmp_path: Path) -> None:
    work = "signoff fleet work --concurrency 8 --until-idle"
    begins(tmp_path / "work", ROOT, ROOT / "deploy" / "Dockerfile", 'test "$(id -un)" = signoff', work)


def test_the_image_of_a_new_project_is_built_and_its_team_asks(tmp_path: Path, home: Path) -> None:
    subprocess.run([sys.executable, "-m", "signoff", "new", "shop"], cwd=home, check=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "wheels", str(ROOT)]
    reachable = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # where the guard stands
    subprocess.run(wheel, cwd=home / "shop", check=True, env=reachable)
    asks = "signoff run shop.team:team; test $? = 3"
    begins(tmp_path / "work", home / "shop", home / "shop" / "Dockerfile", asks, "signoff approvals | grep -q pay_back")


def test_the_image_that_signoff_is_worked_on_in_has_what_its_tests_need(tmp_path: Path) -> None:
    needed = ("git --version", "bwrap --version", 'test "$(id -un)" = dev')
    begins(tmp_path / "work", ROOT, ROOT / ".devcontainer" / "Dockerfile", *needed)
