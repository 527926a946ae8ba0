"""The generated C of recorded pairs of model and options, text by text: a refactoring is neutral.

`make golden` records all of them anew. What ortools finds depends on its version, so that the
pairs are compiled without it; those with the solver are compared where the recorded one is there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import replay

from microtune.memory import solver

UPDATE = "MICROTUNE_UPDATE_GOLDEN"
PAIRS = [
    pytest.param(
        pair,
        id=pair.name.replace(" ", "_"),
        marks=[] if pair.model == "fashion5" else [pytest.mark.data],
    )
    for pair in replay.PAIRS
]


def record(pair: replay.Pair, found: dict[str, str]) -> None:
    golden = replay.recorded_sources() if replay.GOLDEN.is_file() else {}
    golden[pair.name] = found
    known = {each.name: golden[each.name] for each in replay.PAIRS if each.name in golden}
    replay.GOLDEN.write_text(json.dumps(known, indent=1) + "\n")


@pytest.mark.parametrize("pair", PAIRS)
def test_the_generated_sources_are_the_recorded_ones(
    pair: replay.Pair, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if pair.model != "fashion5":
        request.getfixturevalue("data_folder")
    found = {}
    if pair.solver:
        recorded = replay.recorded_sources().get(pair.name, {}).get("ortools")
        if solver.version() != recorded and not os.environ.get(UPDATE):
            pytest.skip(f"recorded with ortools {recorded}, this is {solver.version() or 'none'}")
        found = {"ortools": solver.version()}
    (tmp_path / "found").mkdir()
    found |= replay.fingerprint(replay.sources(pair, tmp_path / "found"))
    if os.environ.get(UPDATE):
        record(pair, found)
    parts = replay.changed(pair, found)
    if parts:
        (tmp_path / "hint").mkdir()
        hint = replay.hint(pair, tmp_path / "hint")
        pytest.fail(f"{pair.name}: changed: {', '.join(parts)}\n{hint}", pytrace=False)


def test_every_option_of_compile_that_shapes_the_sources_is_in_some_pair() -> None:
    """Each schedule, input, format, head, loss, replay memory, banks, and no training."""
    names = " ".join(pair.name for pair in replay.PAIRS if pair.model == "fashion5")
    for word in (
        "--schedule layers", "--schedule in-place", "--input rows", "--bias int32", "--bias int16",
        "--head-format float32", "--head-format int16", "--head keep", "--head extend",
        "--loss binary", "--outputs", "--replay", "--prefix", "--class-names",
        "--target cortex-m7-banks", "--optimizer momentum", " none ", " full ", " ratios ",
        " bias-only ", " head-only ",
    ):  # fmt: skip
        assert word in names
    assert {pair.model for pair in replay.PAIRS} >= {"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"}


def test_another_text_is_noticed_and_named() -> None:
    texts = {
        "microtune_model.h": "h",
        "microtune_model.c": "static const int8_t w[2] = {\n    1, 2,\n};\n\n"
        "static const mt_conv2d_params c = {\n    .a = 1,\n};\n\n"
        "static mt_status forward(int x)\n{\n}",
    }
    before = replay.fingerprint(texts)
    parts = {
        "1, 2": "tables", ".a = 1": "structs", "int x": "function forward",
    }  # fmt: skip
    for text, part in parts.items():
        other = texts | {"microtune_model.c": texts["microtune_model.c"].replace(text, "9")}
        after = replay.fingerprint(other)
        assert {k for k in before | after if before.get(k) != after.get(k)} == {
            part, "microtune_model.c",
        }  # fmt: skip
