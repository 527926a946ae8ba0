"""Folders, tars and npz give the same samples; what cannot be trained on is an error."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from microtune.data import Preprocessing, epoch_order, hold_out, open_dataset
from microtune.errors import MicrotuneError
from tests.data.image_sets import encode, noise, small_set, write_folder, write_npz, write_tar

SMALL = Preprocessing(8, 8, 3)
RAW = {
    "images": np.stack([noise(i) for i in range(4)]), "label": np.array([0, 1, 0, 1]),
    "test": np.array([False, False, True, True]), "classes": np.array(["b", "a"]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "microtune"


def rejected(path: Path, match: str) -> None:
    with pytest.raises(MicrotuneError, match=match) as caught:
        open_dataset(path)
    assert str(path) in str(caught.value)


def test_folder_and_tar_are_the_same_set(tmp_path: Path) -> None:
    files = small_set() | {"val/cat/5.jpg": encode(noise(50), "JPEG"), "index.csv": b"x"}
    folder = open_dataset(write_folder(tmp_path / "set", files))
    archive = open_dataset(write_tar(tmp_path / "set.tar", dict(reversed(files.items()))))
    assert folder.classes == archive.classes == ["cat", "dog"]
    for split, count in (("train", 6), ("val", 1), ("test", 2)):
        one, other = folder.load(split, SMALL), archive.load(split, SMALL)
        assert folder.size(split) == len(one.names) == count
        assert one.names == other.names and one.labels.dtype == np.int32
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.frames, other.frames)
        assert one.frames.shape == (count, 8, 8, 3)
    assert one.names == ["test/cat/9.png", "test/dog/9.png"]


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    """Class 10 behind class 9, in the labels too."""
    files = {f"train/class {i}/{i}.png": encode(noise(i)) for i in (10, 2, 1, 9)}
    dataset = open_dataset(write_folder(tmp_path / "set", files))
    assert dataset.classes == ["class 1", "class 2", "class 9", "class 10"]
    split = dataset.load("train", Preprocessing(8, 8, 3))
    numbers = [Path(name).stem for name in split.names]
    assert dict(zip(numbers, split.labels.tolist(), strict=True)) == {
        "1": 0,
        "2": 1,
        "9": 2,
        "10": 3,
    }


def test_npz_of_ready_frames(tmp_path: Path) -> None:
    write_npz(tmp_path / "set.npz", RAW)
    data = open_dataset(tmp_path / "set.npz")
    assert data.classes == ["b", "a"]
    train = data.load("train", Preprocessing(20, 24, 3))
    assert train.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(train.frames.astype(int) + 128, RAW["images"][:2])
    assert data.load("val", SMALL).frames.shape == (0, 8, 8, 3)


def test_choices_never_see_the_test_split(tmp_path: Path) -> None:
    files = {f"train/{c}/{i}.png": encode(noise(i)) for c in "ab" for i in range(30)}
    path = write_folder(tmp_path / "set", files | {"test/a/0.png": encode(noise(0))})
    train, held = open_dataset(path).load_choice(SMALL)
    assert set(train.names) | set(held.names) == set(files)
    assert not set(train.names) & set(held.names) and held.names
    write_folder(path, {"val/a/7.png": encode(noise(7))})
    train, held = open_dataset(path).load_choice(SMALL)
    assert len(train.names) == 60 and held.names == ["val/a/7.png"]


def test_hold_out_depends_on_the_name_only() -> None:
    names = [f"train/a/{i}.jpg" for i in range(2000)]
    held = hold_out(names)
    assert 0.08 < held.mean() < 0.12
    np.testing.assert_array_equal(hold_out(names[::-1]), held[::-1])
    assert np.flatnonzero(held)[:4].tolist() == [25, 32, 37, 39]
    assert hold_out([]).shape == (0,)
    assert not (held & ~hold_out(names, 0.3)).any()


def test_epoch_order_is_fixed() -> None:
    order = epoch_order(1000, 3, 5)
    assert order.dtype == np.int64 and sorted(order) == list(range(1000))
    np.testing.assert_array_equal(order, epoch_order(1000, 3, 5))
    assert order.tolist() != epoch_order(1000, 3, 6).tolist()
    assert order.tolist() != epoch_order(1000, 4, 5).tolist()
    assert epoch_order(8, 0, 0).tolist() == [6, 5, 2, 0, 4, 1, 7, 3]
    assert epoch_order(0, 0, 0).shape == (0,) and epoch_order(1, 0, 0).tolist() == [0]


def test_every_place_is_as_likely() -> None:
    first = np.bincount([epoch_order(10, seed, 0)[0] for seed in range(2000)], minlength=10)
    assert first.min() > 140 and first.max() < 260


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []
    original = Preprocessing.decode_noted

    def decode(self: Preprocessing, content: bytes, name: str) -> object:
        decoded.append(name)
        return original(self, content, name)

    monkeypatch.setattr(Preprocessing, "decode_noted", decode)
    return decoded


def test_frames_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "set.tar", small_set())
    decoded = count_decoding(monkeypatch)
    progress: list[tuple[int, int]] = []
    first = open_dataset(path).load(
        "train", SMALL, lambda done, all_: progress.append((done, all_))
    )
    assert len(decoded) == 6 and progress == [(i, 6) for i in range(1, 7)]
    again = open_dataset(path).load("train", SMALL)
    assert len(decoded) == 6
    np.testing.assert_array_equal(first.frames, again.frames)
    # The same bytes elsewhere are the same set; other settings or other bytes are not.
    moved = path.rename(tmp_path / "moved.tar")
    open_dataset(moved).load("train", SMALL)
    assert len(decoded) == 6
    open_dataset(moved).load("train", Preprocessing(8, 8, 3, 1.0))
    assert len(decoded) == 12
    write_tar(moved, small_set() | {"train/cat/0.png": encode(noise(99))})
    open_dataset(moved).load("train", SMALL)
    assert len(decoded) == 18


def test_a_changed_folder_is_decoded_again(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "set", small_set())
    before = open_dataset(path).load("train", SMALL).frames
    write_folder(path, {"train/cat/0.png": encode(noise(99))})
    os.utime(path / "train/cat/0.png", ns=(1, 1))
    assert (open_dataset(path).load("train", SMALL).frames[0] != before[0]).any()


@pytest.mark.parametrize("content", [b"", b"damaged", b"PK\x03\x04", "cut", "shape", "npz"])
def test_a_damaged_cache_is_ignored(tmp_path: Path, cache: Path, content: bytes | str) -> None:
    data = open_dataset(write_tar(tmp_path / "set.tar", small_set()))
    wanted = data.load("train", SMALL).frames
    (file,) = cache.iterdir()
    buffer = io.BytesIO()
    if content == "npz":
        np.savez(buffer, a=wanted)
    else:
        np.save(buffer, wanted[:2])
    whole = file.read_bytes()
    replacement = {"cut": whole[:-1], "shape": buffer.getvalue(), "npz": buffer.getvalue()}
    file.write_bytes(content if isinstance(content, bytes) else replacement[content])
    np.testing.assert_array_equal(data.load("train", SMALL).frames, wanted)
    assert file.read_bytes() == whole and list(cache.iterdir()) == [file]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data = open_dataset(write_tar(tmp_path / "set.tar", small_set()))
    assert data.load("train", SMALL).frames.shape == (6, 8, 8, 3)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_sets_that_cannot_be_trained_on(tmp_path: Path, kind: str) -> None:
    image = encode(noise(1))
    cases = [
        ({"readme.txt": b""}, "no training images"),
        ({"test/a/1.png": image}, "no training images"),
        ({"train/a/1.png": image}, "1 class"),
        (small_set() | {"test/bird/1.png": image}, "bird of test is not in train"),
        (small_set() | {"val/bird/1.png": image}, "bird of val is not in train"),
    ]
    for number, (files, match) in enumerate(cases):
        if kind == "folder":
            rejected(write_folder(tmp_path / str(number), files), match)
        else:
            rejected(write_tar(tmp_path / f"{number}.tar", files), match)


def test_paths_that_are_no_set(tmp_path: Path) -> None:
    rejected(tmp_path / "absent", "no such data")
    rejected(tmp_path, "no training images")
    other = tmp_path / "set.csv"
    other.write_text("a,b")
    rejected(other, "must be a folder")


def test_an_empty_class_folder(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "set", small_set())
    (path / "train" / "bird").mkdir()
    rejected(path, "bird: the class has no images")


def test_truncated_and_damaged_tars(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", small_set())
    whole = path.read_bytes()
    used = len(whole.rstrip(b"\0"))
    for length in range(0, used, 700):
        path.write_bytes(whole[:length])
        rejected(path, "not a readable tar|cut off")
    second = whole.index(b"train/cat/1.png")
    path.write_bytes(whole[:second] + b"\xff" * 512 + whole[second + 512 :])
    rejected(path, "not a readable tar")


def test_links_and_devices_in_a_tar_are_ignored(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", small_set())
    with tarfile.open(path, "a") as archive:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(f"train/cat/{name}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    assert open_dataset(path).size("train") == 6
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"label": None}, "lacks"), ({"images": None}, "lacks"),
        ({"classes": np.array(["a", None], dtype=object)}, "not a readable npz of plain arrays"),
        ({"images": np.array([{}] * 4, dtype=object)}, "not a readable npz of plain arrays"),
        ({"images": RAW["images"].astype(np.float32)}, "must be uint8"),
        ({"images": RAW["images"][..., :2]}, "must be uint8"), ({"images": RAW["label"]}, "uint8"),
        ({"images": RAW["images"][:3]}, "do not fit"), ({"test": np.zeros(3, bool)}, "do not fit"),
        ({"label": np.array([0, 1, 2, 0])}, "do not fit"),
        ({"label": np.full(4, -1)}, "do not fit"),
        ({"label": np.zeros(4)}, "must be lists"), ({"classes": np.array("a")}, "must be lists"),
        ({"classes": np.array(["a", "a"])}, "same name"),
        ({"test": np.ones(4, bool)}, "no training"),
        ({"label": np.array([0, 0, 1, 1])}, "not in train|1 class"),
        ({"label": np.zeros(4, int)}, "1 class"),
    ],
)  # fmt: skip
def test_odd_npz(tmp_path: Path, changes: dict[str, object], match: str) -> None:
    content = {name: value for name, value in (RAW | changes).items() if value is not None}
    write_npz(tmp_path / "set.npz", content)
    rejected(tmp_path / "set.npz", match)


@pytest.mark.parametrize(
    "offset", [None, [0, 9, 5, 9, 9], [-1, 1, 2, 3, 4], [0, 1, 2, 3, 99], [0.5]]
)
def test_odd_offsets(tmp_path: Path, offset: list[float] | None) -> None:
    content: dict[str, object] = {k: v for k, v in RAW.items() if k != "images"}
    content["jpeg"] = np.zeros(9, np.uint8)
    if offset is not None:
        content["offset"] = np.array(offset)
    write_npz(tmp_path / "set.npz", content)
    rejected(tmp_path / "set.npz", "offset")


def test_truncated_and_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    write_npz(path, RAW)
    whole = path.read_bytes()
    for length in range(0, len(whole), 211):
        path.write_bytes(whole[:length])
        rejected(path, "not a readable npz")
    damaged = bytearray(whole)
    damaged[200:230] = b"\xff" * 30
    path.write_bytes(bytes(damaged))
    rejected(path, "not a readable npz")
    with path.open("wb") as file:
        np.save(file, RAW["images"])
    rejected(path, "not a readable npz")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "classes", "train", "val", "test"),
    [("tiny4.tar", 4, 30, 0, 30), ("antsbees2.npz", 2, 244, 0, 153)],
)
def test_reference_sets(
    data_folder: Path, name: str, classes: int, train: int, val: int, test: int
) -> None:
    data = open_dataset(data_folder / "data" / name)
    assert len(data.classes) == classes
    assert [data.size(split) for split in ("train", "val", "test")] == [train, val, test]
    split = data.load("test", Preprocessing(32, 32, 3))
    assert split.frames.shape == (test, 32, 32, 3) and set(split.labels) == set(range(classes))
