"""plan.json of a project folder: its type, its one reader and what its one writer writes.

The file is for people and other programs too; `plan.schema.json` beside it is its JSON Schema.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from microtune.codegen.layout import Slot
from microtune.codegen.names import PREFIX
from microtune.errors import MicrotuneError
from microtune.project.commit import recover
from microtune.targets import Placement, Target, load_target, parse_target
from microtune.training.head_origin import HeadKind
from microtune.training.tasks import BINARY

PLAN_SCHEMA_VERSION = 4
TEMPLATES = Path(__file__).parent / "templates"
MARKER = "plan.json"

# Characters of what is wrong with an entry of plan.json.
_SHOWN = 200


@dataclass(frozen=True)
class NamedHash:
    """A model, by its name and the SHA-256 of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SchemeEntry:
    """An update scheme; `analytic_kb` is the published formula's SRAM in KB, where there is one."""

    name: str
    sha256: str
    analytic_kb: float | None = None


@dataclass(frozen=True)
class LearntEntry:
    """The saved state that the firmware starts from, and how many training steps it has made."""

    sha256: str
    steps: int


@dataclass(frozen=True)
class OptimizerEntry:
    """What becomes of the gradients, the share of a velocity that each step keeps (None: there are
    no velocities), and the bytes of `parameter_bytes` that are velocities."""

    name: str = "sgd"
    momentum: float | None = None
    state_bytes: int = 0


@dataclass(frozen=True)
class HeadEntry:
    """What the head started from ("new", "keep" or "extend"), and how many of its classes are the
    model's own."""

    kind: HeadKind = "new"
    own: int = 0

    @property
    def knows(self) -> bool:
        """Whether it had classes before it learnt."""
        return self.kind != "new"


@dataclass(frozen=True)
class Budget:
    """The bytes of SRAM and flash that the plan had to fit."""

    sram_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class ArenaEntry:
    """The arena of a memory bank: its bytes, and those that no plan of this order can do without.

    `optimal` says that the two are proven to be equal, `method` which planner found the plan.
    """

    bank: str
    bytes: int
    lower_bound: int
    optimal: bool
    method: str


