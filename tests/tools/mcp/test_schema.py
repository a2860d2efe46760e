import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from signoff.checkpoints.canonical import digest
from signoff.tools.mcp.schema import arguments_of, check_schema, misfit

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_arguments_come_out_as_they_went_in(args: dict[str, Any]) -> None:
    model = arguments_of("any", {"type": "object"})
    out = model.model_validate(args).model_dump(mode="json")
    assert json.dumps(out) == json.dumps(args)
    assert digest(model.model_validate(out).model_dump(mode="json")) == digest(args)


@given(JSON)
def test_any_schema_is_used_or_refused_with_a_reason(schema: Any) -> None:
    if isinstance(schema, dict) and not check_schema(schema):
        misfit({}, schema)


def test_models_are_shown_the_schema_of_the_server() -> None:
    schema = {
        "type": "object",
        "properties": {"place": {"$ref": "#/$defs/place"}},
        "required": ["place"],
        "$defs": {"place": {"type": "string", "description": "Where."}},
    }
    shown = convert_to_openai_tool(arguments_of("look", schema))["function"]["parameters"]
    assert shown["properties"] == {"place": {"type": "string", "description": "Where."}}
    assert shown["required"] == ["place"]


def test_what_does_not_fit_is_named() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(ValidationError) as raised:
        arguments_of("do", schema).model_validate({"b": "z", "c": 1})
    said = str(raised.value)
    assert "'a' is a required property" in said
    assert "b: 'z' is not one of ['x', 'y']" in said
    assert "'c' was unexpected" in said


def test_a_circle_of_references_is_allowed() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}, "name": {"type": "string"}}}
    assert check_schema(tree) == ""
    assert convert_to_openai_tool(arguments_of("do", tree))["function"]["parameters"]["properties"]["name"]
    assert misfit({"next": {"next": {"name": 3}}}, tree) == "next.next.name: 3 is not of type 'string'"


def test_references_that_would_take_for_ever_are_not_followed() -> None:
    defs = {f"part{at}": {"allOf": [{"$ref": f"#/$defs/part{at + 1}"}] * 2} for at in range(60)}
    endless = {"type": "object", "$ref": "#/$defs/part0", "$defs": {**defs, "part60": {}}}
    assert check_schema(endless) == "its schema has more than 10,000 parts"


def test_an_expression_that_would_take_for_ever_is_not_tried() -> None:
    evil = {"type": "string", "pattern": "^(a+)+$"}
    schema = {
        "type": "object",
        "properties": {"x": evil},
        "patternProperties": {"^(a+)+$": {}},
        "additionalProperties": False,
    }
    assert check_schema(schema) == ""
    assert misfit({"x": "a" * 60 + "!", "a" * 60 + "!": 1}, schema) == ""
