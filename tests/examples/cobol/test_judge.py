"""The judge: equal means every byte on every input, and what is not said so is said why."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from stand_in import git, make_repository

from examples.cobol.__main__ import main
from examples.cobol.corpus import CorpusMissing, fetch, samples
from examples.cobol.inputs import all_inputs, given_inputs
from examples.cobol.judge import Verdict, first_difference, java_program, judge
from examples.cobol.running import Behaviour, Here, Input, ToolMissing, check_tools
from examples.cobol.translator.program import RUNTIME, class_name, translate
from signoff import Run
from signoff.agents.roles.coder import Done
from signoff.graphs.teams import code_team
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives

ROOT = Path(__file__).parents[3]
PROGRAMS = ROOT / "examples" / "cobol" / "programs"
HELLO = """\
       IDENTIFICATION DIVISION.
       PROGRAM-ID. hello.
       DATA DIVISION.
       WORKING-STORAGE SECTION.
       01 NAME PIC X(5).
       PROCEDURE DIVISION.
           ACCEPT NAME.
           DISPLAY "Hello " NAME "!".
           MOVE 3 TO RETURN-CODE.
           STOP RUN.
"""
HELLO_JAVA = """\
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;

public final class Hello {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in, "ISO-8859-1").useDelimiter("\\n");
        String line = in.hasNext() ? in.next() : "";
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.ISO_8859_1);
        out.print("Hello " + (line + "     ").substring(0, 5) + "!\\n");
        System.exit(3);
    }
}
"""


def missing_tools() -> str:
    try:
        check_tools()
    except ToolMissing as missing:
        return str(missing)
    return ""


compilers = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


def verdict(folder: Path, source: str, java: str, *inputs: Input) -> Verdict:
    (folder / "Hello.java").write_text(java)
    found = inputs or (Input(name="Ada", stdin=b"Ada\n"), Input(name="none"))
    return judge(Here(), "hello.cob", source.encode(), java_program(folder, "Hello"), found)


# Without compilers


def test_what_a_program_says_on_standard_error_counts_and_what_its_machine_says_does_not() -> None:
    want = Behaviour(exit_code=1, stdout=b"", files={}, stderr=b"no such key\nlibcob: prog.cob: 9: error: it ends\n")
    thrown = b'Exception in thread "main" java.lang.Error\n\tat Hello.main(Hello.java:3)\n'
    assert first_difference(want, replace(want, stderr=b"no such key\n" + thrown)) == ""
    told = first_difference(want, replace(want, stderr=thrown))
    assert told == "standard error differs at byte 1, line 1: b'no such key\\n' is wanted, b'' came"


def test_the_first_difference_is_shown_with_its_place() -> None:
    want = Behaviour(exit_code=0, stdout=b"one\ntwo\n", files={"a": b"1"})
    assert first_difference(want, want) == ""
    other = Behaviour(exit_code=0, stdout=b"one\ntwx\n", files={"a": b"1"})
    shown = "output differs at byte 7, line 2: b'two\\n' is wanted, b'twx\\n' came"
    assert first_difference(want, other) == shown
    shorter = Behaviour(exit_code=0, stdout=b"one\n", files={"a": b"1"})
    assert "at byte 5, line 2: b'two\\n' is wanted, b'' came" in first_difference(want, shorter)


@pytest.mark.parametrize(
    ("code", "files", "told"),
    [
        (1, {"a": b"1"}, "exit code 1 for 0"),
        (0, {}, "the file a is not written"),
        (0, {"a": b"1", "b": b""}, "the file b is written, and not by the original"),
        (0, {"a": b"2"}, "the file a differs at byte 1, line 1: b'1' is wanted, b'2' came"),
        (124, {"a": b"1"}, "the Java was stopped, at its time or the size of what it wrote"),
    ],
)
def test_exit_codes_and_files_count_as_output_does(code: int, files: dict[str, bytes], told: str) -> None:
    want = Behaviour(exit_code=0, stdout=b"x", files={"a": b"1"})
    assert first_difference(want, Behaviour(exit_code=code, stdout=b"x", files=files)) == told


def test_a_report_says_each_kind_of_verdict() -> None:
    assert str(Verdict(program="a", status="equal", inputs=3)) == "a: equal (3 inputs)"
    assert str(Verdict(program="a", status="refused", why="line 2: CALL")) == "a: refused (line 2: CALL)"
    told = str(Verdict(program="a", status="cannot be judged", why="because", left_out=("x: y",)))
    assert told == "a: cannot be judged: because\n  not compared: x: y"


def test_a_missing_compiler_is_told_with_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["judge", "x.cob"]) == 2
    told = "cobc, javac, java cannot be found. Install: apt-get install default-jdk-headless gnucobol3\n"
    assert capsys.readouterr().err == told


def test_translating_tells_what_was_refused_and_fails_unless_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["translate", str(PROGRAMS / "caller.cob"), str(PROGRAMS / "sieve.cob"), "--out", str(tmp_path)]
    assert (main(asked), main([*asked, "--skip-refused"]), main(asked[:2])) == (1, 0, 1)
    assert "caller.cob: refused (line 8: the statement CALL)" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.java")} == {"Sieve.java", "Cobol.java"}


def test_samples_are_the_tests_of_one_program_with_what_it_prints(tmp_path: Path) -> None:
    test = "AT_SETUP([{0}])\nAT_DATA([prog.cob], [\n  {0}[[1]]\n])\n\nAT_CHECK([$COMPILE prog.cob], [0], [], [])\n"
    run = "AT_CHECK([$COBCRUN_DIRECT ./prog], [{}],\n[{}], [])\n\nAT_CLEANUP\n\n"
    text = test.format("one") + run.format(3, "out\n") + test.format("silent") + run.format(0, "")
    text += test.format("two").replace("$COMPILE", "$COMPILE -debug") + run.format(0, "out")
    (tmp_path / "run_x.at").write_text(text)
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as tar:
        tar.add(tmp_path / "run_x.at", "gnucobol/tests/testsuite.src/run_x.at")
    (found,) = samples(tmp_path / "x.tar.xz")
    assert (found.number, found.title, found.stdout, found.exit_code) == (1, "one", b"out\n", 3)
    assert found.source == b"\n  one[1]"


def test_another_archive_than_the_named_one_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "gnucobol3_3.1.2.orig.tar.xz").write_bytes(b"something else")
    with pytest.raises(CorpusMissing, match="is not the archive that it should be"):
        fetch(tmp_path)


# With compilers


@compilers
def test_java_that_does_the_same_is_equal(tmp_path: Path) -> None:
    assert verdict(tmp_path, HELLO, HELLO_JAVA) == Verdict(program="hello.cob", status="equal", inputs=2)


@compilers
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '"Hello ',
            '"Hallo ',
            "output differs at byte 2, line 1: b'Hello Ada  !\\n' is wanted, b'Hallo Ada  !\\n' came",
        ),
        ("exit(3)", "exit(0)", "exit code 0 for 3"),
        (
            "System.exit",
            "Runtime.getRuntime().exit",
            "refers to java.lang.Runtime, which a translated",
        ),
    ],
)
def test_java_that_does_something_else_differs(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = verdict(tmp_path, HELLO, HELLO_JAVA.replace(old, new))
    assert found.status == "differs"
    assert told in found.why


@compilers
@pytest.mark.hunt
def test_an_original_that_does_not_do_the_same_twice_cannot_be_judged(tmp_path: Path) -> None:
    source = HELLO.replace("ACCEPT NAME", 'CALL "C$GETPID" RETURNING P').replace("PIC X(5)", "USAGE BINARY-LONG")
    found = verdict(tmp_path, source.replace("RETURNING P", "RETURNING NAME"), HELLO_JAVA)
    assert found.status == "cannot be judged"
    assert found.left_out[0] == "Ada: the original does not do the same twice"


@compilers
@pytest.mark.hunt
def test_where_the_original_reads_outside_of_its_table_nothing_is_compared(tmp_path: Path) -> None:
    source = HELLO.replace("01 NAME PIC X(5).", "01 T. 02 NAME PIC 9 OCCURS 3.\n       01 N PIC 9.")
    source = source.replace("ACCEPT NAME", "ACCEPT N").replace('"Hello " NAME "!"', '"Hello " NAME(N) "    !"')
    java = HELLO_JAVA.replace('(line + "     ").substring(0, 5)', '"0    "')
    two, nine = Input(name="two", stdin=b"2\n"), Input(name="nine", stdin=b"9\n")
    found = verdict(tmp_path, source, java, two, nine)
    assert (found.status, found.inputs) == ("equal", 1)
    assert found.left_out[0].startswith("nine: the original is not defined there: libcob: prog.cob:")
    assert "out of bounds" in found.left_out[0]


@compilers
@pytest.mark.hunt
def test_a_program_of_ours_is_equal_on_given_and_on_made_inputs(tmp_path: Path) -> None:
    assert translated(PROGRAMS / "payroll.cob", tmp_path, count=8).status == "equal"


@compilers
@pytest.mark.hunt
@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.cob")), ids=lambda path: path.stem)
def test_all_programs_of_ours_are_equal_or_refused_on_many_inputs(program: Path, tmp_path: Path) -> None:
    wanted = "refused" if program.stem == "caller" else "equal"
    assert translated(program, tmp_path, count=80).status == wanted


def translated(program: Path, folder: Path, *, count: int) -> Verdict:
    source, name = program.read_text(), class_name(program)
    if program.stem == "caller":
        return Verdict(program=program.name, status="refused")
    (folder / f"{name}.java").write_text(translate(source, name))
    shutil.copy(RUNTIME, folder)
    inputs = all_inputs(given_inputs(program, source.encode()), count=count)
    return judge(Here(), program.name, source.encode(), java_program(folder, name), inputs)


@compilers
@pytest.mark.hunt
def test_of_the_120_programs_none_is_wrong_and_thirty_are_equal() -> None:
    cache = Path("~/.cache/signoff/cobol").expanduser()
    if not cache.is_dir():
        pytest.skip("the programs are not here: python -m examples.cobol corpus fetches them")
    done = subprocess.run(
        [sys.executable, "-m", "examples.cobol", "corpus", "--inputs", "4"], cwd=ROOT, capture_output=True, text=True
    )
    counts = {name: int(number) for number, name in re.findall(r"(\d+) (equal|differs|refused)\b", done.stdout)}
    assert (done.returncode, counts.get("differs", 0)) == (0, 0), done.stdout
    assert counts["equal"] >= 30


# In a run


CHECK = "PYTHONPATH=/given python3 -m examples.cobol judge hello.cob --here --inputs 1"
TRANSLATE = "PYTHONPATH=/given python3 -m examples.cobol translate hello.cob"


def asked(repo: Path, **more: str) -> dict[str, object]:
    given = {"repo": str(repo), "check": [CHECK], "give": [str(ROOT / "examples")]}
    return {"goal": "Translate hello.cob to Java", **given, **more}


@compilers
def test_a_run_proposes_the_translation_that_its_check_judges_equal(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "repo", {"hello.cob": HELLO})
    run = Run.start(code_team(model="offline"), asked(repo, codemod=TRANSLATE))
    assert run.approval is not None
    assert "exit code 0, 2 tests executed" in run.approval.reason
    run.approve()
    assert git(repo, "status", "--porcelain", "-uall").split() == ["??", "Cobol.java", "??", "Hello.java"]


@compilers
@pytest.mark.hunt
def test_a_model_writes_the_java_in_the_same_harness_and_hears_the_first_difference(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "repo", {"hello.cob": HELLO})
    wrong, right = (calls("write", path="Hello.java", text=text) for text in (HELLO_JAVA.replace("!", "?"), HELLO_JAVA))
    done = gives(Done(summary="Hello in Java."))
    with ScriptedServer({"coder": [wrong, done, right, done]}) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(code_team(settings=known), asked(repo), settings=known)
        sent = [str(request.body) for request in server.requests]
    assert "output differs at byte 12, line 1" in sent[2]
    assert run.approval is not None
    assert "exit code 0, 2 tests executed" in run.approval.reason
