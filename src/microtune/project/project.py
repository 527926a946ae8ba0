"""Write the C project folder: runtime copied, model generated, port, build files, plan.json.

Everything is written into a temporary folder beside the target and renamed at the end, so that a
failure leaves nothing half-written. The result has no absolute path and no time stamp.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from microtune import __version__
from microtune.codegen import layout
from microtune.codegen.class_names import classes_text
from microtune.codegen.model_source import model_header, model_source
from microtune.codegen.names import Renaming, named
from microtune.data.modality import Modality
from microtune.errors import MicrotuneError, warn
from microtune.ir import numerics
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile, load_model, save_model
from microtune.memory.banks import MemoryPlan
from microtune.memory.latent import replay_bytes
from microtune.project.camera import header_comment, known_modality, readme_section, section_title
from microtune.project.commit import MANIFEST, commit, recover
from microtune.project.learnt import Learnt
from microtune.project.manifest import (
    MARKER,
    TEMPLATES,
    ArenaEntry,
    Budget,
    BufferEntry,
    HeadEntry,
    LearntEntry,
    Manifest,
    NamedHash,
    OptimizerEntry,
    SchemeEntry,
    read_plan,
)
from microtune.runtime.files import (
    PRIVATE_FOLDERS,
    PROJECT_INCLUDES,
    PUBLIC_FOLDERS,
    project_texts,
)
from microtune.targets import Placement, Target, write_port
from microtune.tools.names import printable
from microtune.training.optimisers import DEFAULT_OPTIMIZER, Optimizer
from microtune.training.tasks import target_codes, task_of

# What SRAM holds beside arenas: names that no tensor can have.
STACK, CONTEXT, REPLAY = "the stack", "the context", "the replay memory"
TRAINING_FILE = "model/training.mt"
# Is told one line that the user should read.
Note = Callable[[str], None]


@dataclass(frozen=True)
class Project:
    """Everything that goes into the folder of a C project.

    `class_names` are in label order (empty: not known); `prefix` stands before every external name
    of the C; `learnt` is where the graph's initial values came from.
    """

    model: ModelFile
    graph: Graph
    plan: MemoryPlan
    target: Target
    scheme_name: str
    scheme_sha256: str
    sram_bytes: int
    flash_bytes: int
    model_sha256: str
    classes: int
    formats: Mapping[str, str]
    analytic_kb: float | None
    class_names: tuple[str, ...] = ()
    prefix: str = ""
    learnt: Learnt | None = None
    names_in_c: bool = False
    optimizer: Optimizer = DEFAULT_OPTIMIZER
    head: HeadEntry = field(default_factory=HeadEntry)

    @property
    def modality(self) -> Modality | None:
        """How samples become the network's input; None where the model file does not say it."""
        return known_modality(self.model.preprocessing, self.model.graph.input_tensor)


def manifest_of(project: Project) -> Manifest:
    """The content of the project's plan.json."""
    plan, graph, learnt = project.plan, project.graph, project.learnt
    slots = layout.parameter_slots(graph)
    return Manifest(
        generator=f"microtune {__version__}", numerics_version=numerics.NUMERICS_VERSION,
        model=NamedHash(graph.name, project.model_sha256),
        scheme=SchemeEntry(project.scheme_name, project.scheme_sha256, project.analytic_kb),
        formats=project.formats,
        optimizer=OptimizerEntry(
            project.optimizer.name, project.optimizer.momentum, layout.momentum_bytes(graph)
        ),
        classes=project.classes, class_names=project.class_names,
        prefix=project.prefix, head=project.head, loss=task_of(graph).loss,
        learnt=None if learnt is None else LearntEntry(learnt.sha256, learnt.steps),
        target=project.target, input=graph.execution.input,
        budget=Budget(project.sram_bytes, project.flash_bytes),
        arena_bytes=plan.arena_bytes, lower_bound=plan.lower_bound,
        arenas=tuple(
            ArenaEntry(a.bank, a.plan.arena_bytes, a.plan.lower_bound, a.plan.optimal,
                       a.plan.method)
            for a in plan.arenas
        ),
        stack_bank=plan.resident_banks[STACK], context_bank=plan.resident_banks[CONTEXT],
        replay_bank=plan.resident_banks.get(REPLAY), replay_bytes=replay_bytes(graph),
        parameter_bytes=layout.block_bytes(slots),
        buffers=tuple(
            BufferEntry(b.name, plan.offsets[b.name], b.bytes, b.first, b.last,
                        plan.bank_of(b.name), b.kind)
            for b in sorted(plan.buffers, key=lambda b: (b.first, plan.offsets[b.name]))
        ),
        parameters=tuple(slots), gradient_offsets=tuple(layout.offset_names(graph)),
        preprocessing=project.model.preprocessing,
    )  # fmt: skip


def check_project_place(directory: Path) -> None:
    """Raise MicrotuneError if a project cannot be written here: what is there is not ours."""
    if found := _foreign(directory):
        raise MicrotuneError(
            f"{directory} exists and is not a microtune project ({found}); give an empty or new "
            "folder"
        )


def write_project(project: Project, directory: Path, note: Note = warn) -> None:
    """Write the folder whole or not at all; what is there already and not ours stays.

    `note` is told in one line each what of the user's was moved aside or came back (Changes).
    """
    try:
        recover(directory)
        check_project_place(directory)
        changes = commit(directory, lambda folder: _fill(project, folder))
    except OSError as error:
        where = error.filename2 or error.filename or directory
        place = f" ({where})" if str(where) != str(directory) else ""
        reason = error.strerror or error
        raise MicrotuneError(f"cannot write {directory}: {reason}{place}") from error
    for line in changes.notes():
        note(line)


