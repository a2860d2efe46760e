"""What a team is given: the fields of its model, checked once, kept as JSON, and read again from it."""

import json
from dataclasses import replace
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, field_validator, model_validator
from typing_extensions import TypedDict

from signoff import Agent, Artifact, Ledger, Run, SecretName, Task, Team
from signoff.errors import BadInput, InputChanged, SettingsError, TeamError
from signoff.settings import load_settings
from signoff.testing import ScriptedModel, gives


class Place(BaseModel):
    city: str = Field(alias="town")


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class LeadsInput(BaseModel):
    """Leads of a campaign.

    More about them.
    """

    goal: str = "Find {limit} leads for {campaign}"
    campaign: str = Field(description="Which campaign it is.")
    limit: int = Field(10, gt=0, le=100)
    since: date = Field(default_factory=date.today)
    tags: list[str] = []
    places: list[Place] = []
    mode: Literal["fast", "slow"] = "fast"
    size: Size = Size.SMALL


class Seen(Artifact):
    goal: str
    given: str


def look(task: Task) -> Seen:
    return Seen(goal=task.goal, given="" if task.input is None else task.input.model_dump_json())


def team_of(kind: Any, **more: Any) -> Team:
    return Team(name="leads", input=kind, agents=[Agent(role="scout", gives=Seen, function=look)], **more)


def test_what_is_given_is_kept_with_its_defaults_as_json_and_read_again_as_it_was() -> None:
    team = team_of(LeadsInput)
    given = team.read_input({"campaign": "spring", "since": date(2026, 1, 2), "places": [{"town": "Ulm"}], "size": 2})
    assert given.goal == "Find 10 leads for spring"
    assert given.values == json.loads(json.dumps(given.values))
    assert given.values["since"] == "2026-01-02"
    again = team.takes.restore(given.goal, given.values)
    assert isinstance(again, LeadsInput)
    assert (again.goal, again.since, again.places[0].city) == (given.goal, date(2026, 1, 2), "Ulm")
    assert again.size is Size.LARGE


