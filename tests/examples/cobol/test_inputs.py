"""Inputs: given ones come first, and what is made of them is the same each time."""

from __future__ import annotations

from pathlib import Path

from examples.cobol.inputs import CHANGES, all_inputs, given_inputs
from examples.cobol.running import Input

GIVEN = Input(name="given", stdin=b"12 apples\n-3 pears\n", files={"rates.txt": b"1.5\n"})


def test_the_same_seed_makes_the_same_inputs_and_another_one_others() -> None:
    first, again, other = (all_inputs([GIVEN], count=60, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] == GIVEN


def test_every_change_comes_and_no_input_comes_twice() -> None:
    made = all_inputs([GIVEN, Input(name="words", stdin=b"Some Words\nand more\n")], count=150)
    assert {one.name.rpartition(" with ")[2] for one in made[2:]} == set(CHANGES)
    keys = {(one.stdin, tuple(sorted(one.files.items()))) for one in made}
    assert len(keys) == len(made) <= 152


def test_edges_of_numbers_lines_and_ends_are_among_them() -> None:
    texts = {one.stdin for one in all_inputs([Input(name="given", stdin=b"12 a\n")], count=100)}
    assert {b"", b"\n", b"00 a\n", b"99 a\n", b"129 a\n", b"-12 a\n", b"12 a", b"12 a   \n", b"12 a\n12 a\n"} <= texts
    assert max(map(len, texts)) > 300


def test_a_program_without_any_input_is_run_once() -> None:
    assert all_inputs(given_inputs(Path("none.cob"), b"DISPLAY 1."), count=10) == [Input(name="nothing")]


def test_inputs_are_read_from_the_folder_beside_a_program(tmp_path: Path) -> None:
    for path, text in {"a/stdin": "in", "a/sub/rates.txt": "1", "b/rates.txt": "2"}.items():
        (tmp_path / "pay.inputs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pay.inputs" / path).write_text(text)
    first, second = given_inputs(tmp_path / "pay.cob", b"")
    assert (first.stdin, dict(first.files)) == (b"in", {"sub/rates.txt": b"1"})
    assert (second.name, second.stdin, dict(second.files)) == ("b", b"", {"rates.txt": b"2"})


def test_of_a_program_that_reads_something_and_has_nothing_given_it_is_invented() -> None:
    source = b'SELECT F ASSIGN TO "rates.txt". ACCEPT X.'
    bare, invented = given_inputs(Path("none.cob"), source)
    assert bare.stdin
    assert not bare.files
    assert list(invented.files) == ["rates.txt"]
