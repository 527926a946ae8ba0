"""The whole search: a scheme file with evidence, warm caches, Ctrl-C, refusals."""

from __future__ import annotations

import signal
import subprocess
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from microtune import pipeline
from microtune.errors import MicrotuneError
from microtune.ir.modelfile import save_model
from microtune.parallel.tasks import Backend, TaskSession
from microtune.report.search_text import search_tables, verification_tables
from microtune.search.cache import Cache
from microtune.search.contributions.estimates import rank_correlation
from microtune.search.costs.planned import Limits
from microtune.search.problem import HEAD_ONLY, Selection
from microtune.search.scheme_file import is_verified, save_scheme, toml_text
from microtune.search.search import SearchOptions, SearchResult, search
from microtune.search.trials.runner import TrialRunner
from microtune.search.trials.trial import Trial, open_trial_setup
from microtune.search.verification import best_on_val
from microtune.targets import load_target
from microtune.training.build import Formats
from microtune.training.scheme import resolve_scheme
from tests.processes import INTERRUPTIBLE, gone, microtune
from tests.search.tiny import tiny_model, write_images

pytest.importorskip("ortools", reason="the selection needs ortools")
COMMAND = [*INTERRUPTIBLE, "search"]
# The tiny network with everything trained takes 6 KB.
ROOM = Limits(1 << 20, 1 << 20)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "images.npz", 180)


@pytest.fixture(scope="module")
def options(kept: Path) -> SearchOptions:
    """With a cache that knows nothing yet."""
    request = pipeline.Request(
        2, "none", load_target("cortex-m7"), ROOM.sram_bytes, ROOM.flash_bytes
    )
    return SearchOptions(request, ROOM, kept, epochs=6, lr=0.02, backend=Backend(workers=1))


@pytest.fixture(scope="module")
def result(options: SearchOptions, data: Path) -> SearchResult:
    return search(tiny_model(), data, options, lambda *_: None)


def test_the_scheme_is_verified_and_fits(result: SearchResult) -> None:
    assert result.planned.sram <= ROOM.sram_bytes and result.trials > 10
    assert result.solution.proven and result.solution.selection.bias_layers > 0
    names = [(row.name, row.split) for row in result.verified]
    own = [name for name, split in names if split == "val"]
    assert names == [(name, split) for split in ("val", "test") for name in own]
    found = result.solution.selection
    trained = {row.selection for row in result.verified}
    assert {HEAD_ONLY, Selection(found.bias_layers, ()), found} <= trained
    assert {"head-only", "found"} <= set(own)
    rows = {row.name: row for row in result.verified if row.split == "test"}
    head, best = rows["head-only"], rows["found"]
    assert head.gain.nats == 0 and best.gain.nats == pytest.approx(head.log_loss - best.log_loss)
    assert len(search_tables(result)) == 2


def test_the_best_on_val_is_written(result: SearchResult, tmp_path: Path) -> None:
    """Whatever the contributions promised."""
    best = best_on_val(result.verified)
    assert (best.selection, best.name) == (result.chosen, result.chosen_name)
    assert best.log_loss == min(row.log_loss for row in result.verified if row.split == "val")
    other = replace(result.verified[0], name="published", log_loss=best.log_loss - 0.01)
    assert best_on_val([*result.verified, other]) == other
    asked_later = replace(other, split="test", log_loss=0.0)
    assert best_on_val([*result.verified, asked_later]) == best
    beaten = replace(result, chosen=HEAD_ONLY, chosen_name="head-only")
    assert len(verification_tables(beaten)) == 3
    save_scheme(beaten, tmp_path / "beaten.toml")
    table = tomllib.loads((tmp_path / "beaten.toml").read_text())
    assert (table["bias_layers"], table["evidence"]["chosen"]) == (0, "head-only")
    found = table["evidence"]["found"]
    assert found["bias_layers"] == result.solution.selection.bias_layers
    # What is said of the written scheme is not what was promised of the other.
    assert table["evidence"]["predicted_gain_nats"] == 0 and not table["evidence"]["proven"]
    assert found["predicted_gain_nats"] == result.solution.objective and found["proven"]