@dataclass(frozen=True)
class BufferEntry:
    """A buffer: `bytes` from `offset` on in the arena of `bank`, in the steps first .. last - 1."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    bank: str
    kind: Literal["tensor", "ring", "scratch", "rows"]


@dataclass(frozen=True)
class Manifest:
    """Everything that plan.json says of a project.

    `class_names` are in label order (empty: not known). `target` is recorded whole. `parameters`
    are the slots of the trained parameter block, `gradient_offsets` the names of the offsets behind
    it. `preprocessing` says how samples become inputs, as the model file does. `loss` is what
    `compile --loss` calls it; None: it is not written there.
    """

    generator: str
    numerics_version: int
    model: NamedHash
    scheme: SchemeEntry
    formats: Mapping[str, str]
    classes: int
    class_names: tuple[str, ...]
    prefix: str
    learnt: LearntEntry | None
    target: Target
    input: Literal["resident", "rows"]
    budget: Budget
    arena_bytes: int
    lower_bound: int
    arenas: tuple[ArenaEntry, ...]
    stack_bank: str
    context_bank: str
    replay_bank: str | None
    replay_bytes: int
    parameter_bytes: int
    buffers: tuple[BufferEntry, ...]
    parameters: tuple[Slot, ...]
    gradient_offsets: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    optimizer: OptimizerEntry = OptimizerEntry()
    head: HeadEntry = HeadEntry()
    loss: str | None = None

    @property
    def outputs(self) -> int:
        """Outputs of the network: one for each class or value; a binary classifier has one."""
        return 1 if self.loss == BINARY.loss else self.classes

    def to_json(self) -> dict[str, Any]:
        """The object that plan.json holds."""
        plain = {
            "formats": dict(self.formats), "class_names": list(self.class_names),
            "target": self.target.to_json(), "preprocessing": dict(self.preprocessing),
            "optimizer": asdict(self.optimizer), "head": asdict(self.head),
            "model": asdict(self.model), "scheme": asdict(self.scheme),
            "learnt": None if self.learnt is None else asdict(self.learnt),
            "budget": asdict(self.budget), "arenas": [asdict(entry) for entry in self.arenas],
            "buffers": [asdict(entry) for entry in self.buffers],
            "parameters": [slot.to_json() for slot in self.parameters],
            "gradient_offsets": list(self.gradient_offsets),
        }  # fmt: skip
        fields = {name: plain.get(name, getattr(self, name)) for name in self.__dataclass_fields__}
        return {"schema_version": PLAN_SCHEMA_VERSION} | fields

    @staticmethod
    def from_json(entry: Mapping[str, Any], where: str = MARKER) -> Manifest:
        """The manifest of an object that `plan.schema.json` allows.

        Raises MicrotuneError, which begins with `where`, for a target or a parameter that is none.
        """
        plain = {key: value for key, value in entry.items() if key != "schema_version"}
        try:
            parameters = tuple(Slot.from_json(slot) for slot in entry["parameters"])
        except TypeError as error:
            raise MicrotuneError(
                f"{where}: parameters: {error}. Compile the model again."
            ) from error
        scheme, learnt = entry["scheme"], entry["learnt"]
        typed = {
            "model": NamedHash(entry["model"]["name"], entry["model"]["sha256"]),
            "scheme": SchemeEntry(scheme["name"], scheme["sha256"], scheme.get("analytic_kb")),
            "class_names": tuple(entry["class_names"]),
            "optimizer": OptimizerEntry(**entry.get("optimizer", {})),
            "head": HeadEntry(**entry.get("head", {})),
            "learnt": None if learnt is None else LearntEntry(**learnt),
            "target": parse_target(entry["target"], f"{where}: target"),
            "budget": Budget(entry["budget"]["sram_bytes"], entry["budget"]["flash_bytes"]),
            "arenas": tuple(ArenaEntry(**arena) for arena in entry["arenas"]),
            "replay_bank": entry.get("replay_bank"), "replay_bytes": entry.get("replay_bytes", 0),
            "buffers": tuple(BufferEntry(**buffer) for buffer in entry["buffers"]),
            "parameters": parameters, "gradient_offsets": tuple(entry["gradient_offsets"]),
        }  # fmt: skip
        return Manifest(**(plain | typed))

    def placement_on(self, target: Target) -> Placement | None:
        """The placement on `target`; None (everything together) if it lacks a bank."""
        arenas = tuple(arena.bank for arena in self.arenas)
        placement = Placement(self.stack_bank, self.context_bank, arenas, self.replay_bank)
        replay = {self.replay_bank} if self.replay_bank else set()
        wanted = {placement.stack, placement.context, *arenas} | replay
        return placement if wanted <= {bank.name for bank in target.memories} else None

    def chosen_target(self, other: str | os.PathLike[str] | Target | None) -> Target:
        """Another target than the recorded one where one is given. Raises MicrotuneError."""
        return self.target if other is None else load_target(other)


def read_plan(directory: Path) -> Manifest:
    """plan.json of a project folder. Raises MicrotuneError if it is none or of another schema."""
    path = directory / MARKER
    try:
        recover(directory)
    except OSError as error:
        raise MicrotuneError(
            f"{directory}: a compile was interrupted there and cannot be undone: {error}"
        ) from error
    if not path.is_file():
        raise MicrotuneError(f"{directory} is not a microtune project: {MARKER} is missing")
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = plan["schema_version"]
        missing = [key for key in _schema()["required"] if key not in plan]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise MicrotuneError(f"{path}: not a readable plan: {error}") from error
    if version != PLAN_SCHEMA_VERSION:
        raise MicrotuneError(
            f"{path}: schema version {version} is unknown; this microtune reads "
            f"{PLAN_SCHEMA_VERSION}. Compile the model again."
        )
    if missing:
        raise MicrotuneError(
            f"{path}: not a whole plan: {', '.join(missing)} missing. Compile the model again."
        )
    _check_names(path, plan)
    _check_schema(path, plan)
    return Manifest.from_json(plan, str(path))


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (TEMPLATES / "plan.schema.json").read_text(encoding="utf-8")
    )
    return schema


def _check_schema(path: Path, plan: Mapping[str, Any]) -> None:
    """Raise MicrotuneError, naming the entry, for what `plan.schema.json` does not allow."""
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(_schema()).iter_errors(plan):
        where = "/".join(map(str, error.absolute_path)) or "plan"
        raise MicrotuneError(f"{path}: {where}: {error.message[:_SHOWN]}. Compile the model again.")


def _check_names(path: Path, plan: Mapping[str, Any]) -> None:
    """What the plan says of names must be usable: a name for each class or none, a C prefix."""
    names, prefix = plan["class_names"], plan["prefix"]
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or len(names) not in (0, plan["classes"]):
        raise MicrotuneError(
            f"{path}: class_names must list {plan['classes']} names or none. Compile the model "
            "again."
        )
    if not isinstance(prefix, str) or re.fullmatch(PREFIX, prefix) is None:
        raise MicrotuneError(
            f"{path}: prefix {prefix!r} is no start of a C name. Compile the model again."
        )
