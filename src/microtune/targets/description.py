"""Targets by name, by a TOML file of the user's, or as a plan recorded them."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.targets.architecture import ARCHITECTURES
from microtune.targets.target import MemoryBank, Target

_DATA = Path(__file__).parent / "data"
_SCHEMA = Path(__file__).with_name("target.schema.json")
# Regions that every linker script has.
_TAKEN = {"flash", "harness_flash", "harness_ram", "harness_vectors"}
_LAST = 2**32
_SHOWN = 160


def target_names() -> tuple[str, ...]:
    """The names of the targets that come with microtune, sorted."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.toml")))


def load_target(target: str | os.PathLike[str] | Target) -> Target:
    """The target of a name (case-insensitive) or of a TOML file.

    A file is a path, or text that ends in .toml or has a slash. A Target is checked and returned.
    Raises MicrotuneError if there is no such target or file, or if a field is unknown, missing or
    wrong.
    """
    if isinstance(target, Target):
        return parse_target(target.to_json(), f"target {target.name}")
    text = os.fspath(target)
    if not isinstance(target, str) or text.lower().endswith(".toml") or "/" in text:
        return _from_file(Path(text))
    key = text.strip().lower()
    if key not in target_names():
        raise MicrotuneError(
            f"unknown target '{target}'. Known targets: {', '.join(target_names())}; or give a "
            "TOML file, for instance board.toml (docs/targets.md)"
        )
    return _from_file(_DATA / f"{key}.toml")


def _from_file(path: Path) -> Target:
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MicrotuneError(f"{path}: no such target file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise MicrotuneError(f"{path}: not a readable target file: {reason}") from error
    try:
        data = tomllib.loads(content)
    except ValueError as error:
        raise MicrotuneError(f"{path}: not TOML: {error}") from error
    return parse_target(data, str(path))


def parse_target(data: Mapping[str, Any], where: str) -> Target:
    """The target that these fields describe.

    Raises MicrotuneError, which names `where` and lists all that is wrong.
    """
    if wrong := list(_form(data)):
        raise MicrotuneError(f"{where}: {'; '.join(wrong)}")
    target = _target(data)
    if wrong := list(_sense(target)):
        raise MicrotuneError(f"{where}: {'; '.join(wrong)}")
    return target


@cache
def _schema() -> Any:  # noqa: ANN401
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def _form(data: Mapping[str, Any]) -> Iterator[str]:
    """Lines about fields that are unknown, missing, or of the wrong type."""
    for error in sorted(_schema().iter_errors(data), key=lambda e: list(map(str, e.absolute_path))):
        place = ".".join(map(str, error.absolute_path))
        known = error.schema.get("properties", {})
        if error.validator == "additionalProperties":
            for name in sorted(set(error.instance) - set(known)):
                yield f"unknown field '{_joined(place, name)}'; known are {', '.join(known)}"
        elif error.validator == "required":
            (name,) = (n for n in error.validator_value if repr(n) == error.message.split()[0])
            yield f"field '{_joined(place, name)}' is missing"
        elif error.validator == "dependentRequired":
            yield "emulator and harness belong together: give both or none"
        else:
            yield f"field '{place}': {error.message[:_SHOWN]}"


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _target(data: Mapping[str, Any]) -> Target:
    harness, emulator = data.get("harness", {}), data.get("emulator", {})
    banks = [_bank(bank["name"], bank) for bank in data["memories"]]
    return Target(
        name=data["name"],
        architecture=ARCHITECTURES[data["architecture"]],
        core=data["core"],
        isa=tuple(data.get("isa", ())),
        gcc_flags=tuple(data["gcc"]["cpu_flags"]),
        zig_flags=tuple(data.get("zig", {}).get("cpu_flags", ())),
        memories=tuple(sorted(banks, key=lambda bank: bank.speed)),
        flash=_bank("flash", data["flash"]),
        harness_flash=_bank("harness_flash", harness["flash"]) if harness else None,
        harness_ram=_bank("harness_ram", harness["ram"]) if harness else None,
        harness_vectors=(
            _bank("harness_vectors", harness["vectors"]) if "vectors" in harness else None
        ),
        machine=emulator.get("machine"),
        emulator_arguments=tuple(emulator.get("arguments", ())),
        notes=data.get("notes", ""),
    )


def _bank(name: str, data: Mapping[str, Any]) -> MemoryBank:
    return MemoryBank(name, int(data["origin"]), int(data["bytes"]), float(data.get("speed", 1)))


def _sense(target: Target) -> Iterator[str]:
    """Lines about memories that contradict themselves or each other."""
    names = [bank.name for bank in target.memories]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two memories are called '{name}'"
    for name in sorted(set(names) & _TAKEN):
        yield f"a memory cannot be called '{name}'"
    harness = (target.harness_flash, target.harness_ram, target.harness_vectors)
    banks = [*target.memories, target.flash, *(bank for bank in harness if bank is not None)]
    for bank in banks:
        if bank.end > _LAST:
            yield f"{bank.name} ends at 0x{bank.end:x}, beyond 32 bits"
    for below, above in pairwise(sorted(banks, key=lambda bank: bank.origin)):
        if below.end > above.origin:
            yield (
                f"{below.name} (0x{below.origin:08x} to 0x{below.end:08x}) overlaps {above.name} "
                f"(from 0x{above.origin:08x})"
            )
