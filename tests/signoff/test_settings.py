"""Settings that make no sense: one line that names the setting, the place in it, and what to do."""

import os
import sys
from pathlib import Path
from types import FrameType

import pytest

from signoff.agents.models.registry import load_model
from signoff.errors import SettingsError, UnknownModel
from signoff.settings import load_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SIGNOFF_RATES", '{"m": {"requests_per_minute": 0}}', "0 in 'requests_per_minute' of 'm'"),
        ("SIGNOFF_RATES", '{"m": {"tokens_per_minute": -5}}', "-5 in 'tokens_per_minute' of 'm'"),
        ("SIGNOFF_RATES", '{"m": {"tokens_per_minute": Infinity}}', "finite number"),
        ("SIGNOFF_RATES", '{"m": {"rpm": 5}}', "'rpm' in 'm' is not usable (it should be 'requests_per_minute' or"),
        ("SIGNOFF_RATES", "xx", "it is no JSON"),
        ("SIGNOFF_PRICES", '{"m": -1}', "-1 in 'm'"),
        ("SIGNOFF_PRICES", '{"m": {"input": -1}}', "-1 in 'input' of 'm'"),
        ("SIGNOFF_PRICES", '{"m": NaN}', "finite number"),
        ("SIGNOFF_PRICES", '{"m": {"output": Infinity}}', "inf in 'output' of 'm'"),
        ("SIGNOFF_PRICES", '{"m": {"in": 1}}', "'in' in 'm' is not usable (it should be 'input',"),
        ("SIGNOFF_PRICES", "xx", "it is no JSON"),
        ("SIGNOFF_TIERS", "fast", "it is no JSON"),
        ("SIGNOFF_TIERS", '{"fast": 5}', "5 in 'fast'"),
        ("SIGNOFF_TIERS", '{"fast": ["a:b", 5]}', "5 in 'fast'"),
        ("SIGNOFF_TIERS", '{"": "openai:x"}', "a tier needs a name"),
        ("SIGNOFF_TIERS", "[1]", "[1] is not usable"),
        ("SIGNOFF_BASE_URL", "foo", "begin with http:// or https://"),
        ("SIGNOFF_BASE_URL", "http://", "name a host"),
        ("SIGNOFF_BASE_URL", "http://[", "'http://['"),
        ("SIGNOFF_MAX_TURNS", "0", "greater than or equal to 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line_that_names_it_and_the_place_in_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert told.value.setting == name
    assert expected in str(told.value)
    for inner in ("\n", "Value error", "[key]", "constrained", "Input should"):
        assert inner not in str(told.value)


def test_a_setting_of_json_shows_how_it_is_written_and_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiers", "prices", "rates"):
        with pytest.raises(SettingsError) as told:
            load_settings(**{name: "xx"})
        form = told.value.remedy.removeprefix("Write it as ")
        monkeypatch.setenv(f"SIGNOFF_{name.upper()}", form)
        assert getattr(load_settings(), name)


def test_an_address_that_may_hold_a_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", '["https://example.org/secret"')
    with pytest.raises(SettingsError, match="SIGNOFF_WEBHOOKS: what it says is not usable") as told:
        load_settings()
    assert "secret" not in str(told.value)


def test_settings_of_json_may_be_empty_and_come_from_a_file(home: Path) -> None:
    (home / ".env").write_text(
        'SIGNOFF_RATES=\nSIGNOFF_PRICES={"m": {"input": 1}, "n": 0}\nSIGNOFF_TIERS={"a": "b:c"}\n'
    )
    settings = load_settings()
    assert (settings.rates, settings.tiers) == ({}, {"a": "b:c"})
    assert settings.prices == {"m": {"input": 1.0}, "n": 0.0}


def test_every_line_of_the_example_file_can_be_used_as_it_stands(home: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    (home / ".env").write_text("\n".join(line.removeprefix("#") for line in lines if line.startswith("#SIGNOFF_")))
    settings = load_settings()
    assert list(settings.tiers) == ["fast", "smart"]
    assert not [name for name in os.environ if name.startswith("SIGNOFF_")]


@pytest.mark.parametrize(
    ("name", "expected"), [("foo:bar", "there is no provider 'foo'."), ("nonsense", "it names no provider and model.")]
)
def test_a_model_that_is_not_known_is_told_in_our_words(name: str, expected: str) -> None:
    with pytest.raises(UnknownModel) as told:
        load_model(name, load_settings())
    assert f"Model '{name}': {expected} Use 'offline'" in str(told.value)
    assert ".." not in str(told.value)
    assert "model_provider" not in str(told.value)


def test_an_address_with_a_password_is_no_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_BASE_URL", "https://ann:hunter22@models.example.org/v1")
    with pytest.raises(SettingsError, match="SIGNOFF_API_KEY") as told:
        load_settings()
    assert "hunter22" not in str(told.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("link", [False, True])
def test_a_signoff_of_another_user_is_not_opened_unless_it_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    kept = home / ("elsewhere" if link else ".signoff")
    kept.mkdir()
    if link:
        (home / ".signoff").symlink_to(kept)
    os.chown(kept, 12345, 12345)
    (home / ".env").write_text("SIGNOFF_HOME=.signoff\n")
    with pytest.raises(SettingsError, match=r"belongs to another user \(uid 12345\), and is not opened") as caught:
        load_settings()
    assert f"SIGNOFF_HOME={home / '.signoff'}" in str(caught.value)
    monkeypatch.setenv("SIGNOFF_HOME", str(home / ".signoff"))
    assert load_settings().home == home / ".signoff"


def test_a_signoff_whose_owner_is_not_who_works_here_is_not_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".signoff").mkdir()
    load_settings()
    monkeypatch.setattr(os, "geteuid", lambda: (home / ".signoff").stat().st_uid + 1)
    with pytest.raises(SettingsError, match="belongs to another user"):
        load_settings()
    assert load_settings(home=home / ".signoff").home == home / ".signoff"


def test_settings_of_another_user_are_not_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".env").write_text("SIGNOFF_USER=eve\n")
    mine = (home / ".env").stat().st_uid
    monkeypatch.setattr("signoff.settings.ADMINISTRATOR", mine + 2)
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    for given in ({}, {"model": "offline"}):
        with pytest.raises(SettingsError, match=rf"belongs to another user \(uid {mine}\), and is not read") as caught:
            load_settings(home=home, **given)
        assert f"sudo chown {mine + 1} {home / '.env'}" in str(caught.value)
    monkeypatch.setattr("signoff.settings.ADMINISTRATOR", mine)
    assert load_settings(home=home).user == "eve"
    (home / ".env").unlink()
    (home / ".env").mkdir()  # such as a virtual environment
    monkeypatch.setattr("signoff.settings.ADMINISTRATOR", mine + 2)
    assert load_settings(home=home).user == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_link_of_another_user_to_settings_of_root_is_not_followed(home: Path) -> None:
    (home / "kept").write_text("SIGNOFF_USER=eve\n")
    (home / ".env").symlink_to("kept")
    os.lchown(home / ".env", 12345, 12345)
    with pytest.raises(SettingsError, match=r"uid 12345"):
        load_settings()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_of_settings_that_is_not_utf_8_is_one_line_that_names_it(home: Path, encoding: str) -> None:
    (home / ".env").write_bytes("# mine\nSIGNOFF_USER=hunter22é\n".encode(encoding))
    with pytest.raises(SettingsError, match="is not UTF-8") as caught:
        load_settings()
    assert str(home / ".env") in str(caught.value)
    assert "Save it as UTF-8." in str(caught.value)
    assert "hunter22" not in str(caught.value)
    (home / ".env").write_bytes("SIGNOFF_USER=Zoé\n".encode("utf-8-sig"))
    assert load_settings().user == "Zoé"


def test_a_project_above_is_found_until_a_folder_has_one_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = home / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load_settings().home == Path(".signoff")
    (home / ".signoff").mkdir()
    assert load_settings().home == Path(".signoff")  # no database was made in it
    (home / ".signoff" / "signoff.db").touch()
    assert load_settings().home == home / ".signoff"
    (below / ".signoff").mkdir()
    assert load_settings().home == Path(".signoff")


def test_a_project_above_is_found_again_by_nothing_that_langgraphs_development_server_refuses(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = home / "project" / "agents"
    below.mkdir(parents=True)
    (home / "project" / ".signoff").mkdir()
    (home / "project" / ".signoff" / "signoff.db").touch()
    monkeypatch.chdir(below)
    load_settings()  # as the first node does, in a thread
    with monkeypatch.context() as at_the_loop:
        for refused in ("getcwd", "scandir"):
            at_the_loop.delattr(os, refused)
        assert load_settings().home == home / "project" / ".signoff"
    (home / "project").rename(home / "moved")
    assert load_settings().home == home / "moved" / ".signoff"


def test_a_named_home_or_a_lost_database_above_is_not_passed_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = home / "a"
    below.mkdir()
    monkeypatch.chdir(below)
    (home / ".signoff").mkdir()
    (home / ".signoff" / ".signoff.db.made").touch()
    assert load_settings().home == home / ".signoff"
    assert load_settings(home=Path("other")).home == Path("other")
    monkeypatch.setenv("SIGNOFF_HOME", "mine")
    assert load_settings().home == Path("mine")


def test_settings_are_read_again_once_the_environment_the_file_or_the_folder_has_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().user == ""
    monkeypatch.setenv("SIGNOFF_USER", "ada")
    assert load_settings().user == "ada"
    monkeypatch.delenv("SIGNOFF_USER")
    (home / ".env").write_text("SIGNOFF_USER=bob\n")
    assert load_settings().user == "bob"
    (home / ".env").write_text("SIGNOFF_USER=eve\n")
    assert load_settings().user == "eve"
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert load_settings().user == ""


def test_settings_are_the_callers_own(home: Path) -> None:
    del home
    load_settings().prices["made-up"] = 1.0
    assert load_settings().prices == {}


def test_the_same_surroundings_are_read_once(home: Path) -> None:
    del home
    load_settings()
    read: list[str] = []

    def hear(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_qualname == "DotEnvSettingsSource._read_env_files":
            read.append(event)

    sys.setprofile(hear)
    try:
        load_settings()
        load_settings(user="ada")
    finally:
        sys.setprofile(None)
    assert len(read) == 1  # with an option it is read: that is seldom, and shows that reading is seen
