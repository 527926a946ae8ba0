"""The reader of pickles takes arrays and executes nothing."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.importers import safe_pickle
from microtune.importers.safe_pickle import read_numpy_pickle

PROTO = b"\x80\x02"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


def write(folder: Path, raw: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "model.pkl"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/version", b"3\n")
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def refused(path: Path, match: str = "refused") -> None:
    with pytest.raises(MicrotuneError, match=match) as caught:
        read_numpy_pickle(path)
    assert str(path) in str(caught.value)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.result = (function, arguments)

    def __reduce__(self) -> Any:
        return self.result


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_and_plain_values(tmp_path: Path, protocol: int) -> None:
    content = {
        "none": None, "flag": True, "count": -3, "ratio": 0.1, "name": "é", "pair": (1, [2]),
        "int8": np.arange(-6, 6, dtype=np.int8).reshape(2, 3, 2),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "bool": np.array([True, False]),
    }  # fmt: skip
    read = read_numpy_pickle(write(tmp_path, pickle.dumps(content, protocol)))
    assert list(read) == list(content)
    assert read["pair"] == [1, [2]]
    for name, value in content.items():
        if isinstance(value, np.ndarray):
            assert read[name].dtype == value.dtype
            np.testing.assert_array_equal(read[name], value)
        elif name != "pair":
            assert read[name] == value and type(read[name]) is type(value)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "blocks", "residuals"),
    [("mcunet-5fps", 14, 7), ("mbv2-w0.35", 17, 10), ("proxyless-w0.3", 20, 13)],
)
def test_reference_models(data_folder: Path, name: str, blocks: int, residuals: int) -> None:
    content = read_numpy_pickle(data_folder / "models" / "mit_tiny-training" / f"{name}.pkl")
    assert list(content) == ["first_conv", "blocks", "feature_mix", "classifier"]
    assert len(content["blocks"]) == blocks
    assert sum(block["residual"] is not None for block in content["blocks"]) == residuals
    params = content["classifier"]["params"]
    assert params["weight"].dtype == np.int8 and params["weight"].shape[0] == 1000
    assert params["bias"].dtype == np.int32 and params["w_scales"].dtype == np.float32


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_calls_of_foreign_names_do_not_run(tmp_path: Path, protocol: int, nested: bool) -> None:
    mark = tmp_path / "executed"
    calls = [
        Call(os.system, f"touch {mark}"),
        Call(eval, f"open({str(mark)!r}, 'w')"),
        Call(exec, f"open({str(mark)!r}, 'w')"),
        Call(open, str(mark), "w"),
        Call(getattr, np.ndarray, "tofile"),
        Call(np.load, str(mark)),
        Call(np.fromfile, str(mark)),
        OrderedDict(a=1),
        complex(1, 2),
    ]
    for call in calls:
        content = {"x": [{"y": ("z", call)}]} if nested else call
        refused(write(tmp_path, pickle.dumps(content, protocol)))
    assert not mark.exists()


def test_a_call_of_a_call_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    inner = Call(eval, "__import__('os').system")
    refused(write(tmp_path, pickle.dumps({"x": Call(map, inner, [f"touch {mark}"])}, 2)))
    # The result of a permitted name is no function either.
    command = text(f"touch {mark}")
    raw = PROTO + RECONSTRUCT + b")R" + command + b"\x85R."
    refused(write(tmp_path, raw), "damaged")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        b"cnumpy\nload\n", b"cnumpy\nload.__globals__\n", b"cbuiltins\neval\n",
        b"cmicrotune.importers.safe_pickle\nos\n", b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy\nndarray.tofile\n", b"c_codecs\ndecode\n",
    ],
)  # fmt: skip
def test_foreign_names_are_not_even_looked_up(tmp_path: Path, name: bytes) -> None:
    refused(write(tmp_path, PROTO + name + b"."), "the name")


@pytest.mark.parametrize(
    "name",
    [b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", RECONSTRUCT],
)
def test_the_reader_cannot_be_altered(tmp_path: Path, name: bytes) -> None:
    plain = b"}" + text("__doc__") + text("altered") + b"s"
    slots = b"N}" + text("__defaults__") + text("altered") + b"\x85s\x86"
    before = {key: repr(value) for key, value in vars(safe_pickle).items()}
    for state in (plain, slots):
        refused(write(tmp_path, PROTO + name + state + b"b."), "alter the reader")
    assert {key: repr(value) for key, value in vars(safe_pickle).items()} == before


def test_build_on_containers_changes_nothing(tmp_path: Path) -> None:
    state = b"}" + text("__class__") + text("x") + b"s"
    for target in (b"}", b"]", b")", text("t"), b"K\x01"):
        refused(write(tmp_path, PROTO + target + state + b"b."), "damaged")


@pytest.mark.parametrize(
    "raw",
    [
        PROTO + b"(i__builtin__\neval\n.", PROTO + b"cnumpy\nndarray\n)\x81.",
        PROTO + b"(cnumpy\ndtype\no.", PROTO + b"Ppersistent\n.", PROTO + b"K\x01Q.",
        PROTO + b"\x82\x01.", b"\x80\x05\x97.", b"I01\n.",
    ],
)  # fmt: skip
def test_opcodes_that_arrays_do_not_need(tmp_path: Path, raw: bytes) -> None:
    refused(write(tmp_path, raw), "the opcode")


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, None], dtype=object), np.array([1 + 2j]), np.array(["text"]),
        np.array([b"bytes"]), np.zeros(2, dtype=[("a", "i4")]), np.zeros(2, dtype=">i4"),
        np.array(["2020-01-01"], dtype="M8[D]"), np.zeros(2, dtype=np.float16),
    ],
)  # fmt: skip
def test_element_types_that_are_not_plain_numbers(tmp_path: Path, array: Any) -> None:
    refused(write(tmp_path, pickle.dumps({"a": array}, 2)))


def array_pickle(shape: bytes, payload: str, dtype: str = "i1") -> bytes:
    """The opcodes of one array with a state of our choosing."""
    kind = b"cnumpy\ndtype\n" + text(dtype) + b"K\x00K\x01\x87R"
    data = b"c_codecs\nencode\n" + text(payload) + text("latin1") + b"\x86R"
    return RECONSTRUCT + b")R(K\x01" + shape + kind + b"\x89" + data + b"tb"


def test_shapes_must_fit_their_bytes(tmp_path: Path) -> None:
    def file(shape: bytes, payload: str = "abcd") -> Path:
        array = array_pickle(shape, payload)
        return write(tmp_path, PROTO + b"}" + text("a") + array + b"s.")

    assert read_numpy_pickle(file(b"K\x04\x85"))["a"].tolist() == [97, 98, 99, 100]
    huge = b"\x8a\x08" + struct.pack("<q", 2**62)
    minus = b"J" + struct.pack("<i", -4)
    for shape in (
        huge + b"\x85",
        huge + huge + b"\x86",
        minus + minus + b"\x86",
        b"\x88\x85",
        b"N",
    ):
        refused(file(shape))
    refused(file(b"(" + b"K\x01" * 100 + b"t", "a"), "damaged")


def test_an_array_without_data(tmp_path: Path) -> None:
    refused(write(tmp_path, PROTO + b"}" + text("a") + RECONSTRUCT + b")Rs."), "without data")


def test_repeated_references_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content: Any = ["x"]
    for _ in range(30):
        content = [content, content, content]
    refused(write(tmp_path, pickle.dumps({"a": content}, 2)), "too many items")
    # One payload of 4000 bytes, rebuilt again and again from the memo.
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 50_000)
    raw = b"c_codecs\nencode\nq\x01" + text("a" * 4000) + text("latin1") + b"\x86q\x02R"
    raw = PROTO + b"](" + raw + b"h\x01h\x02R" * 40 + b"e."
    refused(write(tmp_path, raw), "of data")


def test_containers_nested_too_deeply(tmp_path: Path) -> None:
    refused(write(tmp_path, PROTO + b"]" * 100_000 + b"a" * 99_999 + b"."), "nested too deeply")


def test_a_list_that_holds_itself(tmp_path: Path) -> None:
    content: list[object] = []
    content.append(content)
    refused(write(tmp_path, pickle.dumps({"a": content}, 2)), "nested too deeply")


def test_a_huge_memo_index_allocates_nothing(tmp_path: Path) -> None:
    refused(write(tmp_path, PROTO + b"}r\xff\xff\xff\x7f."), "the memo index")


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, pickle.dumps({"a": "x" * 5000}, 2), zipfile.ZIP_DEFLATED)
    assert read_numpy_pickle(path)["a"] == "x" * 5000
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 4096)
    refused(path, "larger than")
    announced = PROTO + b"X\xff\xff\xff\x7fabc."
    refused(write(tmp_path, announced), "damaged")


def test_what_is_not_a_dictionary_of_arrays(tmp_path: Path) -> None:
    refused(write(tmp_path, pickle.dumps([1], 2)), "no dictionary")
    refused(write(tmp_path, pickle.dumps({1: "a"}, 2)), "key that is not text")
    refused(write(tmp_path, pickle.dumps({"a": 1}, 2) + b"more"), "data after its end")
    refused(write(tmp_path, b""), "damaged")
    refused(write(tmp_path, b"\x80\x63."), "damaged")


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(4, dtype=np.int8), "b": [1.5, None]}, 2)
    for length in range(len(whole)):
        refused(write(tmp_path, whole[:length]), "damaged|refused")
    path = write(tmp_path, whole)
    packed = path.read_bytes()
    for length in range(0, len(packed), 7):
        path.write_bytes(packed[:length])
        refused(path, "not a readable zip")


def test_what_is_not_such_a_zip(tmp_path: Path) -> None:
    refused(tmp_path / "absent.pkl", "no such file")
    refused(tmp_path, "not a readable zip")
    bare = tmp_path / "bare.pkl"
    bare.write_bytes(pickle.dumps({}, 2))
    refused(bare, "not a readable zip")
    path = write(tmp_path, pickle.dumps({}, 2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/code.py", "")
    refused(path, "not a pickle of arrays")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_occurs_twice(tmp_path: Path) -> None:
    path = write(tmp_path, pickle.dumps({}, 2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", b"")
    refused(path, "not a pickle of arrays")


def test_damaged_compression_and_encryption(tmp_path: Path) -> None:
    path = write(tmp_path, pickle.dumps({"a": "x" * 500}, 2), zipfile.ZIP_DEFLATED)
    good = path.read_bytes()
    start = good.index(b"archive/data.pkl") + len("archive/data.pkl")
    path.write_bytes(good[:start] + b"\xff" * 8 + good[start + 8 :])
    refused(path, "not a readable zip")
    encrypted = bytearray(good)
    encrypted[6] |= 1
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(encrypted))
    refused(path, "not a readable zip")


# pickletools warns of odd escapes in a text that is then refused.
@pytest.mark.filterwarnings("ignore:invalid escape")
def test_random_damage_never_escapes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pickle.dump({"a": np.arange(9, dtype=np.int32), "b": [1, (2.0, "x")]}, buffer, 2)
    whole = buffer.getvalue()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] = int(random.integers(256))
        try:
            assert isinstance(read_numpy_pickle(write(tmp_path, bytes(damaged))), dict)
        except MicrotuneError as error:
            assert "model.pkl" in str(error)