def _foreign(directory: Path) -> str:
    """What is there, if that is neither a project of ours nor an empty folder; else "". Hidden
    files, such as .git, and the lost+found of a file system do not count."""
    if not directory.exists():
        return ""
    if not directory.is_dir():
        return "it is no folder"
    if (directory / MANIFEST).is_file() or _is_plan(directory / MARKER):
        return ""
    names = sorted(entry.name for entry in directory.iterdir())
    visible = [name for name in names if not name.startswith(".") and name != "lost+found"]
    more = f" and {len(visible) - 1} more" if len(visible) > 1 else ""
    return f"it holds {printable(visible[0])}{more}" if visible else ""


def _is_plan(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["generator"]).startswith("microtune")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sources(project: Project) -> dict[str, str]:
    """The C of include/, src/ and model/ by path, before it is named."""
    texts = project_texts()
    graph, plan = project.graph, project.plan
    names = project.class_names if project.names_in_c else ()
    camera = header_comment(project.modality)
    texts["model/microtune_model.h"] = model_header(graph, plan, camera, names)
    texts["model/microtune_model.c"] = model_source(
        graph, plan, project.model_sha256, project.scheme_sha256, names
    )
    return texts


def _write_sources(project: Project, root: Path) -> Renaming:
    """All C files, with today's date and the user's permissions, so that `make` sees new ones."""
    texts, renaming = named(_sources(project), project.prefix)
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for file in write_port(root / "port", project.target, placement=_placement(project.plan)):
        if file.suffix in (".c", ".h"):
            file.write_text(renaming.text(file.read_text(encoding="utf-8")), encoding="utf-8")
    return renaming


def _fill(project: Project, root: Path) -> None:
    renaming, graph = _write_sources(project, root), project.graph
    training = ModelFile(
        graph, project.model.preprocessing, project.model.licence, project.model.source
    )
    save_model(training, root / TRAINING_FILE)
    for name in ("CMakeLists.txt", "Makefile", "README.md"):
        text = Template((TEMPLATES / name).read_text(encoding="utf-8"))
        flags, gcc = " ".join(project.target.gcc_flags), project.target.architecture.gcc
        filled = text.safe_substitute(
            TARGET=project.target.name, GCC=gcc, FLAGS=flags, MODEL=graph.name,
            INPUT="input by rows" if graph.execution.by_rows else "resident frame",
            CLASSES=_outputs_text(project),
            SENSOR=section_title(project.modality), CAMERA=readme_section(project.modality),
            PREFIX=project.prefix,
            INCLUDES=" ".join(PROJECT_INCLUDES), PRIVATE_FOLDERS=" ".join(PRIVATE_FOLDERS),
            FOLDERS=", ".join(f"`{folder}`" for folder in (*PUBLIC_FOLDERS, *PRIVATE_FOLDERS)),
        )  # fmt: skip
        (root / name).write_text(renaming.text(filled), encoding="utf-8")
    (root / "LICENSE.model").write_text(project.model.licence, encoding="utf-8")
    shutil.copyfile(TEMPLATES / "LICENSE.runtime", root / "LICENSE.runtime")
    shutil.copyfile(TEMPLATES / "plan.schema.json", root / "plan.schema.json")
    (root / MARKER).write_text(
        json.dumps(manifest_of(project).to_json(), indent=1) + "\n", encoding="utf-8"
    )


def _outputs_text(project: Project) -> str:
    """What the outputs of the network are, in Markdown."""
    if codes := target_codes(project.graph):
        return (
            f"No classes: {codes:,} values, learnt by mean squared error. A target of "
            "`mt_train_step` is a code of int8 for each, worth 1/128; `mt_output` gives them with "
            "1.0 for 128 codes."
        )
    return classes_text(project.class_names, project.classes)


def _placement(plan: MemoryPlan) -> Placement:
    """What the linker script needs to know of the plan."""
    banks = tuple(arena.bank for arena in plan.arenas)
    stack, context = plan.resident_banks[STACK], plan.resident_banks[CONTEXT]
    return Placement(stack, context, banks, plan.resident_banks.get(REPLAY))


def read_project(directory: Path) -> tuple[Manifest, Graph]:
    """(plan.json, training graph) of a project folder. Raises MicrotuneError if it is none, or if
    one of the two is not what compile wrote beside the other."""
    plan, graph = read_plan(directory), load_model(directory / TRAINING_FILE).graph
    wrong = _difference(plan, graph)
    if wrong:
        raise MicrotuneError(
            f"{directory}: plan.json does not fit {TRAINING_FILE} ({wrong}). Compile the model "
            "again."
        )
    return plan, graph


def _difference(plan: Manifest, graph: Graph) -> str:
    """What is not of this graph in a plan; empty if nothing is."""
    if list(plan.parameters) != layout.parameter_slots(graph):
        return "other trained parameters"
    if list(plan.gradient_offsets) != layout.offset_names(graph):
        return "other gradients"
    outputs, task = graph.output_tensor.elements, task_of(graph)
    classes = task.classes(outputs) or outputs
    if plan.classes != classes:
        return f"{plan.classes} classes, not {classes}"
    if plan.outputs != outputs or plan.loss not in (None, task.loss):
        return f"--loss {plan.loss}, not {task.loss}"
    if plan.head.own > classes:
        return f"{plan.head.own} classes of the model's own, of {classes}"
    if plan.input != graph.execution.input:
        return "another --input"
    if not plan.buffers:
        return "no buffers"
    for entry in plan.buffers:
        if not entry.first < entry.last <= len(graph.nodes):
            return f"{entry.name} lives outside the {len(graph.nodes)} steps"
    return ""
