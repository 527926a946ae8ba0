"""The cache is bounded, answers only for what it has seen, and is no condition for anything."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from microtune.cli import app
from microtune.data import Preprocessing, open_dataset
from microtune.errors import MicrotuneError
from microtune.tools import cache
from tests.data.image_sets import WRITERS, encode, noise, small_set, write_folder, write_npz

SMALL = Preprocessing(8, 8, 3)
BYTES = 6 * 8 * 8 * 3


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.delenv(cache.LIMIT, raising=False)
    cache.say_once.cache_clear()
    return tmp_path / "kept"


def image_set(place: Path, seed: int) -> Path:
    files = {f"train/{c}/{i}.bmp": encode(noise(seed + i), "BMP") for c in "ab" for i in range(3)}
    return write_folder(place, files)


def load(place: Path) -> bytes:
    return open_dataset(place).load("train", SMALL).frames.tobytes()


def test_other_bytes_of_the_same_names_sizes_and_times_are_decoded(tmp_path: Path) -> None:
    one, other = image_set(tmp_path / "one", 0), image_set(tmp_path / "other", 100)
    for path in tmp_path.rglob("*.bmp"):
        os.utime(path, (315532800, 315532800))
    first = load(one)
    assert load(other) != first
    victim = one / "train/a/0.bmp"
    content = bytearray(victim.read_bytes())
    content[700:760] = bytes(60)
    victim.write_bytes(content)
    os.utime(victim, (315532800, 315532800))
    assert load(one) != first


def test_the_same_images_are_decoded_once_whatever_holds_them(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = small_set()
    places = [write(tmp_path / kind, files) for kind, write in WRITERS.items()]
    encoded = [files[f"train/{c}/{i}.png"] for c in ("cat", "dog") for i in range(3)]
    ends = np.cumsum([0, *map(len, encoded)])
    places.append(write_npz(tmp_path / "set.npz", {
        "jpeg": np.frombuffer(b"".join(encoded), np.uint8), "offset": ends,
        "label": [0, 0, 0, 1, 1, 1], "test": [0] * 6, "classes": ["cat", "dog"],
    }))  # fmt: skip
    first = load(places[0])
    monkeypatch.setattr(Preprocessing, "decode_noted", None)
    assert [load(place) for place in places] == [first] * 4
    assert len(list(folder.iterdir())) == 1


def test_another_decoder_decodes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = image_set(tmp_path / "set", 0)
    load(place)
    monkeypatch.setattr("microtune.data.frames.decoder_versions", lambda: "Pillow 99")
    monkeypatch.setattr(Preprocessing, "decode_noted", None)
    with pytest.raises(TypeError):
        load(place)


def test_every_damaged_byte_of_a_kept_file_is_noticed(tmp_path: Path, folder: Path) -> None:
    place = image_set(tmp_path / "set", 0)
    wanted = load(place)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    for at in [*range(0, 300, 7), *range(300, len(whole), 97), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[at] ^= 1
        kept.write_bytes(bytes(damaged))
        assert load(place) == wanted
        assert kept.read_bytes() == whole
    other = image_set(tmp_path / "other", 50)
    load(other)
    (second,) = set(folder.iterdir()) - {kept}
    second.replace(kept)
    assert load(place) == wanted


def test_what_was_used_longest_ago_goes_first(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [image_set(tmp_path / str(i), 10 * i) for i in range(4)]
    names: list[str] = []
    for number, place in enumerate(sets[:3]):
        load(place)
        (new,) = {p.name for p in folder.iterdir()} - set(names)
        names.append(new)
        os.utime(folder / new, (1000 + number, 1000 + number))
    size = (folder / names[0]).stat().st_size
    monkeypatch.setenv(cache.LIMIT, str(3 * size + 10))
    load(sets[0])
    load(sets[3])
    left = {p.name for p in folder.iterdir()}
    assert names[0] in left and names[1] not in left and names[2] in left and len(left) == 3


def test_measurements_and_what_may_be_in_use_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = folder / cache.SEARCH
    new, old = f"compiled-{24 * 'a'}", f"compiled-{24 * 'b'}"
    (search / new).mkdir(parents=True)
    (search / old).mkdir()
    for place in (f"{new}/library.so", f"{old}/library.so", "search.sqlite"):
        (search / place).write_bytes(bytes(1000))
    os.utime(search / old, (1000, 1000))
    os.utime(search / "search.sqlite", (1000, 1000))
    monkeypatch.setenv(cache.LIMIT, "1KB")
    assert cache.make_room(500)
    assert {p.name for p in search.iterdir()} == {new, "search.sqlite"}


def test_files_of_others_in_the_folder_stay(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = ["letters.txt", "frames-of-my-film.mov", "photos/1.jpg", "search/mine.py", ".ssh"]
    write_folder(folder, dict.fromkeys(strangers, b"mine"))
    for path in folder.rglob("*"):
        os.utime(path, (1000, 1000))
    load(image_set(tmp_path / "set", 0))
    assert {e.kind for e in cache.entries()} == {"decoded pictures"}
    monkeypatch.setenv(cache.LIMIT, "6KB")
    cache.make_room(5500)
    assert CliRunner().invoke(app, ["cache", "--clear"]).exit_code == 0
    left = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert left == set(strangers)


@pytest.mark.parametrize("limit", ["0", "100B"])
def test_a_limit_below_one_set_keeps_nothing(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str,
    recwarn: pytest.WarningsRecorder,
) -> None:  # fmt: skip
    monkeypatch.setenv(cache.LIMIT, limit)
    place = image_set(tmp_path / "set", 0)
    assert load(place) == load(place) and not folder.exists()
    assert len(recwarn) == (0 if limit == "0" else 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("2 GB", 2 * 10**9), ("1.5k", 1500), ("7", 7), ("", 2 * 10**9)],
)
def test_limits(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv(cache.LIMIT, text)
    assert cache.cache_limit() == size


def test_a_limit_that_is_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("much", "-1", "1PB"):
        monkeypatch.setenv(cache.LIMIT, text)
        with pytest.raises(MicrotuneError, match="is no size"):
            cache.cache_limit()


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file" / "below"))
    place = image_set(tmp_path / "set", 0)
    assert load(place) == load(place)
    assert [str(one.message) for one in recwarn] == [
        f"nothing is kept in {tmp_path}/file/below: Not a directory"
    ]


def test_a_full_disk_leaves_nothing_half(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def full(file: object, array: object, allow_pickle: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    load(image_set(tmp_path / "set", 0))
    assert list(folder.iterdir()) == [] and "No space left" in str(recwarn[0].message)


def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(cache.FOLDER)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    place = image_set(tmp_path / "set", 0)
    assert load(place) == load(place)
    with pytest.raises(MicrotuneError, match="set MICROTUNE_CACHE"):
        cache.required_cache_folder()
    assert CliRunner().invoke(app, ["cache"]).exit_code != 0


def test_an_empty_home_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.FOLDER)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    assert cache.cache_folder() is None


def test_many_processes_share_it(tmp_path: Path) -> None:
    places = [image_set(tmp_path / str(i), 10 * i) for i in range(3)]
    wanted = [load(place) for place in places]
    code = (
        "import hashlib, sys; from pathlib import Path\n"
        "from microtune.data import Preprocessing, open_dataset\n"
        "for _ in range(10):\n"
        " for p in sys.argv[1:]:\n"
        "  f = open_dataset(Path(p)).load('train', Preprocessing(8, 8, 3)).frames\n"
        "  print(hashlib.sha256(f.tobytes()).hexdigest())"
    )
    environment = os.environ | {cache.LIMIT: "3KB"}
    runs = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, places)], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]  # fmt: skip
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert out.split() == [hashlib.sha256(w).hexdigest() for w in wanted] * 10 and err == ""


def test_the_command_shows_and_clears(tmp_path: Path, folder: Path) -> None:
    load(image_set(tmp_path / "set", 0))
    (folder / cache.SEARCH / f"compiled-{24 * 'c'}").mkdir(parents=True)
    (folder / cache.SEARCH / "search.sqlite").write_bytes(bytes(100))
    shown = CliRunner().invoke(app, ["cache"]).output
    for word in (str(folder), "decoded pictures", "search results", "2,000,000,000"):
        assert word in shown
    cleared = CliRunner().invoke(app, ["cache", "--clear"])
    assert cleared.exit_code == 0 and "bytes removed" in cleared.output
    assert [p for p in folder.rglob("*") if p.is_file()] == []
    assert cache.entries() == []
