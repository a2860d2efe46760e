"""The judge: Java does what its COBOL program does, on every input, byte for byte; the COBOL binary is the oracle."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from examples.cobol.running import Behaviour, Input, NotBuilt, Place, Program, run_on

Status = Literal["equal", "differs", "refused", "cannot be judged"]

_MACHINE: Final = "Xshare:auto XX:TieredStopAtLevel=1 XX:+UseSerialGC XX:CompressedClassSpaceSize=64m Xmx256m".split()
"""Options for a start that is quick and takes little of a sandbox's memory."""
_JAVA: Final = " ".join(["java", *(f"-{option}" for option in _MACHINE)])
_JAVAC: Final = " ".join(["javac", *(f"-J-{option}" for option in _MACHINE), "-encoding UTF-8 -nowarn -proc:none"])
_MAY_USE: Final = ("java/lang/", "java/math/", "java/util/", "java/io/", "java/nio/", "java/text/", "java/time/")
"""Where classes may be from that the Java refers to, besides its own."""
_MAY_NOT_USE: Final = re.compile(
    r"java/lang/(?:Process.*|Runtime|ClassLoader|Module.*|System\$Logger.*|reflect/.*|foreign/.*|invoke/MethodHandle)"
    r"|java/util/(?:ServiceLoader.*|jar/.*)|java/nio/channels/.*"
)
_NOT_ITS_OWN: Final = re.compile(
    rb"^(?:libcob: |attempt to reference |abnormal termination |"
    rb"Exception in thread |\s+at |\s+\.\.\. \d|Caused by: |Picked up ).*\n?",
    re.MULTILINE,
)
"""Lines of standard error that the two languages' own machines write."""
_SHOWN: Final = 60
"""Bytes that are shown around the first difference."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of one program."""

    program: str
    status: Status
    inputs: int = 0
    """On which the two were compared."""
    why: str = ""
    """The first difference, the construct that is refused, or why it cannot be judged."""
    left_out: tuple[str, ...] = ()
    """Inputs on which they were not compared, each with the reason."""

    def __str__(self) -> str:
        told = {"equal": f"equal ({self.inputs} inputs)", "refused": f"refused ({self.why})"}
        text = f"{self.program}: {told.get(self.status, f'{self.status}: {self.why}')}"
        return "\n".join([text, *(f"  not compared: {one}" for one in self.left_out)])


def cobol_program(source: bytes, *, checked: bool = False) -> Program:
    """The oracle. `checked`: it ends with a message where it would read outside of a table, or digits that are none."""
    return Program(
        sources={"prog.cob": source},
        build=f"cobc -x {'-debug' if checked else ''} -o ../built/prog prog.cob",
        start="$BUILT/prog",
    )


def java_program(folder: Path, main: str) -> Program:
    """The candidate: the class `main` of these sources, with what it refers to."""
    sources = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.java"))}
    build = f"{_JAVAC} -sourcepath . -d ../built {main}.java"
    return Program(sources=sources, build=build, start=f"{_JAVA} -cp $BUILT {main}", check=foreign_classes)


def judge(place: Place, name: str, source: bytes, candidate: Program, inputs: Sequence[Input]) -> Verdict:
    """Run both on all inputs. The candidate comes first, so that nothing of the oracle is there while it runs."""
    unable = Verdict(program=name, status="cannot be judged")
    if not inputs:
        return replaced(unable, why="there is no input")
    try:
        found = run_on(place, candidate, inputs)
    except NotBuilt as error:
        found, broken = None, str(error)
    try:
        twice = run_on(place, cobol_program(source), [*inputs, *inputs])
    except NotBuilt as error:
        return replaced(unable, why=f"the original is not compiled: {first_line(str(error))}")
    if found is None and "Java Runtime Environment" in broken:
        return replaced(unable, why="the Java compiler has too little memory here")
    if found is None:
        return Verdict(program=name, status="differs", why=f"the Java is not compiled: {broken}")
    wanted, again = twice[: len(inputs)], twice[len(inputs) :]
    left_out, differing = list[str](), list[tuple[Input, str]]()
    compared = 0
    for given, want, repeated, got in zip(inputs, wanted, again, found, strict=True):
        if want.ran_out:
            left_out.append(f"{given.name}: the original was stopped, at its time or the size of what it wrote")
        elif want != repeated:
            left_out.append(f"{given.name}: the original does not do the same twice")
        elif difference := first_difference(want, got):
            differing.append((given, difference))
        else:
            compared += 1
    problems = undefined_on(place, source, [given for given, _ in differing]) if differing else []
    for (given, difference), problem in zip(differing, problems, strict=True):
        if not problem:
            why = f"on the input {given.name!r}: {difference}"
            return Verdict(program=name, status="differs", inputs=compared, why=why)
        left_out.append(f"{given.name}: the original is not defined there: {problem}")
    if not compared:
        return replaced(unable, why="there is no input on which they can be compared", left_out=tuple(left_out))
    return Verdict(program=name, status="equal", inputs=compared, left_out=tuple(left_out))


