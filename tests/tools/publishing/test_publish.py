"""Writing the report, once and whole."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
import warm

from signoff.errors import ActionFailed, SignoffError
from signoff.tools.publishing.publish import Publication, publish_report

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, modes and limits")


def test_a_report_is_written_whole_and_its_digest_returned(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "report.md"
    done = publish_report().call(Publication(path=str(target), content="Grüße\r\n"), "key")
    raw = "Grüße\r\n".encode()
    assert target.read_bytes() == raw
    assert done == {"path": str(target), "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    assert os.listdir(target.parent) == ["report.md"]


def test_a_relative_path_starts_from_the_folder_given_or_the_working_folder(tmp_path: Path, home: Path) -> None:
    publish_report(tmp_path).call(Publication(path="a.md", content="x"), "key")
    publish_report().call(Publication(path="b.md", content="y"), "key")
    assert (tmp_path / "a.md").read_text() == "x"
    assert (home / "b.md").read_text() == "y"


def test_a_path_that_leaves_the_folder_given_is_refused(tmp_path: Path, folder: Path) -> None:
    action = publish_report(folder)
    for path in ("../a.md", str(tmp_path / "a.md")):
        with pytest.raises(ActionFailed, match="is outside of"):
            action.call(Publication(path=path, content="x"), "key")
    assert not (tmp_path / "a.md").exists()


@pytest.mark.parametrize(
    ("path", "problem"),
    [("", "is empty"), (" ", "is empty"), ("a\0b", "NUL"), (".", "is a folder"), ("new/", "is a folder")],
)
def test_a_path_that_cannot_be_a_file_is_refused(path: str, problem: str) -> None:
    action = publish_report()
    with pytest.raises(SignoffError, match=problem) as caught:
        action.call(Publication(path=path, content="x"), "key")
    assert "\n" not in str(caught.value)
    assert action.preview is not None
    assert "cannot be written" in action.preview(Publication(path=path, content="x"))


def test_content_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="cannot be written as UTF-8"):
        publish_report().call(Publication(path=str(tmp_path / "a.md"), content="\ud800"), "key")
    assert os.listdir(tmp_path) == ["home"]


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ActionFailed, match=r"publish_report: cannot write '.*a.md': .*\. Nothing was changed\."
    ) as caught:
        publish_report().call(Publication(path=str(tmp_path / "file" / "a.md"), content="x"), "key")
    assert "\n" not in str(caught.value)


@posix
def test_a_full_disk_leaves_the_old_report_and_nothing_else(folder: Path) -> None:
    import resource

    (folder / "a.md").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ActionFailed, match="too large"):
            publish_report().call(Publication(path=str(folder / "a.md"), content="x" * 5000), "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (folder / "a.md").read_text() == "old"
    assert os.listdir(folder) == ["a.md"]


DIES = """
import os, sys
from pathlib import Path
from signoff.tools.publishing.publish import Publication, publish_report
os.replace = lambda *_, **__: os._exit(9)  # where the new name would be given
publish_report(Path(sys.argv[1])).call(Publication(path="a.md", content="x" * 5000), "key")
"""


def test_what_a_killed_attempt_left_is_used_up_by_the_next(folder: Path) -> None:
    assert warm.run([sys.executable, "-c", DIES, str(folder)]).returncode == 9
    assert len(os.listdir(folder)) == 1
    action = publish_report(folder)
    report = Publication(path="a.md", content="x" * 5000)
    assert action.reconcile is not None
    assert action.reconcile(report, "key") is None
    action.call(report, "key")
    assert os.listdir(folder) == ["a.md"]


@posix
def test_a_replaced_report_keeps_its_mode_and_a_link_its_target(folder: Path) -> None:
    (folder / "real.md").write_text("old")
    (folder / "real.md").chmod(0o640)
    (folder / "link.md").symlink_to("real.md")
    done = publish_report(folder).call(Publication(path="link.md", content="new"), "key")
    assert (folder / "link.md").is_symlink()
    assert (folder / "real.md").read_text() == "new"
    assert (folder / "real.md").stat().st_mode & 0o777 == 0o640
    assert done["path"] == str(folder / "real.md")


def test_reading_back_tells_whether_the_report_was_written(folder: Path) -> None:
    action = publish_report(folder)
    report = Publication(path="a.md", content="It is.")
    assert action.reconcile is not None
    assert action.reconcile(report, "key") is None
    done = action.call(report, "key")
    assert action.reconcile(report, "key") == done
    (folder / "a.md").write_text("It was.")
    assert action.reconcile(report, "key") is None


def test_writing_twice_changes_nothing_more(folder: Path) -> None:
    action = publish_report(folder)
    report = Publication(path="a.md", content="It is.")
    assert action.idempotent
    assert action.risk == "write"
    assert action.call(report, "key") == action.call(report, "key")
    assert os.listdir(folder) == ["a.md"]


def test_the_preview_of_a_long_report_in_place_of_another_is_told_at_once(folder: Path) -> None:
    action = publish_report(folder)
    assert action.preview is not None
    (folder / "a.md").write_text("\n".join(f"old {at}\n" for at in range(5_000)))
    report = Publication(path="a.md", content="\n".join(f"new {at}\n" for at in range(5_001)))
    assert "5000 lines go, 5002 lines are new." in action.preview(report)


def test_the_preview_says_where_how_large_and_what_is_replaced(folder: Path) -> None:
    action = publish_report(folder)
    assert action.preview is not None
    report = Publication(path="a.md", content="# One\nTwo\nThree\n")
    target = folder / "a.md"
    assert (
        action.preview(report)
        == f"Writes `{target}` (16 bytes). The file is new.\n\n```markdown\n# One\nTwo\nThree\n```"
    )
    target.write_text("# One\n2\nThree\n4\n")
    assert "It **replaces** the file that is there (16 bytes): 2 lines go, 1 lines are new." in action.preview(report)
    target.write_text(report.content)
    assert "The file is there already with just this content." in action.preview(report)
