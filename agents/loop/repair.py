"""Repair: whether what a model gave fits the form, and in few words where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

_MOST = 6
"""Problems that are named."""


def fill_in(form: type[BaseModel], values: Mapping[str, Any]) -> BaseModel | str:
    """The form with these values, or what is wrong with them, field by field."""
    try:
        return form.model_validate(values)
    except ValidationError as error:
        return tell_problems(error)
    except RecursionError:
        return "it is nested too deeply"


def tell_problems(error: ValidationError) -> str:
    """The fields that do not fit, and why."""
    problems = error.errors(include_url=False, include_context=False)
    told = [f"{'.'.join(map(str, problem['loc'])) or 'all of it'}: {problem['msg']}" for problem in problems[:_MOST]]
    more = f"; and {len(problems) - _MOST} more" if len(problems) > _MOST else ""
    return "; ".join(line[:300] for line in told) + more