def replaced(verdict: Verdict, *, why: str, left_out: tuple[str, ...] = ()) -> Verdict:
    return Verdict(program=verdict.program, status=verdict.status, why=why, left_out=left_out)


def undefined_on(place: Place, source: bytes, inputs: Sequence[Input]) -> list[str]:
    """For each input, the message with which the original ends when its accesses are checked; empty if it is sound."""
    behaviours = run_on(place, cobol_program(source, checked=True), inputs)
    told = (seen.stderr.decode("utf-8", "replace") for seen in behaviours)
    return [next((line for line in text.splitlines() if is_check(line)), "") for text in told]


def is_check(line: str) -> bool:
    """Whether this is what libcob says of a subscript, a reference modification, or digits that are none."""
    return "error:" in line and any(word in line for word in ("out of bounds", "not numeric", "out of range"))


def first_difference(want: Behaviour, got: Behaviour) -> str:
    """Where the candidate does something else first; empty if nowhere."""
    if got.ran_out:
        return "the Java was stopped, at its time or the size of what it wrote"
    if want.stdout != got.stdout:
        return f"output differs {_at(want.stdout, got.stdout)}{_said(got)}"
    if (said := own_words(want.stderr)) != (told := own_words(got.stderr)):
        return f"standard error differs {_at(said, told)}"
    if want.exit_code != got.exit_code:
        return f"exit code {got.exit_code} for {want.exit_code}{_said(got)}"
    for path in sorted({*want.files, *got.files}):
        if path not in got.files:
            return f"the file {path} is not written"
        if path not in want.files:
            return f"the file {path} is written, and not by the original"
        if want.files[path] != got.files[path]:
            return f"the file {path} differs {_at(want.files[path], got.files[path])}"
    return ""


def own_words(stderr: bytes) -> bytes:
    """What a program itself writes to standard error: not what libcob and Java's machine say of errors."""
    return _NOT_ITS_OWN.sub(b"", stderr)


def _at(want: bytes, got: bytes) -> str:
    """The first byte that differs, with what is around it."""
    pairs = zip(want, got, strict=False)
    at = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(want), len(got)))
    start = max(want.rfind(b"\n", 0, at) + 1, at - _SHOWN // 2)
    line = want.count(b"\n", 0, at) + 1
    shown = f"{want[start : start + _SHOWN]!r} is wanted, {got[start : start + _SHOWN]!r} came"
    return f"at byte {at + 1}, line {line}: {shown}"


def _said(got: Behaviour) -> str:
    told = first_line(got.stderr.decode("utf-8", "replace"))
    return f" (the Java says: {told})" if told else ""


def first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


# What the candidate may do


def foreign_classes(built: Path) -> str:
    """What the compiled Java refers to and may not: processes, networks, reflection; empty if nothing."""
    classes = {path.relative_to(built).with_suffix("").as_posix(): path.read_bytes() for path in built.rglob("*.class")}
    for name, raw in classes.items():
        for used in sorted(set(classes_of(raw)) - classes.keys()):
            if not used.startswith(_MAY_USE) or _MAY_NOT_USE.fullmatch(used):
                return f"{name} refers to {used.replace('/', '.')}, which a translated program does not need"
    return ""


_SIZES: Final = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}
"""Bytes of the entries of a class file's constant pool, by their tag; of text it is told by the entry."""


def classes_of(raw: bytes) -> Iterator[str]:
    """Names of the classes that a class file refers to."""
    count, at, index = struct.unpack_from(">H", raw, 8)[0], 10, 1
    texts, names = dict[int, str](), list[int]()
    while index < count:
        tag = raw[at]
        if tag == 1:
            size = struct.unpack_from(">H", raw, at + 1)[0]
            texts[index] = raw[at + 3 : at + 3 + size].decode("utf-8", "replace")
            at += 3 + size
        else:
            if tag == 7:
                names.append(struct.unpack_from(">H", raw, at + 1)[0])
            at += 1 + _SIZES[tag]
        index += 2 if tag in (5, 6) else 1
    for name in names:
        element = texts[name].lstrip("[")
        if element == texts[name]:
            yield element
        elif element.startswith("L"):  # an array; one of numbers or characters has no class
            yield element[1:-1]
