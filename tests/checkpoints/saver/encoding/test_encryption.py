import base64
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from signoff.checkpoints.saver.encoding.encryption import Cipher, new_key
from signoff.errors import MissingExtra, SettingsError, WrongKey
from signoff.settings import Settings

RAW = bytes(range(200, 232))
TEXT = base64.b64encode(RAW).decode()
PLACE = b"writes/1"


def test_what_is_sealed_opens_with_the_same_key_and_context() -> None:
    key = new_key()
    for plain in (b"", b"secret", os.urandom(100_000)):
        assert Cipher(key).open(Cipher(key).seal(plain, PLACE), PLACE) == plain


def test_nothing_of_the_plain_bytes_shows() -> None:
    assert b"secret" not in Cipher(RAW).seal(b"a secret here", PLACE)


def test_the_same_bytes_are_never_sealed_alike() -> None:
    cipher = Cipher(RAW)
    assert len({cipher.seal(b"secret", PLACE) for _ in range(100)}) == 100


def test_a_sealed_value_is_28_bytes_longer() -> None:
    assert len(Cipher(RAW).seal(b"12345", PLACE)) == 5 + 28


def test_another_key_does_not_open_it() -> None:
    sealed = Cipher(new_key()).seal(b"secret", PLACE)
    with pytest.raises(WrongKey, match="SIGNOFF_ENCRYPTION_KEY"):
        Cipher(new_key()).open(sealed, PLACE)


def test_a_value_moved_to_another_place_does_not_open() -> None:
    cipher = Cipher(RAW)
    with pytest.raises(WrongKey):
        cipher.open(cipher.seal(b"secret", PLACE), b"writes/2")


def test_no_changed_byte_and_no_cut_goes_unnoticed() -> None:
    cipher = Cipher(RAW)
    sealed = cipher.seal(b"secret", PLACE)
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    cut = [sealed[:length] for length in range(len(sealed))]
    for broken in [*changed, *cut, sealed + b"x"]:
        with pytest.raises(WrongKey):
            cipher.open(broken, PLACE)


def test_a_key_is_the_same_in_every_form() -> None:
    sealed = Cipher(RAW).seal(b"secret", PLACE)
    urlsafe = base64.urlsafe_b64encode(RAW).decode()
    standard = base64.b64encode(RAW).decode()
    assert urlsafe != standard
    for text in (urlsafe, standard, urlsafe.rstrip("="), RAW.hex(), RAW.hex().upper(), f" {standard}\n"):
        assert Cipher(text).open(sealed, PLACE) == b"secret"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "swordfish",
        "swordfish" * 5,
        "a" * 32,
        "ä" * 43,
        RAW.hex()[:-1],
        TEXT + "AAAA",
        b"",
        RAW[:16],
    ],
)
def test_anything_else_is_no_key_and_is_not_quoted(key: str | bytes) -> None:
    with pytest.raises(SettingsError, match=r"32 bytes.*signoff db key") as caught:
        Cipher(key)
    assert "swordfish" not in str(caught.value)


def test_a_key_fits_and_is_new_each_time() -> None:
    assert len({new_key() for _ in range(50)}) == 50
    Cipher(new_key())


def test_the_key_is_not_shown() -> None:
    cipher = Cipher(RAW)
    assert not hasattr(cipher, "__dict__")
    shown = f"{cipher!r} {cipher}"
    assert RAW.hex() not in shown
    assert base64.b64encode(RAW).decode() not in shown


def test_threads_share_one_cipher() -> None:
    cipher = Cipher(RAW)

    def turn(number: int) -> bool:
        plain = bytes([number % 251]) * (number * 13)
        place = str(number).encode()
        return cipher.open(cipher.seal(plain, place), place) == plain

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(2000)))


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingExtra, match=r"install .*\[encryption\]"):
        Cipher(RAW)


def test_the_package_is_loaded_only_for_a_cipher() -> None:
    code = "import sys, signoff.checkpoints.saver.encoding.encryption; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_key_is_a_setting_that_does_not_print(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNOFF_ENCRYPTION_KEY", raising=False)
    assert Settings().encryption_key is None
    key = new_key()
    monkeypatch.setenv("SIGNOFF_ENCRYPTION_KEY", key)
    settings = Settings()
    assert settings.encryption_key is not None
    assert settings.encryption_key.get_secret_value() == key
    assert key not in repr(settings)
