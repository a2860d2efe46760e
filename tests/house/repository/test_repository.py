"""What a visitor and a build server find beside the code: each file says what the project does today."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
COMMITTED = [
    *WORKFLOWS,
    *FORMS,
    ROOT / ".pre-commit-config.yaml",
    *(ROOT / ".devcontainer").iterdir(),
    ROOT / "mkdocs.yml",
]
_REGISTRY = re.compile(
    r"https?://\S*(?:pypi|npm|registry|index)|\b(?:ghcr\.io|quay\.io|mcr\.microsoft\.com|docker\.io)\b"
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_hosted_ci_runs_the_one_command_that_every_change_must_pass() -> None:
    ci = read(ROOT / ".github" / "workflows" / "ci.yml")
    steps = [step.get("run") for job in ci["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert ci["permissions"] == {"contents": "read"}
    oldest = min(tuple(map(int, one.split("."))) for one in ci["jobs"]["all"]["strategy"]["matrix"]["python"])
    needs = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert needs is not None
    assert oldest == (int(needs[1]), int(needs[2]))


def test_a_release_is_built_twice_checked_without_the_checkout_and_published_with_attestations() -> None:
    release = read(ROOT / ".github" / "workflows" / "release.yml")
    said = json.dumps(release)
    for needed in (
        "SOURCE_DATE_EPOCH",
        "cmp dist/*.whl",
        "twine check --strict",
        "signoff new trial",
        "signoff run report",
    ):
        assert needed in said
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "id-token" not in json.dumps(release["jobs"]["build"])


@pytest.mark.parametrize("form", [form for form in FORMS if form.name != "config.yml"], ids=lambda form: form.stem)
def test_an_issue_form_has_what_its_host_needs(form: Path) -> None:
    told = read(form)
    assert told["name"]
    assert told["description"]
    fields = [field for field in told["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_every_tool_that_runs_before_a_commit_is_one_of_the_projects_own() -> None:
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert all(repo["repo"] == "local" for repo in read(ROOT / ".pre-commit-config.yaml")["repos"])
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert f'"{Path(program).name}>=' in extras
        assert [word for word in words if word.endswith(".py") and not (ROOT / word).is_file()] == []


def test_a_container_to_work_in_is_set_up_by_the_projects_own_command() -> None:
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert told["postCreateCommand"] == "python3 make.py setup"
    assert (ROOT / ".devcontainer" / told["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_no_file_names_a_registry_or_a_path_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _REGISTRY.search(text) is None
    assert re.search(r"(?<![\w.$}])/(?:home|Users|work|opt)/", text) is None


def test_the_changelog_can_be_cut_as_the_release_page_says() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+, \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])


def test_what_a_checkout_ignores_is_none_of_these() -> None:
    done = subprocess.run(["git", "check-ignore", *map(str, COMMITTED)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("not a checkout")
    assert done.stdout == ""
