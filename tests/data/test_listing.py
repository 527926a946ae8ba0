"""Every file in a split is read, or counted by reason and named."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from microtune.data import Dataset, Preprocessing, hold_out, open_dataset
from microtune.errors import MicrotuneError
from microtune.tools.names import natural, printable, to_bytes
from tests.data.image_sets import (
    WRITERS,
    encode,
    noise,
    small_set,
    write_folder,
    write_npz,
    write_tar,
    write_zip,
)

SMALL = Preprocessing(8, 8, 3)
IMAGE = encode(noise(77))
KINDS = pytest.mark.parametrize("kind", list(WRITERS))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(folder: Path, kind: str, files: dict[str, bytes]) -> Dataset:
    folder.mkdir(exist_ok=True)
    return open_dataset(WRITERS[kind](folder / kind, files))


def notes(data: Dataset) -> str:
    return "\n".join(data.describe().notes)


def refused(folder: Path, kind: str, files: dict[str, bytes], match: str) -> None:
    with pytest.raises(MicrotuneError, match=match):
        opened(folder, kind, files)


@KINDS
def test_images_per_class_and_split_are_described(tmp_path: Path, kind: str) -> None:
    data = opened(tmp_path, kind, small_set() | {"val/cat/5.png": encode(noise(50))})
    described = data.describe()
    assert described.classes == ["cat", "dog"] and described.notes == []
    assert described.images == {"train": [3, 3], "val": [1, 0], "test": [1, 1]}


@KINDS
def test_classes_are_in_natural_order(tmp_path: Path, kind: str) -> None:
    names = [str(n) for n in range(12, 0, -1)]
    data = opened(tmp_path, kind, {f"train/{n}/0.png": encode(noise(int(n))) for n in names})
    assert data.classes == [str(n) for n in range(1, 13)]
    assert data.load("train", SMALL).labels.tolist() == list(range(12))


def test_natural_order_is_by_value_then_code_point_then_bytes() -> None:
    wanted = ["", " 1", "-1", "0", "1", "01", "2", "007", "10", "A", "a", "a b", "a-2", "a-10",
              "a1", "a1b", "a2", "a10", "b", "é", "日本"]  # fmt: skip
    assert sorted(reversed(wanted), key=natural) == ["", " 1", "-1", "0", "01", "1", *wanted[6:]]
    digits = [f"{a}{n}{b}" for a in ("", "x", "X ", "-") for n in range(10) for b in ("", "y", ".")]
    assert sorted(digits, key=natural) == sorted(digits)
    assert natural("9" * 5000) < natural("1" + "0" * 5000)


@KINDS
def test_subfolders_of_a_class_belong_to_it(tmp_path: Path, kind: str) -> None:
    extra = {"train/cat/2024/may/x.png": IMAGE, "train/dog/test/x.png": encode(noise(78))}
    data = opened(tmp_path, kind, small_set() | extra)
    assert data.describe().images["train"] == [4, 4] and notes(data) == ""
    assert "train/cat/2024/may/x.png" in data.load("train", SMALL).names


HIDDEN = [
    "train/.ipynb_checkpoints/0-checkpoint.png", "train/@eaDir/x.png", "train/__MACOSX/x.png",
    "train/.Trashes/x.png", "train/$RECYCLE.BIN/x.png", "train/lost+found/x.png",
    "train/cat/Thumbs.db", "train/cat/desktop.ini", "train/cat/.DS_Store", "train/cat/._0.png",
    "train/cat/.hidden/1.png", "train/System Volume Information/x.png",
]  # fmt: skip


@KINDS
def test_hidden_and_system_files_are_no_images_and_no_classes(tmp_path: Path, kind: str) -> None:
    files = small_set() | dict.fromkeys(HIDDEN, IMAGE) | {"__MACOSX/train/bird/._0.png": b"x"}
    data = opened(tmp_path, kind, files)
    assert data.classes == ["cat", "dog"] and data.size("train") == 6
    assert f"{len(HIDDEN)} hidden or of the system: " in notes(data)


@KINDS
def test_what_is_no_image_is_counted_by_suffix_and_named(tmp_path: Path, kind: str) -> None:
    files = {f"train/cat/{i}.heic": b"x" for i in range(18)} | {
        "train/cat/a.TXT": b"", "test/dog/b.eps": b"", "train/dog/readme": b"text",
        "train/loose.png": IMAGE, "test/loose.jpg": IMAGE, "raw/x.png": IMAGE, "cover.png": IMAGE,
    }  # fmt: skip
    said = notes(opened(tmp_path, kind, small_set() | files))
    for line in (
        "18 .heic (needs the Python package pillow-heif): train/cat/0.heic, train/cat/1.heic, "
        "train/cat/10.heic, …", "1 .txt: train/cat/a.TXT", "1 .eps (Pillow would run Ghostscript",
        "1 without suffix, no pictures: train/dog/readme",
        "1 picture(s) in train without a class: train/loose.png",
        "1 picture(s) in test without a class: test/loose.jpg",
        "1 folder(s) beside the splits: raw/", "1 picture(s) beside the splits: cover.png",
    ):  # fmt: skip
        assert line in said


@KINDS
def test_suffixes_in_any_case_and_none_at_all(tmp_path: Path, kind: str) -> None:
    files = {f"train/{c}/{name}": encode(noise(i), form) for c in "ab" for i, (name, form) in
             enumerate([("1.PNG", "PNG"), ("2.JFIF", "JPEG"), ("3.WebP", "WEBP"), ("4", "JPEG"),
                        ("5.Tiff", "TIFF"), ("6.gif", "GIF"), ("7.ppm", "PPM")])}  # fmt: skip
    data = opened(tmp_path, kind, files)
    assert data.load("train", SMALL).frames.shape[0] == 14


@KINDS
@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("Train", "VALIDATION", "TEST"), ("training", "valid", "testing"), ("TRAIN", "Val", "Test")],
)
def test_split_names_mean_what_they_say(
    tmp_path: Path, kind: str, train: str, val: str, test: str
) -> None:
    files = {f"{s}/{c}/0.png": encode(noise(i)) for i, (s, c) in
             enumerate((s, c) for s in (train, val, test) for c in "ab")}  # fmt: skip
    data = opened(tmp_path, kind, files)
    assert [data.size(split) for split in ("train", "val", "test")] == [2, 2, 2]


@KINDS
def test_two_folders_of_one_split_are_refused(tmp_path: Path, kind: str) -> None:
    files = small_set() | {"val/cat/0.png": IMAGE, "valid/cat/0.png": IMAGE}
    refused(tmp_path, kind, files, "val/ and valid/ both mean val")


@KINDS
@pytest.mark.parametrize("top", ["data", "a/b/c", "test", "training", "./data"])
def test_single_folders_above_the_splits(tmp_path: Path, kind: str, top: str) -> None:
    files = {f"{top}/{name}": content for name, content in small_set().items()}
    files |= {"__MACOSX/x": b"", f"{top}/LICENSE": b"text"}
    data = opened(tmp_path, kind, files)
    assert data.describe().images == {"train": [3, 3], "test": [1, 1]} and notes(data) == ""


@KINDS
def test_a_class_may_be_called_like_a_split(tmp_path: Path, kind: str) -> None:
    files = {f"train/{c}/0.png": encode(noise(i)) for i, c in enumerate(("train", "bus", "test"))}
    assert opened(tmp_path, kind, files).classes == ["bus", "test", "train"]


LATIN = "caf\udce9"


def test_names_that_are_no_utf_8_are_read_and_quoted(tmp_path: Path) -> None:
    files = small_set() | {f"train/{LATIN}/\udcff{i}.png": encode(noise(30 + i)) for i in range(3)}
    files[f"train/{LATIN}/\udcfe.txt"] = b""
    folder = tmp_path / "set"
    for name, content in files.items():
        path = folder / os.fsdecode(to_bytes(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = [folder, write_bytes_tar(tmp_path / "pax.tar", files, tarfile.PAX_FORMAT),
              write_bytes_tar(tmp_path / "gnu.tar", files, tarfile.GNU_FORMAT),
              write_bytes_tar(tmp_path / "ustar.tar", files, tarfile.USTAR_FORMAT)]  # fmt: skip
    seen = []
    for place in places:
        data = open_dataset(place)
        split = data.load("train", SMALL)
        assert data.classes == ["caf\\xe9", "cat", "dog"]
        assert "1 .txt: train/caf\\xe9/\\xfe.txt" in notes(data)
        json.dumps([data.classes, split.names]).encode("ascii")
        "".join([*data.classes, *split.names, notes(data)]).encode()
        assert hold_out(split.names).shape == (9,)
        seen.append((split.names, split.frames.tobytes()))
    assert seen[1:] == seen[:-1]


def write_bytes_tar(path: Path, files: dict[str, bytes], form: int) -> Path:
    with tarfile.open(path, "w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_control_characters_are_quoted() -> None:
    assert printable("a\x1b[31m\nb\u202e\udce9é日 c") == "a\\x1b[31m\\x0ab\\u202e\\xe9é日 c"


def test_zip_names_are_utf_8_or_code_page_437(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    write_zip(path, small_set() | {"train/XXXX/0.png": IMAGE, "train/YY/0.png": encode(noise(9))})
    content = path.read_bytes().replace(b"XXXX", b"caf\x82").replace(b"YY", "é".encode())
    path.write_bytes(content)
    assert open_dataset(path).classes == ["café", "cat", "dog", "é"]
    write_zip(path, small_set() | {"train/日本/0.png": IMAGE})
    assert open_dataset(path).classes == ["cat", "dog", "日本"]


def test_an_encrypted_or_damaged_zip_is_said(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", small_set())
    whole = path.read_bytes()
    flagged = bytearray(whole)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        flagged[whole.index(mark) + at] |= 1
    path.write_bytes(bytes(flagged))
    with pytest.raises(MicrotuneError, match=r"set\.zip: train/cat/0\.png is encrypted"):
        open_dataset(path)
    for length in range(0, len(whole), 900):
        path.write_bytes(whole[:length])
        with pytest.raises(MicrotuneError, match=r"set\.zip: not a readable zip"):
            open_dataset(path)
    damaged = bytearray(whole)
    damaged[100:140] = bytes(40)
    path.write_bytes(bytes(damaged))
    with pytest.raises(MicrotuneError, match=r"train/cat/0\.png is damaged"):
        open_dataset(path)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar.gz", "set.npz"])
def test_an_archive_that_unpacks_to_far_too_much_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microtune.data.archives._FLOOR", 1 << 20)
    path, bomb = tmp_path / kind, bytes(8 << 20)
    if kind == "set.zip":
        write_zip(path, small_set() | {"train/cat/bomb.bmp": bomb})
    elif kind == "set.npz":
        write_npz(path, {"images": np.frombuffer(bomb, np.uint8).reshape(8, 1024, 1024)})
    else:
        write_tar(tmp_path / "set.tar", small_set() | {"train/cat/bomb.bmp": bomb})
        subprocess.run(["gzip", str(tmp_path / "set.tar")], check=True)
    with pytest.raises(MicrotuneError, match="unpack to more than"):
        open_dataset(path)


def test_links_within_a_tar_are_files(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", small_set())
    with tarfile.open(path, "a") as archive:
        for name, kind, target in (
            ("hard.png", tarfile.LNKTYPE, "train/cat/0.png"),
            ("soft.png", tarfile.SYMTYPE, "../dog/0.png"),
            ("out.png", tarfile.SYMTYPE, "/etc/passwd"), ("loop.png", tarfile.SYMTYPE, "loop.png"),
        ):  # fmt: skip
            member = tarfile.TarInfo(f"train/cat/{name}")
            member.type, member.linkname = kind, target
            archive.addfile(member)
    data = open_dataset(path)
    assert data.describe().images["train"] == [5, 3]
    assert "2 link(s) out of the archive" in notes(data)
    assert "train/cat/0.png = train/cat/hard.png" not in notes(data)


def test_a_name_that_is_twice_in_an_archive_is_read_once(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", small_set())
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("train/cat/0.png")
        member.size = len(IMAGE)
        archive.addfile(member, io.BytesIO(IMAGE))
    data = open_dataset(path)
    assert data.size("train") == 6 and "1 name(s) are there twice" in notes(data)
    single = write_folder(tmp_path / "one", small_set() | {"train/cat/0.png": IMAGE})
    np.testing.assert_array_equal(
        data.load("train", SMALL).frames, open_dataset(single).load("train", SMALL).frames
    )


def test_links_in_a_folder_are_followed_and_loops_are_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", small_set())
    elsewhere = write_folder(tmp_path / "else", {"more/x.png": IMAGE})
    (folder / "train/cat/more").symlink_to(elsewhere / "more")
    (folder / "train/dog/one.png").symlink_to(elsewhere / "more/x.png")
    (folder / "train/dog/up").symlink_to(folder / "train")
    os.mkfifo(folder / "train/cat/pipe.png")
    data = open_dataset(folder)
    assert data.describe().images["train"] == [4, 4]
    assert "1 link(s) back to a folder above: train/dog/up" in notes(data)
    assert "1 pipe(s), socket(s) or device(s): train/cat/pipe.png" in notes(data)
    assert "1 picture(s) are in two classes" in notes(data)
    for target in ("nowhere", "self.png"):
        link = folder / "train/cat/self.png"
        link.symlink_to(target)
        with pytest.raises(MicrotuneError, match=r"train/cat/self\.png: a link that leads nowhere"):
            open_dataset(folder)
        link.unlink()


def test_a_file_that_changes_under_way_is_said(tmp_path: Path) -> None:
    data = opened(tmp_path, "set", small_set())
    (tmp_path / "set/train/cat/1.png").write_bytes(IMAGE)
    with pytest.raises(MicrotuneError, match=r"train/cat/1\.png: changed while it was being read"):
        data.load("train", SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", small_set())
    (folder / "train/cat/0.png").chmod(0)
    with pytest.raises(MicrotuneError, match=r"train/cat/0\.png: cannot be read"):
        open_dataset(folder)


@KINDS
def test_a_class_without_images(tmp_path: Path, kind: str) -> None:
    files = small_set() | {f"train/bird/{i}.eps": b"" for i in range(2)}
    refused(tmp_path, kind, files, r"train/bird: the class has no images; left out there: 2 \.eps")
    data = opened(tmp_path / "other", kind, small_set() | {"test/bird/x.txt": b""})
    assert "1 class folder(s) in test without a picture: test/bird" in notes(data)


def test_the_same_picture_in_train_and_test_is_said(tmp_path: Path) -> None:
    files = small_set()
    files["test/cat/9.png"] = files["train/cat/0.png"]
    for kind in WRITERS:
        data = opened(tmp_path, kind, files)
        assert "1 picture(s) are in train and test: train/cat/0.png = test/cat/9.png" in notes(data)


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_look_alike_are_said(tmp_path: Path, one: str, other: str) -> None:
    files = {f"train/{c}/0.png": encode(noise(i)) for i, c in enumerate((one, other, "x"))}
    assert "differ only in case" in notes(opened(tmp_path, "set", files))
    del files[f"train/{one}/0.png"]
    files[f"test/{one}/0.png"] = IMAGE
    refused(tmp_path, "set.tar", files, "is not in train; .* differs only in case or accents")


def test_what_is_found_instead_of_a_split_is_said(tmp_path: Path) -> None:
    files = {"cats/0.png": IMAGE, "dogs/0.png": IMAGE}
    refused(tmp_path, "set", files, "no training images .*2 folder.s. beside the splits: cats/, d")


def test_npz_says_what_it_does_not_read(tmp_path: Path) -> None:
    images = np.stack([noise(i) for i in range(4)])
    arrays = {"images": images.astype(np.uint16) << 8, "label": [0, 2, 0, 2], "test": [0, 0, 1, 1],
              "classes": np.array([b"a", b"caf\xe9", b"c"]), "weights": [1.0]}  # fmt: skip
    data = open_dataset(write_npz(tmp_path / "set.npz", arrays))
    assert data.classes == ["a", "caf\\xe9", "c"]
    assert "array weights[1] is not read" in notes(data)
    assert "no training image of caf\\xe9" in notes(data)
    frames = data.load("train", Preprocessing(20, 24, 3)).frames
    np.testing.assert_array_equal(frames.astype(int) + 128, images[:2])


def test_the_listing_does_not_depend_on_the_locale(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", small_set() | {"train/é/0.png": IMAGE})
    code = (
        "import sys; from pathlib import Path; from microtune.data import open_dataset\n"
        "print(ascii(open_dataset(Path(sys.argv[1])).classes))"
    )
    for locale in ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}):
        result = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env=os.environ | locale, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert result.stdout.strip() == ascii(["cat", "dog", "é"])


def test_zip_of_a_folder_is_the_same_set(tmp_path: Path) -> None:
    files = small_set()
    folder = open_dataset(write_folder(tmp_path / "set", files)).load("train", SMALL)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("top/", "top/train/", *(f"top/{name}" for name in files)):
            archive.writestr(name, b"" if name.endswith("/") else files[name.removeprefix("top/")])
    split = open_dataset(tmp_path / "a.zip").load("train", SMALL)
    np.testing.assert_array_equal(split.frames, folder.frames)
    np.testing.assert_array_equal(split.labels, folder.labels)
