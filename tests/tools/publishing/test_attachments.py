"""What is attached to a report is written beside it, in the same call, or nothing is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from signoff.errors import ActionFailed
from signoff.tools.publishing.publish import Attachment, Publication, publish_report
from signoff.tools.storage.blobs import Blobs

PNG = b"\x89PNG picture"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "kept")


def attach(blobs: Blobs, raw: bytes = PNG, name: str = "chart.png") -> Attachment:
    return Attachment(name=name, sha256=blobs.keep(raw), bytes=len(raw))


def test_a_report_and_its_charts_are_written_and_read_back(folder: Path, blobs: Blobs) -> None:
    action = publish_report(folder, blobs=blobs)
    report = Publication(path="deep/a.md", content="![x](chart.png)", attachments=(attach(blobs),))
    assert action.reconcile is not None
    assert action.reconcile(report, "key") is None
    done = action.call(report, "key")
    assert (folder / "deep" / "chart.png").read_bytes() == PNG
    assert (folder / "deep" / "a.md").read_text() == "![x](chart.png)"
    assert done["attachments"] == [
        {"path": str(folder / "deep" / "chart.png"), "bytes": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest()}
    ]
    assert sorted(os.listdir(folder / "deep")) == ["a.md", "chart.png"]
    assert action.call(report, "key") == done == action.reconcile(report, "key")
    (folder / "deep" / "chart.png").write_bytes(b"another")
    assert action.reconcile(report, "key") is None
    assert action.call(report, "key") == done


def test_what_was_written_is_known_without_the_kept_file(folder: Path, blobs: Blobs) -> None:
    action = publish_report(folder, blobs=blobs)
    report = Publication(path="a.md", content="x", attachments=(attach(blobs),))
    done = action.call(report, "key")
    blobs.path(report.attachments[0].sha256).unlink()
    assert action.reconcile is not None
    assert action.reconcile(report, "key") == done


def test_without_attachments_the_result_is_the_reports_alone(folder: Path, blobs: Blobs) -> None:
    assert set(publish_report(folder, blobs=blobs).call(Publication(path="a.md", content="x"), "key")) == {
        "path", "bytes", "sha256"
    }  # fmt: skip


def test_a_chart_that_is_gone_or_changed_stops_all_before_anything_is_written(folder: Path, blobs: Blobs) -> None:
    action = publish_report(folder, blobs=blobs)
    kept, lost = attach(blobs), attach(blobs, b"other", "lost.png")
    blobs.path(lost.sha256).write_bytes(b"changed")
    for wrong, problem in (
        (lost, "was changed since"),
        (lost.model_copy(update={"sha256": "0" * 64}), "is not in"),
        (kept.model_copy(update={"bytes": 1, "name": "b.png"}), f"has {len(PNG)} bytes, not 1"),
    ):
        report = Publication(path="a.md", content="x", attachments=(kept, wrong))
        with pytest.raises(ActionFailed, match=problem):
            action.call(report, "key")
        assert action.preview is not None
        assert "cannot be written" in action.preview(report)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", ["", "../a.png", "a/b.png", ".hidden", "a b.png", "a\n.png", "x" * 101])
def test_the_name_of_an_attachment_is_a_plain_one(name: str) -> None:
    with pytest.raises(ValidationError):
        Attachment(name=name, sha256="0" * 64, bytes=0)


def test_no_name_is_written_twice_and_no_folder_is_left(folder: Path, blobs: Blobs) -> None:
    action = publish_report(folder, blobs=blobs)
    twice = Publication(path="a.md", content="x", attachments=(attach(blobs), attach(blobs, b"other")))
    itself = Publication(path="a.md", content="x", attachments=(attach(blobs, name="a.md"),))
    for report in (twice, itself):
        with pytest.raises(ActionFailed, match="two files would be written"):
            action.call(report, "key")
    if hasattr(os, "symlink"):
        (folder / "chart.png").symlink_to(folder.parent / "outside.png")
        with pytest.raises(ActionFailed, match="is outside of"):
            action.call(Publication(path="a.md", content="x", attachments=(attach(blobs),)), "key")
    assert not (folder.parent / "outside.png").exists()
    assert not (folder / "a.md").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs limits of processes")
def test_a_full_disk_leaves_neither_chart_nor_report(folder: Path, blobs: Blobs) -> None:
    import resource

    (folder / "chart.png").write_bytes(b"old")
    report = Publication(path="a.md", content="x", attachments=(attach(blobs, b"p" * 5000),))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ActionFailed, match="Nothing was changed"):
            publish_report(folder, blobs=blobs).call(report, "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(folder) == ["chart.png"]
    assert (folder / "chart.png").read_bytes() == b"old"


def test_a_folder_in_the_place_of_a_chart_is_left_alone(folder: Path, blobs: Blobs) -> None:
    report = Publication(path="a.md", content="x", attachments=(attach(blobs), attach(blobs, b"other", "b.png")))
    (folder / "b.png").mkdir()
    with pytest.raises(ActionFailed, match="is a folder"):
        publish_report(folder, blobs=blobs).call(report, "key")
    assert os.listdir(folder) == ["b.png"]


def test_a_person_sees_each_file_and_where_to_look_at_it(folder: Path, blobs: Blobs) -> None:
    action = publish_report(folder, blobs=blobs)
    report = Publication(path="a.md", content="# Text", attachments=(attach(blobs),))
    assert action.preview is not None
    shown = action.preview(report)
    assert f"`{folder / 'a.md'}` (6 bytes). The file is new." in shown
    assert f"- and `{folder / 'chart.png'}` (12 bytes), kept as `{blobs.path(report.attachments[0].sha256)}`." in shown
    assert shown.rstrip("`\n").endswith("# Text")
    (folder / "chart.png").write_bytes(b"old")
    assert "**replaces** the file that is there" in action.preview(report)
