"""Words for numbers of things, as every room says them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """A number of things: '1 quote', '2 quotes'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
