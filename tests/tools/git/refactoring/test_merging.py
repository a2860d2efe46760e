"""Work on units merged in order: what fits is merged, what conflicts is done again or returned, like what breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from signoff.tools.files import Version, changes_between
from signoff.tools.git.refactoring import UnitWork, merge_in_order
from signoff.tools.git.refactoring.merging import Files

TEN = "".join(f"line {number}\n" for number in range(10))


def tree(**texts: str) -> dict[str, Version]:
    return {name: Version(text.encode()) for name, text in texts.items()}


START = tree(a=TEN, b=TEN)


def work(name: str, **texts: str | None) -> UnitWork:
    after = {**START, **tree(**{path: text for path, text in texts.items() if text is not None})}
    after = {path: version for path, version in after.items() if texts.get(path, "") is not None}
    return UnitWork(name, changes_between(START, after))


def never(_name: str, _files: Files, _conflicts: Sequence[str]) -> Files | str:
    return "it is not done again"


def fine(_files: Files) -> tuple[str, ...]:
    return ()


def text(files: Files, path: str) -> str:
    return files[path].raw.decode()


def test_changes_of_other_lines_of_one_file_are_both_in_it() -> None:
    first, last = work("one", a=TEN.replace("line 1", "ONE")), work("two", a=TEN.replace("line 8", "EIGHT"))
    merged = merge_in_order(START, [first, last], again=never, problems=fine)
    assert text(merged.files, "a") == TEN.replace("line 1", "ONE").replace("line 8", "EIGHT")
    assert (merged.again, merged.returned) == ((), {})


def test_a_conflict_is_returned_with_the_files_where_it_cannot_be_done_again() -> None:
    works = [work("one", a=TEN.replace("line 1", "ONE")), work("two", a=TEN.replace("line 1", "EINS"), b="")]
    merged = merge_in_order(START, works, again=never, problems=fine)
    assert text(merged.files, "a") == TEN.replace("line 1", "ONE")
    assert text(merged.files, "b") == TEN  # all of a unit's work or nothing
    assert "conflicts with what was merged before it in a; it is not done again" in merged.returned["two"]


def test_a_conflict_is_done_again_on_the_merged_tree() -> None:
    def again(_name: str, files: Files, conflicts: Sequence[str]) -> Files:
        assert conflicts == ("a",)
        return {**files, "a": Version(files["a"].raw.upper())}

    works = [work("one", a=TEN.replace("line 1", "ONE")), work("two", a=TEN.upper())]
    merged = merge_in_order(START, works, again=again, problems=fine)
    assert text(merged.files, "a") == TEN.replace("line 1", "ONE").upper()
    assert (merged.again, merged.returned) == (("two",), {})


def test_new_files_deletions_and_modes_merge_or_conflict() -> None:
    program = UnitWork("mode", changes_between(START, {**START, "a": Version(TEN.encode(), executable=True)}))
    works = [work("new", c="c\n"), work("same", c="c\n"), work("other", c="d\n"), work("gone", b=None), program]
    works.append(work("late", b=TEN + "more\n", a=TEN + "more\n"))
    merged = merge_in_order(START, works, again=never, problems=fine)
    assert set(merged.files) == {"a", "c"}
    assert merged.files["a"].executable
    assert set(merged.returned) == {"other", "late"}


def test_what_is_no_text_conflicts_and_does_not_crash() -> None:
    start = {"x": Version(b"\0\1\2")}
    works = [
        UnitWork(name, changes_between(start, {"x": Version(raw)})) for name, raw in (("a", b"\0a"), ("b", b"\0b"))
    ]
    merged = merge_in_order(start, works, again=never, problems=fine)
    assert set(merged.returned) == {"b"}


def test_the_works_with_which_the_tree_is_not_accepted_are_returned_and_the_others_stay() -> None:
    asked: list[int] = []

    def problems(files: Files) -> tuple[str, ...]:
        asked.append(len(files))
        bad = [path for path in files if path in ("n3", "n11")]
        return (f"{bad[0]} is bad",) if bad else ()

    works = [work(f"w{number}", **{f"n{number}": "x"}) for number in range(16)]
    merged = merge_in_order(START, works, again=never, problems=problems)
    assert set(merged.returned) == {"w3", "w11"}
    assert "not together with what was merged before it: n3 is bad" in merged.returned["w3"]
    assert len(merged.files) == 2 + 14
    assert len(asked) < 14  # halving, not one by one


def test_work_that_is_done_again_is_not_done_once_more_for_what_comes_after_it() -> None:
    """Of 16 that conflict, one breaks: the search for it goes on from what is accepted by then."""
    redone: Counter[str] = Counter()

    def again(name: str, files: Files, _conflicts: Sequence[str]) -> Files:
        redone[name] += 1
        return {**files, "a": Version(files["a"].raw + f"{name}\n".encode())}

    def problems(files: Files) -> tuple[str, ...]:
        return ("it is bad",) if b"w9\n" in files["a"].raw else ()

    works = [work(f"w{number}", a=TEN.replace("line 1", f"ONE {number}")) for number in range(16)]
    merged = merge_in_order(START, works, again=again, problems=problems)
    assert set(merged.returned) == {"w9"}
    assert merged.again == tuple(f"w{number}" for number in range(1, 16) if number != 9)
    assert sum(redone.values()) <= 3 * 16  # 55 if each try began anew