def test_a_verified_file_is_told_from_others(result: SearchResult, tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    assert not is_verified(path, result)
    save_scheme(replace(result, verified=[]), path)
    assert not is_verified(path, result)
    save_scheme(result, path)
    assert is_verified(path, result)
    assert not is_verified(path, replace(result, limits=replace(ROOM, step_instructions=9)))
    other = replace(result.solution, selection=Selection(1, ()))
    assert not is_verified(path, replace(result, solution=other))


def test_the_file_is_a_scheme(result: SearchResult, tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    save_scheme(result, path)
    graph = tiny_model().graph
    scheme, selection = resolve_scheme(str(path), graph, "tiny"), result.chosen
    assert len(scheme.biases) == selection.bias_layers
    assert len(scheme.weights) == len(selection.choices)
    evidence = tomllib.loads(path.read_text())["evidence"]
    assert evidence["chosen"] == result.chosen_name
    assert evidence["contribution_epochs"] == 2 and result.predicted_accuracy is not None
    assert evidence["predicted_accuracy"] == result.predicted_accuracy
    assert evidence["model_sha256"] == tiny_model().sha256()
    assert evidence["planned"]["sram_bytes"] == result.planned.sram
    assert [row["layers"] for row in evidence["biases"]] == [1, 2, 3, 4]
    assert {row["layer"] for row in evidence["weights"]} == {0, 1, 2, 3}
    assert len(evidence["verification"]) == len(result.verified)


def test_a_warm_cache_serves_another_budget(
    result: SearchResult, options: SearchOptions, data: Path
) -> None:
    assert search(tiny_model(), data, options, lambda *_: None).trials == 0
    less = Limits(result.planned.sram - 1, ROOM.flash_bytes)
    other = search(tiny_model(), data, replace(options, limits=less), lambda *_: None)
    assert other.planned.sram < result.planned.sram
    # By the same gains: those of another depth are drawn towards another line.
    assert result.all_contributions.objective(other.solution.selection) <= result.solution.objective
    # Only the new scheme, its biases and the last layers had to be verified, on val and test.
    assert other.trials <= 6 * options.seeds
    unverified = replace(options, limits=less, verify=False)
    chosen: list[SearchResult] = []
    quick = search(tiny_model(), data, unverified, lambda *_: None, chosen.append)
    assert (quick.trials, quick.verified, chosen) == (0, [], [quick])
    assert quick.solution.selection == other.solution.selection


def test_an_estimate_can_be_verified(
    result: SearchResult, options: SearchOptions, data: Path
) -> None:
    fast = replace(options, fast=True, verify=True)
    assert result.verified and search(tiny_model(), data, fast, lambda *_: None).verified


def test_schemes_are_searched_in_the_formats_asked_for(
    result: SearchResult, options: SearchOptions, data: Path, tmp_path: Path
) -> None:
    """Which take other bytes and learn other bits."""
    wide = replace(options.request, formats=Formats("int32", "float32"))
    fast = replace(options, request=wide, fast=True, verify=True)
    other = search(tiny_model(), data, fast, lambda *_: None)
    assert other.costs.sram(result.chosen) > result.planned.sram
    heads = [
        row.log_loss for one in (result, other) for row in one.verified
        if (row.name, row.split) == ("head-only", "val")
    ]  # fmt: skip
    assert len(set(heads)) == 2
    save_scheme(other, tmp_path / "wide.toml")
    evidence = tomllib.loads((tmp_path / "wide.toml").read_text())["evidence"]
    assert (evidence["head"], evidence["bias"]) == ("float32", "int32")


def test_the_estimate_is_compared_where_it_is_known(
    result: SearchResult, options: SearchOptions, data: Path
) -> None:
    measured = search(tiny_model(), data, options, lambda *_: None).rank_correlation
    assert measured is not None and measured.low <= measured.value <= measured.high
    fast = search(tiny_model(), data, replace(options, fast=True), lambda *_: None)
    assert (fast.trials, fast.verified, fast.analysis) == (0, [], None)
    assert len(search_tables(fast)) == 2
    assert fast.rank_correlation == measured and fast.predicted_accuracy is None


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1000]).value == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]).value == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]).value == pytest.approx(0.8)
    flat = rank_correlation([1, 2, 3, 4], [5, 5, 5, 5])
    assert (flat.value, flat.pairs) == (0, 4) and flat.low == -flat.high < 0


