"""The translator: what is in the subset becomes Java, and all else is refused by name, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.cobol.translator.program import class_name, translate
from examples.cobol.translator.source import Refused, tokens_of

PROGRAMS = Path(__file__).parents[3] / "examples" / "cobol" / "programs"


def program(statements: str, data: str = "", environment: str = "") -> str:
    """A program in fixed format; data begin in line 5."""
    records = "\n".join(f"       {line}" for line in data.splitlines())
    lines = "\n".join(f"           {line}" for line in statements.splitlines())
    head = "       IDENTIFICATION DIVISION.\n       PROGRAM-ID. prog.\n"
    working = f"       DATA DIVISION.\n       WORKING-STORAGE SECTION.\n{records}\n"
    return f"{head}{environment}{working}       PROCEDURE DIVISION.\n{lines}\n"


def java(statements: str, data: str = "") -> str:
    return translate(program(statements, data), "Prog")


def refusal(statements: str, data: str = "") -> str:
    with pytest.raises(Refused) as refused:
        java(statements, data)
    return refused.value.construct


def test_paragraphs_are_methods_items_are_fields_and_loops_are_loops() -> None:
    made = translate((PROGRAMS / "bank.cob").read_text(), "Bank")
    assert "public final class Bank extends Cobol {" in made
    assert 'private final Num steps = num("9(4)", Usage.BINARY).value("0");' in made
    assert "private void takeIt() {" in made
    assert "for (acc.set(ONE); acc.get().compareTo(big(5)) <= 0; acc.add(ONE)) {" in made
    assert "if (amount.get().compareTo(ZERO) <= 0 || amount.get().compareTo(balance.at(acc" in made


def test_nothing_stands_behind_an_end_as_java_would_not_take_it() -> None:
    made = java('STOP RUN.\nDISPLAY "never".')
    assert "never" not in made


@pytest.mark.parametrize(
    ("statements", "data", "construct"),
    [
        ('CALL "X".', "", "the statement CALL"),
        ("SORT T.", "01 T PIC X.", "the statement SORT"),
        ("ALTER A TO B.", "", "the statement ALTER"),
        ("DISPLAY FUNCTION RANDOM.", "", "FUNCTION RANDOM"),
        ("MOVE 1 TO F.", "01 F COMP-1.", "COMP-1 in the description of an item"),
        ("MOVE 1 TO P.", "01 P PIC 9PP.", "PICTURE 9PP"),
        ("MOVE 1 TO P.", "01 P PIC 9(19).", "a number of 19 digits"),
        ("ACCEPT T FROM TIME.", "01 T PIC X(8).", "'TIME' where DATE or DAY is expected"),
        ("MOVE 1 TO NOWHERE.", "", "the name NOWHERE"),
        ("MOVE -5 TO T.", "01 T PIC X(3).", "MOVE of a number with sign, point or leading zeros to a text"),
        ("IF N / M = 2 DISPLAY N.", "01 N PIC 9.\n01 M PIC 9.", "a condition with a division that may be by zero"),
        ("COMPUTE N = N ** M.", "01 N PIC 9.\n01 M PIC 9.", "** M"),
        ("IF T = 5 DISPLAY T.", "01 T PIC X.", "a comparison of a number with a text"),
        ("DISPLAY T(4).", "01 G.\n 02 T PIC X OCCURS 3.", "the subscript 4 of 3"),
        ("DISPLAY T(2:4).", "01 T PIC X(4).", "a part (2:4) of 4 bytes"),
    ],
)
def test_what_is_not_in_the_subset_is_refused_by_its_name(statements: str, data: str, construct: str) -> None:
    assert refusal(statements, data) == construct


def test_a_refusal_names_the_line_of_the_source() -> None:
    with pytest.raises(Refused, match=r"^line 8: the statement CALL$"):
        java('DISPLAY "a".\nCALL "B".', "01 A PIC X.")


@pytest.mark.parametrize(
    ("statements", "data"),
    [
        ("ACCEPT G. ADD 1 TO N.", "01 G.\n 02 N PIC 9(3).\n 02 T PIC X."),
        ("MOVE T TO G. DISPLAY N.", "01 G.\n 02 N PIC 9(3).\n01 T PIC X(3)."),
        ("ADD 1 TO N.", "01 G.\n 02 T PIC X(3).\n 02 N REDEFINES T PIC 9(3)."),
        ("ADD 1 TO N.", '01 G VALUE "12".\n 02 N PIC 9(3).'),
    ],
)
def test_a_number_whose_digits_may_come_from_text_is_refused(statements: str, data: str) -> None:
    assert refusal(statements, data).startswith("the digits of N, which ")


def test_a_number_beside_a_text_in_a_table_is_not_the_text() -> None:
    made = java("ACCEPT T(1). ADD 1 TO N(1).", "01 G.\n 02 R OCCURS 3.\n  03 T PIC X(2).\n  03 N PIC 9(3).")
    assert "n.at(1).set(n.at(1).get().add(ONE));" in made


def test_constants_are_put_in_and_joined_texts_are_one() -> None:
    made = java('DISPLAY GREETING N.\nMOVE "a" & "b" TO T.', '78 GREETING VALUE "hi".\n01 N CONSTANT 12.\n01 T PIC XX.')
    assert 'display("hi", "12");' in made
    assert 't.move("ab");' in made


def test_a_literal_goes_on_in_the_next_line_from_column_72() -> None:
    first = f'           DISPLAY "{"a" * 52}'
    assert len(first) == 72
    source = program("").rstrip() + f'\n{first}\n      -    "bc".\n'
    assert f'display("{"a" * 52}bc");' in translate(source, "Prog")


def test_what_stands_behind_column_72_and_in_comments_is_not_read() -> None:
    source = program('DISPLAY "x". *> CALL "y"').rstrip() + "\n      * CALL\n           CONTINUE.".ljust(80) + "CALL\n"
    assert 'display("x");' in translate(source, "Prog")


def test_free_format_is_read_where_the_source_says_so() -> None:
    source = '>>SOURCE FREE\nidentification division.\nprogram-id. p.\nprocedure division.\ndisplay "x".\n'
    assert 'display("x");' in translate(source, "Prog")


def test_a_sign_that_is_no_cobol_is_refused_with_its_line() -> None:
    with pytest.raises(Refused, match="line 1: the sign '`'"):
        tokens_of("       DISPLAY `x`.\n")


@pytest.mark.parametrize(
    "text", ["", "       \n", "       IDENTIFICATION DIVISION.\n", "       MOVE.\n", "\0\0", "x" * 500]
)
def test_what_is_no_program_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        translate(text, "Prog")


@pytest.mark.parametrize("cut", range(0, 2400, 151))
def test_half_a_program_is_refused_or_translated_and_never_an_accident(cut: int) -> None:
    try:
        made = translate((PROGRAMS / "payroll.cob").read_text()[:cut], "Prog")
    except Refused as refused:
        made = str(refused)
    assert made.startswith(("line ", "import ", "public "))


def test_names_that_java_or_its_own_methods_need_are_given_others() -> None:
    data = "01 QUOTIENT PIC 9(3).\n01 REST PIC 9.\n01 CLASS-A PIC 9.\n01 INT PIC 9."
    made = java("DIVIDE INT BY 3 GIVING QUOTIENT REMAINDER REST.", data)
    assert 'private final Num quotient2 = num("999");' in made
    assert "quotient2.set(quotient);" in made
    assert 'private final Num int2 = num("9");' in made


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("pay-roll.cob", "PayRoll"),
        ("a.b.cbl", "AB"),
        ("1st.cob", "Program1st"),
        ("cobol.cob", "CobolProgram"),
        ("num.cob", "NumProgram"),
    ],
)
def test_a_file_names_its_class(file: str, name: str) -> None:
    assert class_name(Path(file)) == name
