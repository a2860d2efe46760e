"""The map of a repository shows first what the goal speaks of, and never more than it may."""

from __future__ import annotations

import pytest

from signoff.tools.files.repository_map import map_repository, words_in

FILES = {
    "shop/cart.py": b"class Cart:\n    def add(self): ...\n    def sum(self): ...\n\ndef empty_cart(a, *, b=1): ...\n",
    "shop/broken.py": b"class Half(:\n",
    "web/cart.ts": b"export class CartView {\n}\nexport function render(a) {\n}\n",
    "logo.png": b"\x89PNG\x00\x00",
    "README.md": b"# Shop\n",
}


def test_files_stand_with_what_they_define() -> None:
    shown = map_repository(FILES, "Mend the cart")
    assert "shop/cart.py (5 lines)\n    class Cart: add, sum; def empty_cart(a, *, b=1)" in shown
    assert "web/cart.ts (4 lines)\n    CartView; render" in shown
    assert "    Half" in shown
    assert "logo.png" in shown


@pytest.mark.parametrize("tokens", [60, 200, 2_000])
def test_it_is_never_longer_than_its_budget_and_counts_what_is_left_out(tokens: int) -> None:
    many = {f"pkg{number % 7}/module{number}.py": b"def run(a, b): ...\n" * 5 for number in range(2_000)}
    many["pkg1/billing/invoice_total.py"] = b"def invoice_total(rows): ...\n"
    shown = map_repository(many, "InvoiceTotal is wrong", tokens)
    assert len(shown) <= tokens * 3
    assert "more files" in shown
    assert "invoice_total.py (1 line)\n    def invoice_total(rows)" in shown


def test_names_are_split_into_words() -> None:
    assert words_in("parseHTTPDate in http_dates.py") >= {"parse", "dates", "http"}


def test_hidden_characters_of_names_are_shown() -> None:
    assert "\u202e" not in map_repository({"a\u202eb.py": b""}, "g")
