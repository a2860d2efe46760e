"""Arguments checked against a JSON Schema that somebody else wrote, and kept exactly as they were given."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from signoff.error_base import MissingExtra

_MOST_PARTS = 10_000
"""Parts of a schema once its references are written out, as models are shown it."""
_LONGEST_PROBLEM = 300

_OTHERS_TO_CHECK = ("pattern", "patternProperties", "unevaluatedProperties")
"""The server's to check: an expression by somebody else could keep this process busy for ever."""


class Given(BaseModel):
    """Arguments as they were given: any JSON values that fit the schema."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    offered: ClassVar[Mapping[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _check(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("arguments are an object of names and values")
        if problem := misfit(dict(value), cls.offered):
            raise ValueError(problem)
        return value

    @classmethod
    def model_json_schema(cls, *_args: Any, **_options: Any) -> dict[str, Any]:
        """What models are shown: the server's own schema."""
        return {"title": cls.__name__, **deepcopy(dict(cls.offered))}


def arguments_of(name: str, schema: Mapping[str, Any]) -> type[Given]:
    return type(name, (Given,), {"offered": schema, "__module__": __name__, "__doc__": f"Arguments of {name}."})


def misfit(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What is wrong with the arguments, the deepest problems first; empty if they fit."""
    from jsonschema.exceptions import relevance
    from referencing.exceptions import Unresolvable

    try:
        problems = sorted(_validator(schema).iter_errors(arguments), key=relevance, reverse=True)
    except RecursionError:
        return "they are nested too deeply"
    except Unresolvable as error:
        return f"the schema refers to what it does not hold: {str(error)[:_LONGEST_PROBLEM]}"
    told = [f"{'.'.join(map(str, one.absolute_path)) or 'arguments'}: {one.message}" for one in problems[:3]]
    return "; ".join(told)[:_LONGEST_PROBLEM]


def check_schema(schema: Mapping[str, Any]) -> str:
    """Why this cannot be the schema of a tool's arguments; empty if it can."""
    from jsonschema import SchemaError
    from referencing.exceptions import Unresolvable

    if schema.get("type", "object") != "object":
        return "its arguments are no object"
    try:
        _validator_class().check_schema(schema)
        if _count(schema, schema, (), {}) > _MOST_PARTS:  # before anything follows every reference
            return f"its schema has more than {_MOST_PARTS:,} parts"
        _ = list(_validator(schema).iter_errors({}))
    except SchemaError as error:
        return f"its schema is none: {error.message[:_LONGEST_PROBLEM]}"
    except (LookupError, ValueError, TypeError, AttributeError, Unresolvable) as error:
        return f"a reference in its schema leads nowhere in it: {str(error)[:_LONGEST_PROBLEM]}"
    except RecursionError:
        return "its schema is nested too deeply"
    return ""


def _count(node: Any, whole: Mapping[str, Any], above: tuple[str, ...], known: dict[str, int]) -> int:
    """How many parts the schema has when every reference is written out, as it is for models; a circle counts once."""
    if isinstance(node, Mapping):
        total = 1
        for name, inner in node.items():
            if name in ("$ref", "$dynamicRef") and isinstance(inner, str):
                if inner not in known and inner not in above:
                    known[inner] = _count(_target(inner, whole), whole, (*above, inner), known)
                total += known.get(inner, 1)
            elif name not in ("$defs", "definitions"):
                total += _count(inner, whole, above, known)
        return total
    if isinstance(node, list | tuple):
        return 1 + sum(_count(inner, whole, above, known) for inner in node)
    return 1


def _target(reference: str, whole: Mapping[str, Any]) -> Any:
    """What a reference means; LookupError if it leads out of the schema."""
    start, _, path = reference.partition("#")
    if start or (path and not path.startswith("/")):
        raise LookupError(reference)
    found: Any = whole
    for step in path.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) else found[name]
    return found


def _validator(schema: Mapping[str, Any]) -> Any:
    from referencing import Registry

    registry: Registry[Any] = Registry()  # empty, so that no reference is ever fetched
    return _validator_class()(schema, registry=registry)


@cache
def _validator_class() -> Any:
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend
    except ImportError as error:
        raise MissingExtra("MCP", "mcp") from error
    known = Draft202012Validator.VALIDATORS["additionalProperties"]

    def additional(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
        """Unless there are patterns of names, which would have to be tried."""
        return () if "patternProperties" in schema else known(validator, wanted, instance, schema)

    ours = dict.fromkeys(_OTHERS_TO_CHECK, _pass) | {"additionalProperties": additional}
    return extend(Draft202012Validator, validators=ours)  # type: ignore[no-untyped-call]  # of jsonschema


def _pass(*_whatever: Any) -> tuple[()]:
    return ()