def test_a_mapping_the_model_and_a_line_of_json_say_the_same() -> None:
    team, values = team_of(LeadsInput), {"campaign": "spring", "limit": 3, "since": "2026-01-02"}
    line = team.read_input(json.dumps(values))
    assert line == team.read_input(values) == team.read_input(LeadsInput.model_validate(values))


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({}, "campaign", "is missing"),
        ({"campaign": "x", "limit": 0}, "limit", "0 is not usable"),
        ({"campaign": "x", "limit": "many"}, "limit", "'many' is not usable"),
        ({"campaign": "x", "mode": "quick"}, "mode", "'fast' or 'slow'"),
        ({"campaign": "x", "places": [{"town": 3}]}, "places, item 1, town", "valid string"),
        ({"campaign": "x", "places": [{"town": "Ulm"}, {}]}, "places, item 2, town", "is missing"),
        ({"campaign": "x", "limti": 3}, "limti", "no field of its input, which has goal, campaign, limit"),
        ({"campaign": "x", "limit": 2**70}, "limit", "64 bits"),
        ({"campaign": "\ud800"}, "campaign", "cannot be kept"),
        ({"campaign": "x", "goal": " "}, "goal", "is empty"),
        ({"campaign": "x", "goal": 3}, "goal", "3 is not usable"),
        ({"campaign": {1, "x"}}, "campaign", "is not usable"),
        ({3: "x"}, "", "not text"),
        ("[1]", "", "JSON list"),
        ('{"campaign": "a"', "", "no JSON"),
        ('{"campaign": "a", "campaign": "b"}', "", "'campaign' is there twice"),
        ("[" * 100_000, "", "no JSON"),
        (Place(town="Ulm"), "", "is a Place, not a LeadsInput"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_field(given: Any, field: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        team_of(LeadsInput).read_input(given)
    assert caught.value.field == field
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "leads" in str(caught.value)


def test_a_goal_that_is_given_is_taken_as_it_is_whatever_stands_in_braces() -> None:
    given = team_of(LeadsInput).read_input({"campaign": "spring", "goal": "Write {limit} and {nothing}"})
    assert given.goal == "Write {limit} and {nothing}"


def test_a_model_without_a_goal_is_given_one_beside_it_or_by_its_docstring() -> None:
    class Bare(BaseModel):
        count: int
        note: str = ""

    class Told(Bare):
        """Counts sheep.

        At night.
        """

    assert team_of(Bare).read_input({"count": 3}).goal == "Bare: count = 3"
    assert team_of(Told).read_input({"count": 3}).goal == "Counts sheep: count = 3"
    given = team_of(Told).read_input({"count": 3, "goal": " Count them "})
    assert (given.goal, given.values) == ("Count them", {"count": 3, "note": ""})


def test_nothing_that_is_given_says_whose_a_run_is() -> None:
    class Loose(BaseModel):
        """Whatever it is."""

        more: dict[str, Any] = {}

    takes = team_of(Loose).takes
    with pytest.raises(BadInput, match="more has a 'run tenant' in it"):
        takes.read({"more": {"deep": [{"run tenant": "acme"}]}})
    assert takes.read({"more": {"note": '"run tenant":"acme"'}}).values["more"]["note"]


def test_a_team_without_an_input_takes_a_goal_and_nothing_else() -> None:
    team = team_of(None)
    assert team.read_input('{"goal": "look"}').goal == "look"
    with pytest.raises(BadInput, match=r"limit is no field of its input, which has goal\."):
        team.read_input({"goal": "look", "limit": 3})


class Login(BaseModel):
    user: str
    password: SecretStr
    next: "Login | None" = None


class WithLogin(BaseModel):
    login: Login


@pytest.mark.parametrize(
    "login", [{"user": 3, "password": "hunter2hunter2"}, "hunter2hunter2", {"password": "hunter2"}]
)
def test_an_error_in_what_may_hold_a_secret_shows_nothing_of_it(login: Any) -> None:
    with pytest.raises(BadInput) as caught:
        team_of(WithLogin).read_input({"login": login})
    assert caught.value.field.startswith("login")
    assert "hunter2" not in str(caught.value)


def test_an_error_shows_no_secret_that_was_cut_in_two() -> None:
    with pytest.raises(BadInput) as caught:
        team_of(LeadsInput).read_input({"campaign": "x", "limit": "x" * 40 + " sk-test-0123456789abcdefghij"})
    assert "sk-test" not in str(caught.value)


def test_what_a_model_checks_as_a_whole_is_told_as_its_own_words() -> None:
    class Pair(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def ordered(self) -> "Pair":
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    with pytest.raises(BadInput, match=r"Input of team 'leads' low is above high\."):
        team_of(Pair).read_input({"low": 2, "high": 1})


class WithKey(BaseModel):
    key: SecretName
    spare: SecretStr | None = None
    more: list[Place] = []


def test_a_secret_is_the_name_of_one_that_the_broker_has_and_never_a_value(home: Path) -> None:
    file = home / "secrets.toml"
    file.write_text('[secrets.crm]\nvalue = "a-long-secret"\nrules = [{hosts = ["crm.test"], tools = ["look"]}]\n')
    file.chmod(0o600)
    settings, team = load_settings(secrets=file), team_of(WithKey)
    given = team.read_input({"key": "crm", "spare": "crm"}, settings)
    assert given.values == {"key": "crm", "spare": "crm", "more": []}
    again = team.takes.restore(given.goal, given.values)
    assert isinstance(again, WithKey)
    assert again.spare is not None
    assert again.spare.get_secret_value() == "crm"
    for wrong in ({"key": "hunter2hunter2"}, {"key": "crm", "spare": "hunter2hunter2"}):
        with pytest.raises(BadInput, match="name of a secret, never a value; known: crm") as caught:
            team.read_input(wrong, settings)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(BadInput, match="SIGNOFF_SECRETS names no file"):
        team.read_input({"key": "crm"}, load_settings())
    with pytest.raises(BadInput) as told:
        team.read_input({"key": 1234567890}, settings)
    assert "1234567890" not in str(told.value)


@pytest.mark.parametrize(
    "given",
    [
        {"campaign": "sk-test-0123456789abcdefghij"},
        {"campaign": "x", "tags": ["ok", "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB"]},
    ],
)
def test_a_value_that_looks_like_a_secret_is_refused_and_not_shown(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="looks like a secret") as caught:
        team_of(LeadsInput).read_input(given)
    assert "0123456789" not in str(caught.value)


def test_a_model_reads_the_input_after_the_goal() -> None:
    model = ScriptedModel([gives(Seen(goal="", given=""))])
    agent = Agent(role="scout", gives=Seen, model=model)
    Team(input=LeadsInput, agents=[agent]).compile().invoke({"campaign": "spring", "tags": ["a", "b"]})
    said = str(model.calls[0])
    assert "# Goal\\nFind 10 leads for spring" in said
    assert '# Input\\ncampaign: "spring"\\nlimit: 10' in said
    assert 'tags: ["a", "b"]' in said


def aliased() -> type[BaseModel]:
    class Aliased(BaseModel):
        size: int = Field(alias="groesse")

    return Aliased


def taken(name: str) -> type[BaseModel]:
    made: type[BaseModel] = type("Taken", (BaseModel,), {"__annotations__": {name: str}})
    return made


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Kept(BaseModel):
    size: int = Field(3, exclude=True)


class Mixed(BaseModel):
    key: list[SecretStr | str] = []


class NoSchema(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    lock: Team


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (dict, "no pydantic model"),
        (LeadsInput(campaign="x"), "Give its class"),
        (RootModel[int], "no pydantic model with fields"),
        (aliased(), r"Aliased\.size has an alias"),
        (taken("plan"), r"Taken\.plan: the team has something of that name"),
        (taken("scout"), r"Taken\.scout: the team has"),
        (taken("finish"), r"Taken\.finish: the team has"),
        (NoSchema, "NoSchema has no JSON schema"),
        (Open, "Open allows extra fields"),
        (Kept, r"Kept\.size is excluded from what is written"),
        (Mixed, r"Mixed\.key may be a text or a secret"),
    ],
)
def test_a_model_that_cannot_be_an_input_is_refused_when_the_team_is_made(kind: Any, says: str) -> None:
    with pytest.raises(TeamError, match=says):
        team_of(kind)


def test_the_graph_takes_the_fields_and_says_so_in_its_schema() -> None:
    graph = team_of(LeadsInput).compile()
    schema = graph.get_input_jsonschema()
    assert schema["properties"]["limit"]["exclusiveMinimum"] == 0
    assert schema["properties"]["campaign"]["description"] == "Which campaign it is."
    assert schema["required"] == ["campaign"]
    assert {"goal", "messages", "dry_run"} <= schema["properties"].keys()
    for given in ({"campaign": "spring"}, LeadsInput(campaign="spring")):
        seen = graph.invoke(given)["artifacts"]["Seen"]["value"]
        assert seen["goal"] == "Find 10 leads for spring"
        assert json.loads(seen["given"])["campaign"] == "spring"
    with pytest.raises(BadInput, match="limit 0 is not usable"):
        graph.invoke({"campaign": "spring", "limit": 0})


def test_another_input_on_the_same_thread_is_another_run_and_the_same_one_is_not() -> None:
    ledger, config = Ledger("ledger.db"), RunnableConfig(configurable={"thread_id": "t-1"})
    graph = replace(team_of(LeadsInput), ledger=ledger).compile(checkpointer=InMemorySaver())
    first = graph.invoke({"campaign": "a"}, config)
    second = graph.invoke({"campaign": "b"}, config)
    assert [first["run"]["number"], second["run"]["number"]] == [1, 2]
    assert second["run"]["goal"] == "Find 10 leads for b"
    assert [run.input["campaign"] for run in ledger.runs.list()] == ["b", "a"]
    third = graph.invoke({"messages": [("user", "Find them quickly")]}, config)
    assert (third["run"]["goal"], third["run"]["input"]["campaign"]) == ("Find them quickly", "b")
    fourth = graph.invoke({"campaign": "c"}, config)
    assert (fourth["run"]["goal"], fourth["run"]["input"]["campaign"]) == ("Find them quickly", "c")


def test_a_team_inside_a_larger_graph_takes_its_fields_from_it() -> None:
    class Outer(TypedDict, total=False):
        campaign: str
        limit: int
        artifacts: dict[str, Any]

    outer = StateGraph(Outer)
    outer.add_node("leads", team_of(LeadsInput).compile())
    outer.add_edge(START, "leads")
    outer.add_edge("leads", END)
    found = outer.compile().invoke({"campaign": "spring", "limit": 2})
    assert found["artifacts"]["Seen"]["value"]["goal"] == "Find 2 leads for spring"


def test_what_a_run_was_given_still_fits_a_model_that_lost_a_field_and_gained_one_with_a_default() -> None:
    class Later(BaseModel):
        model_config = ConfigDict(extra="forbid")
        campaign: str
        new: int = 7

    class Stricter(Later):
        must: str

    given = team_of(LeadsInput).read_input({"campaign": "spring"})
    again = team_of(Later).takes.restore(given.goal, given.values)
    assert again == Later(campaign="spring")
    with pytest.raises(InputChanged, match=r"Stricter does not take any more: must is missing"):
        team_of(Stricter).takes.restore(given.goal, given.values)


class Told(BaseModel):
    key: SecretStr
    keys: dict[SecretName, int] = {}
    more: Any = None

    @model_validator(mode="before")
    @classmethod
    def _first(cls, given: Any) -> Any:
        if given.get("more") == "first":
            raise ValueError(f"not {given}")
        return given

    @model_validator(mode="after")
    def _last(self) -> "Told":
        assert self.more != "last", f"not {self.key.get_secret_value()}"
        return self


@pytest.mark.parametrize("secret", ["pa55w0rd", "it's a pa55w0rd"])
def test_what_a_validator_says_shows_no_secret(secret: str) -> None:
    for more in ("first", "last"):
        with pytest.raises(BadInput, match=r"not .*…") as caught:
            team_of(Told).read_input({"key": secret, "more": more})
        assert "pa55" not in str(caught.value)


def test_a_secret_is_found_wherever_it_stands(home: Path) -> None:
    (home / "secrets.toml").write_text(
        '[secrets.crm]\nvalue = "a-long-secret"\nrules = [{hosts = ["crm.test"], tools = ["look"]}]\n'
    )
    (home / "secrets.toml").chmod(0o600)
    team, settings = team_of(Told), load_settings(secrets=home / "secrets.toml")
    for given, place in (
        ({"key": "crm", "keys": {"pa55w0rd": 1}}, r"keys.\(key\)"),
        (Told(key=SecretStr("crm"), more=[SecretStr("pa55w0rd")]), "more, item 1"),
        ({"key": "crm", "more": SecretStr("pa55w0rd")}, "more"),
    ):
        with pytest.raises(BadInput, match=f"{place} takes the name of a secret") as caught:
            team.read_input(given, settings)
        assert "pa55" not in str(caught.value)
    assert team.read_input({"key": "crm", "keys": {"crm": 1}}, settings).values["keys"] == {"crm": 1}


class Growing(BaseModel):
    goal: str = "Go on {name}"
    name: str = "x"

    @field_validator("name")
    @classmethod
    def _more(cls, name: str) -> str:
        return f"{name}!"


class Short(BaseModel):
    goal: str = Field("Go on {name}", max_length=10)
    name: str
    number: float = 0


def test_what_would_be_another_input_when_it_is_read_again_is_refused() -> None:
    with pytest.raises(BadInput, match="name becomes another each time it is read"):
        team_of(Growing).read_input({"name": "ann"})
    with pytest.raises(BadInput, match="goal 'Go on ann and bob' is not usable"):
        team_of(Short).read_input({"name": "ann and bob"})
    with pytest.raises(BadInput, match="number cannot be kept"):
        team_of(Short).read_input({"name": "a", "number": 10**400})


def test_what_types_cannot_tell_is_looked_at_once_before_a_run_begins(home: Path) -> None:
    looked: list[bool] = []

    def check(given: LeadsInput, dry_run: bool) -> None:
        looked.append(dry_run)
        if not Path(given.campaign).exists():
            raise SettingsError("--campaign", f"there is no {given.campaign!r}", "Write it first.")

    team = team_of(LeadsInput, look=check)
    assert team.read_input({"campaign": "spring"}).goal
    assert looked == []
    with pytest.raises(BadInput, match=r"campaign there is no 'spring'. Write it first") as refused:
        Run.start(team, {"campaign": "spring"})
    assert refused.value.field == "campaign"
    with pytest.raises(BadInput, match="there is no 'spring'"):
        team.compile(checkpointer=InMemorySaver()).invoke({"campaign": "spring"}, {"configurable": {"thread_id": "t"}})
    Path("spring").touch()
    run = Run.start(team, {"campaign": "spring"}, dry_run=True)
    Path("spring").unlink()
    assert run.status == "done"
    assert looked == [False, False, True]
