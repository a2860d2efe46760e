import sys
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from signoff.checkpoints.saver.encoding.rebuilding import BY_NAME, ONE, SEVERAL, rebuild
from signoff.checkpoints.saver.encoding.serializer import KNOWN
from signoff.errors import ClassChanged, UnlistedType, Unstorable


def marked(code: int, *parts: Any) -> bytes:
    """The bytes of a list with one object that LangGraph marked so."""
    return ormsgpack.packb([1, ormsgpack.Ext(code, ormsgpack.packb(parts))])


@pytest.mark.parametrize(
    ("packed", "error", "said"),
    [
        (marked(ONE, "zoneinfo", "ZoneInfo", "Mars/Olympus"), ClassChanged, r"zoneinfo\.ZoneInfo .*Mars/Olympus"),
        (marked(ONE, "decimal", "Decimal", "much"), ClassChanged, r"decimal\.Decimal "),
        (marked(SEVERAL, "re", "compile", ["(", 0]), ClassChanged, r"re\.compile .*unterminated"),
        (marked(BY_NAME, "langgraph.types", "Interrupt", {}), ClassChanged, r"types\.Interrupt .*missing 1 required"),
        (marked(BY_NAME, "no.such.module", "Ticket", {}), UnlistedType, r"no\.such\.module\.Ticket"),
        (marked(BY_NAME, "decimal", "Fraction", {}), ClassChanged, "there is no Fraction in decimal any more"),
        (marked(3, "datetime", "date", "2026-01-01", "fromisoformat"), Unstorable, "LangGraph does not rebuild it"),
        (marked(99), Unstorable, "marked 99"),
        (marked(ONE, "decimal", "Decimal", "1")[:-1], Unstorable, "damaged"),
    ],
)
def test_what_cannot_be_made_again_is_an_error_that_says_why(packed: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        rebuild(packed, KNOWN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [{(1, 2)}, {(1, (2, "a")), 3}, frozenset({(1, frozenset({(2,)}))})])
def test_tuples_in_a_set_come_back_as_tuples(value: Any) -> None:
    assert rebuild(JsonPlusSerializer().dumps_typed(value)[1], KNOWN) == value


def test_an_array_without_numpy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    packed = JsonPlusSerializer().dumps_typed([numpy.arange(3)])[1]
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(Unstorable, match="Install numpy"):
        rebuild(packed, KNOWN)
