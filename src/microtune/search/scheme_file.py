"""The scheme file of a search: the scheme, and in a table `[evidence]` why it was chosen."""

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
from microtune.search.search import Finding
from microtune.search.trials.gains import Gain
from microtune.search.verification import FOUND, Verified
from microtune.tools.files import write_whole


def check_output(path: Path) -> None:
    """Refuse before a long search what `save_scheme` could not write after it (MicrotuneError)."""
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


def save_scheme(finding: Finding, path: Path) -> None:
    """Write the scheme with its evidence, whole or not at all; `compile --scheme` reads it. Raises
    MicrotuneError where it cannot be written."""
    table = finding.chosen.table(path.stem, finding.model)
    text = toml_text(table | {"evidence": _evidence(finding)})
    write_whole(path, text.encode("utf-8"))


def _evidence(finding: Finding) -> dict[str, Any]:
    """What is said of the written scheme is said at the top; of what was found instead, in a table
    of its own."""
    planned, solution = finding.planned, finding.solution
    biases, weights = _gains(finding)
    return {
        "microtune": __version__, "numerics_version": NUMERICS_VERSION, **_subject(finding),
        "contributions": "estimated" if finding.analysis is None else "measured",
        "chosen": finding.chosen_name, "learning_rate": finding.training.lr,
        **_known("predicted_gain_nats", finding.predicted_gain),
        **_known("predicted_accuracy", finding.predicted_accuracy),
        "proven": finding.proven, "plans_checked": solution.evaluations,
        **({} if finding.analysis is None else {"contribution_epochs": finding.training.epochs}),
        **_correlation(finding.rank_correlation),
        "planned": {
            "sram_bytes": planned.sram, "flash_bytes": planned.flash,
            "step_instructions": planned.instructions,
        },
        FOUND: solution.selection.table(FOUND, finding.model) | {
            "predicted_gain_nats": solution.objective, "bound_nats": solution.bound,
            "proven": solution.proven,
        },
        "verification": [_verified(v) for v in finding.verified],
        "biases": [{"layers": k} | g for k, g in biases],
        "weights": [{"layer": c.layer, "ratio": str(c.ratio)} | g for c, g in weights],
    }  # fmt: skip


def _subject(finding: Finding) -> dict[str, Any]:
    """What was searched for what."""
    limits = vars(finding.limits)
    return {
        "model_sha256": finding.model_sha256, "data_sha256": finding.data_sha256,
        "target": finding.target, "input": finding.input,
        "head": finding.formats.head, "bias": finding.formats.bias,
        "limits": {name: value for name, value in limits.items() if value is not None},
    }  # fmt: skip


def is_verified(path: Path, finding: Finding) -> bool:
    """Whether the file says of the same model, data and limits that the same was found, and has
    verified it: an unverified finding must not replace it."""
    try:
        kept = tomllib.loads(path.read_text(encoding="utf-8")).get("evidence", {})
    except (OSError, ValueError):
        return False
    same = all(kept.get(name) == value for name, value in _subject(finding).items())
    found = finding.solution.selection.table(FOUND, finding.model)
    return same and bool(kept.get("verification")) and kept.get(FOUND, {}).items() >= found.items()


def _known(name: str, value: float | None) -> dict[str, float]:
    return {} if value is None else {name: value}


def _correlation(found: Correlation | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {"rank_correlation_of_estimate": vars(found)}


def _gains(
    finding: Finding,
) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[Choice, dict[str, Any]]]]:
    """(depths, choices) in order, each with what is known of its gain, also where it cannot be
    afforded."""
    known, analysis = finding.known, finding.analysis
    biases = {depth: {"nats": nats} for depth, nats in sorted(known.biases.items())}
    weights = {choice: {"nats": nats} for choice, nats in sorted(known.weights.items())}
    if analysis is None:
        return list(biases.items()), list(weights.items())
    return (
        [
            (
                depth,
                _gain(analysis.biases[depth])
                | {"expected_nats": known.biases[depth]}
                | _step(analysis.steps.get(depth)),
            )
            for depth in biases
        ],
        [
            (choice, _gain(analysis.weights[choice]) | {"expected_nats": known.weights[choice]})
            for choice in weights
        ],
    )


def _gain(gain: Gain) -> dict[str, Any]:
    return {
        "nats": gain.nats, "standard_error": gain.error, "seeds": gain.seeds,
        "training_nats": gain.learnt,
        "accuracy_points": gain.points.mean,
        "accuracy_interval": [gain.points.low, gain.points.high],
    }  # fmt: skip


def _step(step: Gain | None) -> dict[str, float]:
    """Of a depth that was measured, over the one before it."""
    if step is None:
        return {}
    return {
        "step_nats": step.nats, "step_standard_error": step.error,
        "step_training_nats": step.learnt,
    }  # fmt: skip


def _verified(row: Verified) -> dict[str, Any]:
    return {
        "scheme": row.name, "split": row.split, "seeds": row.seeds, "epochs": row.epochs,
        "log_loss": row.log_loss, "accuracy": row.accuracy,
        "accuracy_deviation": row.deviation,
        "gain_over_head_nats": row.gain.nats, "gain_standard_error": row.gain.error,
        "gain_points": row.gain.points.mean,
        "gain_interval": [row.gain.points.low, row.gain.points.high],
    }  # fmt: skip


# -- TOML -----------------------------------------------------------------------------------------


def toml_text(table: Mapping[str, Any]) -> str:
    """A table as TOML: plain values first, then tables, then arrays of tables."""
    return "\n".join(_lines(table, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping) and not _tables(v)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_lines(value, (*path, key))]
        elif _tables(value):
            for row in value:
                lines += ["", f"[[{name}]]", *_lines(row, (*path, key))]
    return lines


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, Fraction)):
        return _text(str(value))
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _text(value: str) -> str:
    # A JSON string is a basic string of TOML, but for DEL, which JSON leaves as it is.
    return json.dumps(value).replace("\x7f", "\\u007F")