def test_toml_reads_back() -> None:
    table = {
        "text": 'a "quote" \\ \n \x7f é', "yes": True, "list": [1.5, 2.0], "tiny": 5e-324,
        "weights": {"3": "1/2", "a b": "1"}, 
        "deep": {"n": 1, "rows": [{"x": 1}, {"x": 2, "y": []}]},
    }  # fmt: skip
    assert tomllib.loads(toml_text(table)) == table


def test_fewer_than_three_seeds_verify_nothing(options: SearchOptions, data: Path) -> None:
    with pytest.raises(MicrotuneError, match="--seeds 2"):
        search(tiny_model(), data, replace(options, seeds=2), lambda *_: None)


def arguments(folder: Path, data: Path, *more: str) -> list[str]:
    model = folder / "tiny.mt"
    save_model(tiny_model(), model)
    return [
        *COMMAND, str(model), "--data", str(data), "--cache", str(folder / "cache"), "--lr",
        "0.02", "-o", str(folder / "found.toml"), *more,
    ]  # fmt: skip


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, data: Path) -> None:
    process = subprocess.Popen(
        arguments(tmp_path, data, "--workers", "2", "--epochs", "3"), stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    cache = Cache(tmp_path / "cache")
    setup = open_trial_setup(tiny_model(), data, tmp_path / "cache", "val")
    first = Trial(Selection(0, ()), 0.02, 0, 1)
    deadline = time.monotonic() + 60
    while cache.get(setup.key(first)) is None:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # to one process: it must end the others
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "the same command goes on" in said
    assert gone(process.pid, 5.0)
    assert not (tmp_path / "found.toml").exists()
    again = TrialRunner(setup, cache, TaskSession(Backend(workers=1)), lambda *_: None)
    again.results([first])
    assert again.trained == 0


def test_ctrl_c_while_verifying_leaves_the_choice(tmp_path: Path, data: Path) -> None:
    """The solver has chosen in this process by then."""
    output = tmp_path / "found.toml"
    process = subprocess.Popen(
        arguments(tmp_path, data, "--workers", "2", "--epochs", "45"), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not output.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "the same command goes on" in said
    assert gone(process.pid, 5.0)
    assert tomllib.loads(output.read_text())["evidence"]["verification"] == []


def test_a_missing_compiler_is_said_before_anything_is_planned(
    options: SearchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(MicrotuneError, match="compiler"):
        search(tiny_model(), tmp_path / "no images", options, lambda *_: None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sram", "100"], "nothing can be trained"),
        (["--sram", "lots"], "is not a size"),
        (["--lr", "-1"], "learning rate"),
        (["--address", "tcp://a:1"], "add --backend"),
        (["-o", "scheme.txt"], "NAME.toml"),
        (["-o", "{tmp}/folder.toml"], "is a folder"),
        (["-o", "{tmp}/file/scheme.toml"], "cannot write"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, data: Path, more: list[str], message: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "file").touch()
    more = [text.replace("{tmp}", str(tmp_path)) for text in more]
    done = microtune(*arguments(tmp_path, data, *more)[len(INTERRUPTIBLE) :])
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.split())
    planned = message == "nothing can be trained"  # the others are refused before anything is done
    assert (tmp_path / "cache").exists() == planned
    assert not (tmp_path / "found.toml").exists()
