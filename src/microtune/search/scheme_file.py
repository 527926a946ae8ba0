"""The scheme file of a search: the scheme, and a table `[evidence]` with the reasons for it."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from microtune import __version__
from microtune.errors import MicrotuneError
from microtune.ir.numerics import NUMERICS_VERSION
from microtune.search.contributions.estimates import Correlation
from microtune.search.problem import Choice
from microtune.search.search import SearchResult
from microtune.search.trials.gains import Gain
from microtune.search.verification import FOUND, VerifiedScheme
from microtune.tools.files import write_whole


def check_output(path: Path) -> None:
    """Raise MicrotuneError, before a long search, if `save_scheme` could not write this path."""
    if path.suffix != ".toml":
        raise MicrotuneError(f"{path}: a scheme file is called NAME.toml")
    if path.is_dir():
        raise MicrotuneError(f"{path} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise MicrotuneError(f"cannot write {path}: {error}") from error


def save_scheme(result: SearchResult, path: Path) -> None:
    """Write the chosen scheme with its evidence; `compile --scheme` reads it.

    The file is written whole or not at all. Raises MicrotuneError if it cannot be written.
    """
    table = result.chosen.table(path.stem, result.model)
    text = toml_text(table | {"evidence": _evidence(result)})
    write_whole(path, text.encode("utf-8"))


def _evidence(result: SearchResult) -> dict[str, Any]:
    """The table `[evidence]`: facts of the written scheme, and of the best selection (`found`)."""
    planned, solution = result.planned, result.solution
    biases, weights = _gain_rows(result)
    return {
        "microtune": __version__, "numerics_version": NUMERICS_VERSION, **_subject(result),
        "contributions": "estimated" if result.analysis is None else "measured",
        "chosen": result.chosen_name, "learning_rate": result.training.lr,
        **_if_known("predicted_gain_nats", result.predicted_gain),
        **_if_known("predicted_accuracy", result.predicted_accuracy),
        "proven": result.proven, "plans_checked": solution.evaluations,
        **({} if result.analysis is None else {"contribution_epochs": result.training.epochs}),
        **_correlation(result.rank_correlation),
        "planned": {
            "sram_bytes": planned.sram, "flash_bytes": planned.flash,
            "step_instructions": planned.instructions,
        },
        FOUND: solution.selection.table(FOUND, result.model) | {
            "predicted_gain_nats": solution.objective, "bound_nats": solution.bound,
            "proven": solution.proven,
        },
        "verification": [_verified_row(v) for v in result.verified],
        "biases": [{"layers": k} | g for k, g in biases],
        "weights": [{"layer": c.layer, "ratio": str(c.ratio)} | g for c, g in weights],
    }  # fmt: skip


def _subject(result: SearchResult) -> dict[str, Any]:
    """What the search was made for: model, data, target, formats and limits."""
    limits = vars(result.limits)
    return {
        "model_sha256": result.model_sha256, "data_sha256": result.data_sha256,
        "target": result.target, "input": result.input,
        "head": result.formats.head, "bias": result.formats.bias,
        "limits": {name: value for name, value in limits.items() if value is not None},
    }  # fmt: skip


def is_verified(path: Path, result: SearchResult) -> bool:
    """Whether the file at `path` already has this result, for the same search, with verification.

    An unverified result must not replace it. False if there is no such file.
    """
    try:
        kept = tomllib.loads(path.read_text(encoding="utf-8")).get("evidence", {})
    except (OSError, ValueError):
        return False
    same = all(kept.get(name) == value for name, value in _subject(result).items())
    found = result.solution.selection.table(FOUND, result.model)
    return same and bool(kept.get("verification")) and kept.get(FOUND, {}).items() >= found.items()


def _if_known(name: str, value: float | None) -> dict[str, float]:
    """A table with this entry, or an empty one if the value is None."""
    return {} if value is None else {name: value}


def _correlation(found: Correlation | None) -> dict[str, Any]:
    """The entry for the rank correlation of the estimate, if it is known."""
    if found is None:
        return {}
    return {"rank_correlation_of_estimate": vars(found)}


def _gain_rows(
    result: SearchResult,
) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[Choice, dict[str, Any]]]]:
    """(bias depths, choices), ascending, each with its gain; also parts that exceed the limits."""
    known, analysis = result.all_contributions, result.analysis
    biases = {depth: {"nats": nats} for depth, nats in sorted(known.biases.items())}
    weights = {choice: {"nats": nats} for choice, nats in sorted(known.weights.items())}
    if analysis is None:
        return list(biases.items()), list(weights.items())
    return (
        [
            (
                depth,
                _gain_row(analysis.biases[depth])
                | {"expected_nats": known.biases[depth]}
                | _increment_row(analysis.depth_increments.get(depth)),
            )
            for depth in biases
        ],
        [
            (choice, _gain_row(analysis.weights[choice]) | {"expected_nats": known.weights[choice]})
            for choice in weights
        ],
    )


def _gain_row(gain: Gain) -> dict[str, Any]:
    """The entries of a measured or interpolated gain."""
    return {
        "nats": gain.nats, "standard_error": gain.standard_error, "seeds": gain.seeds,
        "training_nats": gain.training_nats,
        "accuracy_points": gain.points.mean,
        "accuracy_interval": [gain.points.low, gain.points.high],
    }  # fmt: skip


def _increment_row(step: Gain | None) -> dict[str, float]:
    """The gain of a measured depth over the next shallower one; empty for other depths."""
    if step is None:
        return {}
    return {
        "step_nats": step.nats, "step_standard_error": step.standard_error,
        "step_training_nats": step.training_nats,
    }  # fmt: skip


def _verified_row(row: VerifiedScheme) -> dict[str, Any]:
    """The entries of one trained scheme on one split."""
    return {
        "scheme": row.name, "split": row.split, "seeds": row.seeds, "epochs": row.epochs,
        "log_loss": row.log_loss, "accuracy": row.accuracy,
        "accuracy_deviation": row.deviation,
        "gain_over_head_nats": row.gain.nats, "gain_standard_error": row.gain.standard_error,
        "gain_points": row.gain.points.mean,
        "gain_interval": [row.gain.points.low, row.gain.points.high],
    }  # fmt: skip


# -- TOML -----------------------------------------------------------------------------------------


def toml_text(table: Mapping[str, Any]) -> str:
    """A table as TOML text: plain values first, then tables and arrays of tables.

    Values are strings, numbers, booleans, fractions (written as strings), lists and tables.
    """
    return "\n".join(_table_lines(table, ())) + "\n"


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """The lines of a table whose dotted name is `path`."""
    plain = {
        k: v for k, v in table.items() if not isinstance(v, Mapping) and not _is_table_array(v)
    }
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_table_lines(value, (*path, key))]
        elif _is_table_array(value):
            for row in value:
                lines += ["", f"[[{name}]]", *_table_lines(row, (*path, key))]
    return lines


def _is_table_array(value: object) -> bool:
    """Whether a value is a list of tables that is not empty."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _key(name: str) -> str:
    """A key of TOML, quoted if it has characters that a bare key must not have."""
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else _text(name)


def _value(value: object) -> str:
    """A plain value as TOML text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, Fraction)):
        return _text(str(value))
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _text(value: str) -> str:
    # A JSON string is a basic string of TOML, but for DEL, which JSON leaves as it is.
    """A string as TOML text, quoted and escaped."""
    return json.dumps(value).replace("\x7f", "\\u007F")
