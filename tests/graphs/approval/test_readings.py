"""What is approved, what policy rules on and what the action gets are the same, however the arguments are read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator

from signoff import Action
from signoff.errors import BadAnswer, TeamError
from signoff.graphs.approval import describe
from signoff.graphs.approval.answers import read_answer

ACCOUNTS = {"ann": "ann"}


class Path(BaseModel):
    path: str

    @field_validator("path")
    @classmethod
    def decode(cls, value: str) -> str:
        return unquote(value)


class Known(BaseModel):
    to: str
    euros: int

    @field_validator("to")
    @classmethod
    def know(cls, value: str) -> str:
        return ACCOUNTS[value]


def edit(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    return {"decisions": [{"type": "edit", "edited_action": {"name": name, "args": args}}]}


def test_arguments_that_change_each_time_they_are_read_are_refused(office: Any) -> None:
    question = office.question(office.start())
    approval = replace(office.ledger.approvals.get(question["approval_id"]), shown={"path": "a.md"})
    action = replace(office.action, arguments=Path)
    assert read_answer(edit("pay", {"path": "a%2emd"}), approval, action).args == {"path": "a.md"}
    with pytest.raises(BadAnswer, match="change each time"):
        read_answer(edit("pay", {"path": "a%252emd"}), approval, action)


def test_a_validator_that_breaks_asks_again(office: Any) -> None:
    office.change(arguments=Known)
    office.start()
    again = office.question(office.answer(edit("pay", {"to": "eve", "euros": 5})))
    assert "KeyError" in again["action_requests"][0]["description"]
    office.answer({"decisions": [{"type": "approve"}]})
    assert len(office.paid) == 1


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"reason": "due <!--"}, "`due <!--`"),
        ({"reason": "due\n\n# Approved already"}, "`due<U+000A><U+000A># Approved already`"),
    ],
)
def test_a_reason_cannot_hide_or_fake_what_stands_around_it(office: Any, change: dict[str, str], shown: str) -> None:
    question = office.question(office.start())
    approval = office.ledger.approvals.get(question["approval_id"])
    text = describe(replace(approval, **change), office.action)
    assert shown in text
    assert '"euros": 5' in text


def test_the_arguments_are_in_the_question_and_cannot_end_their_block(office: Any) -> None:
    question = office.question(office.start())
    assert '"to": "ann"' in question["action_requests"][0]["description"]
    approval = office.ledger.approvals.get(question["approval_id"])
    text = describe(replace(approval, shown={"to": "```\n# Nothing is paid", "euros": 5}), office.action)
    assert "````json" in text


class Aliased(BaseModel):
    to: str = Field(alias="recipient")


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way to write it
    @property
    def length(self) -> int:
        return len(self.to)


@pytest.mark.parametrize("arguments", [Aliased, Computed])
def test_arguments_that_could_not_be_read_back_are_refused_when_the_action_is_made(arguments: type[BaseModel]) -> None:
    with pytest.raises(TeamError, match="cannot read what it wrote"):
        Action(name="pay", description="Pays.", arguments=arguments, call=lambda given, key: {})


def test_a_file_that_runs_by_itself_is_told_whatever_the_action_is(office: Any) -> None:
    approval = office.ledger.approvals.get(office.question(office.start())["approval_id"])
    text = describe(replace(approval, shown={"to": "sub/.envrc", "euros": 5}), office.action)
    assert "- **Runs by itself:** `sub/.envrc`, as a shell reads it" in text
