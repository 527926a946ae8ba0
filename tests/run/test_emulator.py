"""A tiny product on five emulated cores: results, exact counts, stack, and the memory fence."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.run.emulator import EmulatorRun, run_firmware
from microtune.run.job import Call, Job, Record, RecordResult, read_results, write_job
from microtune.targets import Placement, load_target, write_port
from microtune.tools.elf import read_elf
from microtune.tools.toolchain import Firmware, FirmwareCompiler, build_firmware

FIXTURE = Path(__file__).parent / "fixture"
RISCV = pytest.param("riscv32imc", marks=pytest.mark.riscv)
CORES = ("cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", RISCV)
MISSING = [tool for tool in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(tool) is None]
NO_ZIG = find_spec("ziglang") is None
INPUT_BYTES, CLASSES = 48, 3
FRAME = np.arange(INPUT_BYTES, dtype=np.int8)
PAST_RAM, INTO_FLASH, STACK_OVERFLOW, NOWHERE, RUN_FOREVER = range(100, 105)

pytestmark = [
    pytest.mark.chip,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
needs_zig = pytest.mark.skipif(NO_ZIG, reason="not installed: ziglang")
COMPILERS = ("gcc", pytest.param("zig", marks=needs_zig))


def make_project(folder: Path, core: str) -> Path:
    shutil.copytree(FIXTURE, folder)
    write_port(folder / "port", load_target(core))
    return folder


Build = Callable[[str, FirmwareCompiler], Firmware]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the fixture once for each core and compiler."""
    known: dict[tuple[str, str], Firmware] = {}

    def get(core: str, compiler: FirmwareCompiler = "gcc") -> Firmware:
        if (core, compiler) not in known:
            folder = tmp_path_factory.mktemp(f"{core}-{compiler}")
            project = make_project(folder / "project", core)
            known[core, compiler] = build_firmware(
                project, load_target(core), folder / "firmware.elf", compiler=compiler
            )
        return known[core, compiler]

    return get


def run_records(
    elf: Path, core: str, folder: Path, records: list[Record], measure: bool = False
) -> tuple[EmulatorRun, Job]:
    job = write_job(folder / "job.bin", 5, records, INPUT_BYTES, CLASSES, measure=measure)
    return run_firmware(elf, load_target(core), folder, plugin=measure, timeout_seconds=60), job


def misbehave(elf: Path, core: str, folder: Path, how: int) -> EmulatorRun:
    return run_records(elf, core, folder, [Record(Call.TRAIN, FRAME, how, 0.5)])[0]


def results(folder: Path, job: Job) -> list[RecordResult]:
    return list(read_results(folder / "result.bin", job))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("core", CORES)
def test_a_job_runs_and_its_results_arrive(
    build: Build, tmp_path: Path, core: str, compiler: FirmwareCompiler
) -> None:
    other = -FRAME
    records = [
        Record(Call.INFER, FRAME),
        Record(Call.TRAIN, other, label=2, learning_rate=0.25),
        Record(Call.TRAIN, FRAME, label=1, learning_rate=2.0),
        Record(Call.SAVE),
    ]
    run, job = run_records(build(core, compiler).elf, core, tmp_path, records)
    run.require_success()
    assert run.stdout == ""
    infer, first, second, save = results(tmp_path, job)
    sums = FRAME.astype(np.int32).reshape(-1, CLASSES).sum(axis=0)
    assert infer.logits.tolist() == sums.tolist()
    assert first.logits.tolist() == (-sums).tolist()
    assert infer.predicted == 8 + 5  # initialised data (7), one call, the seed (5)
    assert (first.loss_q16, second.loss_q16) == (1 << 14, 1 << 17)
    assert save.blob == bytes([3, 0, 0, 0, 5, 0, 0, 0])
    assert {r.status for r in (infer, first, second, save)} == {0}
    assert infer.stack_bytes is None


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("core", CORES)
def test_counts_are_exact_and_stack_is_plausible(
    build: Build, tmp_path: Path, core: str, compiler: FirmwareCompiler
) -> None:
    records = [Record(kind, FRAME) for kind in (Call.INFER, Call.TRAIN)] * 2
    elf = build(core, compiler).elf
    run, job = run_records(elf, core, tmp_path, records, measure=True)
    again, _ = run_records(elf, core, tmp_path, records, measure=True)
    assert run.exit_code == 0
    assert run.marks == again.marks
    counts = run.call_instructions
    assert len(counts) == 4
    assert counts[:2] == counts[2:]
    assert 150 < counts[0] < 2000
    stacks = [result.stack_bytes for result in results(tmp_path, job)]
    assert stacks[:2] == stacks[2:]
    # Three nested frames with 256 bytes of buffer each, and not the whole reserve.
    assert all(stack is not None and 768 <= stack < 1100 for stack in stacks)


@pytest.mark.parametrize(("core", "code", "count"), [
    ("cortex-m7", "movs r0, #0\\n nop\\n bx lr", 3),
    pytest.param("riscv32imc", "li a0, 0\\n ret", 2, marks=pytest.mark.riscv),
])  # fmt: skip
def test_an_empty_call_counts_its_own_instructions_only(
    tmp_path: Path, core: str, code: str, count: int
) -> None:
    project = make_project(tmp_path / "project", core)
    source = project / "src" / "model.c"
    text = source.read_text(encoding="utf-8").replace("mt_status mt_infer(", "mt_status old_infer(")
    text = text.replace("return mt_infer(", "return old_infer(")
    naked = "__attribute__((naked)) mt_status mt_infer(mt_context *c, mt_result *r)"
    text += f'{naked}\n{{\n    __asm__("{code}");\n}}\n'
    declared = "static mt_status old_infer(mt_context *context, mt_result *result);\n"
    text = text.replace("struct mt_context {", declared + "struct mt_context {", 1)
    source.write_text(text.replace("\nmt_status old_infer", "\nstatic mt_status old_infer"))
    firmware = build_firmware(project, load_target(core), tmp_path / "x.elf")
    records = [Record(Call.INFER, FRAME)]
    run, job = run_records(firmware.elf, core, tmp_path, records, measure=True)
    assert run.call_instructions == (count,)
    assert results(tmp_path, job)[0].stack_bytes == 0


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("how", [PAST_RAM, INTO_FLASH, STACK_OVERFLOW, NOWHERE])
@pytest.mark.parametrize("core", CORES)
def test_the_fence_stops_stray_writes(
    build: Build, tmp_path: Path, core: str, how: int, compiler: FirmwareCompiler
) -> None:
    run = misbehave(build(core, compiler).elf, core, tmp_path, how)
    assert run.exit_code == 99
    assert f"fault: {'mcause' if core.startswith('riscv') else 'cfsr'}" in run.stdout
    assert ("stack overflow" in run.stdout) == (how == STACK_OVERFLOW)
    with pytest.raises(MicrotuneError, match="memory fault"):
        run.require_success()


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m33", RISCV])
def test_a_smaller_budget_moves_the_fence(tmp_path: Path, core: str) -> None:
    target = load_target(core)
    project = make_project(tmp_path / "project", core)
    elf = tmp_path / "x.elf"
    build_firmware(project, target, elf, ram_bytes=192 * 1024)
    run = misbehave(elf, core, tmp_path, PAST_RAM)
    assert run.exit_code == 99
    address = "mtval" if core.startswith("riscv") else "mmfar"
    assert f"{address} {hex(target.ram.origin + 192 * 1024)}" in run.stdout


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_piece_lies_in_the_bank_it_was_given(
    tmp_path: Path, compiler: FirmwareCompiler
) -> None:
    """Stack, context and two arenas on a target with two banks; the fence ends with each bank."""
    core = "cortex-m7-banks"
    target = load_target(core)
    dtcm, sram = target.memories
    elf = tmp_path / "x.elf"
    placement = Placement("dtcm", "sram", ("sram", "dtcm"))
    project = make_project(tmp_path / "project", core)
    firmware = build_firmware(project, target, elf, compiler=compiler, placement=placement)
    symbols = read_elf(elf).symbols
    for name, bank in (
        ("_stack_limit", dtcm), ("mt_arena_1", dtcm), ("_bss_end", dtcm),
        ("mt_context_memory", sram), ("mt_arena_0", sram),
    ):  # fmt: skip
        assert bank.origin <= symbols[name] < bank.origin + bank.bytes, name
    assert dict(firmware.sizes.arenas) == {"sram": 4096, "dtcm": 1024}
    records = [Record(Call.INFER, FRAME)]
    run, job = run_records(elf, core, tmp_path, records)
    run.require_success()
    assert results(tmp_path, job)[0].predicted == 8 + 5
    run = misbehave(elf, core, tmp_path, PAST_RAM)
    assert (run.exit_code, f"mmfar {hex(dtcm.origin + dtcm.bytes)}" in run.stdout) == (99, True)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_sum_over_banks_is_capped(tmp_path: Path, compiler: FirmwareCompiler) -> None:
    core = "cortex-m7-banks"
    project = make_project(tmp_path / "project", core)
    placement = Placement("dtcm", "sram", ("sram", "dtcm"))
    need = 2048 + 4096 + 1024 + 72
    for budget in (need, need - 8):
        elf = tmp_path / f"{budget}.elf"
        try:
            build_firmware(
                project, load_target(core), elf, compiler=compiler, ram_bytes=budget,
                placement=placement,
            )  # fmt: skip
        except MicrotuneError as error:
            assert "does not fit in its SRAM budget" in str(error)
        assert elf.exists() == (budget == need)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_sizes_are_what_the_linker_counts(build: Build, compiler: FirmwareCompiler) -> None:
    firmware = build("cortex-m4", compiler)
    sizes, elf = firmware.sizes, read_elf(firmware.elf)
    assert sizes.flash_bytes == elf.symbols["_flash_used"]
    ram = sizes.static_bytes + sizes.arena_bytes + sizes.stack_reserve_bytes
    assert ram == elf.symbols["_ram_used"]
    assert (sizes.arenas, sizes.arena_bytes) == ((("ram", 5120),), 5120)
    assert sizes.stack_reserve_bytes == 2048
    assert sizes.static_bytes == 72  # the context (64) and one initialised word, 8-aligned
    assert sizes.harness_ram_bytes == 24  # buffers for saving and a latent, and the target
    target = load_target("cortex-m4")
    assert target.harness_flash is not None
    for name in ("main", "semihosting_print", "mt_mark_begin", "mt_port_fault"):
        assert elf.symbols[name] >= target.harness_flash.origin
    for name in ("mt_infer", "memset", "Reset_Handler"):
        assert elf.symbols[name] < target.flash.origin + target.flash.bytes


@pytest.mark.parametrize("compiler", COMPILERS)
def test_two_builds_are_identical_and_name_no_folder(
    build: Build, tmp_path: Path, compiler: FirmwareCompiler
) -> None:
    project = make_project(tmp_path / "elsewhere", "cortex-m7")
    elf = tmp_path / "again.elf"
    build_firmware(project, load_target("cortex-m7"), elf, compiler=compiler)
    data = elf.read_bytes()
    assert data == build("cortex-m7", compiler).elf.read_bytes()
    assert str(tmp_path).encode() not in data
    assert b"microtune-" not in data


@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_does_not_fit_is_refused(tmp_path: Path, compiler: FirmwareCompiler) -> None:
    target = load_target("cortex-m7")
    project = make_project(tmp_path / "project", "cortex-m7")
    elf = tmp_path / "x.elf"
    with pytest.raises(MicrotuneError, match=r"does not fit: FLASH by \d+ bytes"):
        build_firmware(project, target, elf, compiler=compiler, flash_bytes=512)
    header = project / "model" / "microtune_model.h"
    header.write_text(header.read_text().replace("4096", "300000"))
    with pytest.raises(MicrotuneError, match=r"does not fit: RAM by \d+ bytes"):
        build_firmware(project, target, elf, compiler=compiler)
    assert not elf.exists()


def test_bad_sources_and_folders_are_refused(tmp_path: Path) -> None:
    target = load_target("cortex-m7")
    with pytest.raises(MicrotuneError, match="no C sources found"):
        build_firmware(tmp_path, target, tmp_path / "x.elf")
    project = make_project(tmp_path / "project", "cortex-m7")
    (project / "model" / "bad.c").write_text("int x = ;\n")
    with pytest.raises(MicrotuneError, match=r"compiling model/bad\.c failed"):
        build_firmware(project, target, tmp_path / "x.elf")


def test_jobs_that_cannot_run_end_with_a_reason(build: Build, tmp_path: Path) -> None:
    elf = build("cortex-m7", "gcc").elf
    target = load_target("cortex-m7")
    assert run_firmware(elf, target, tmp_path).exit_code == 1  # no job at all
    write_job(tmp_path / "job.bin", 0, [], INPUT_BYTES, CLASSES + 1)
    run = run_firmware(elf, target, tmp_path)
    assert (run.exit_code, "another model" in run.stdout) == (2, True)
    write_job(tmp_path / "job.bin", 0, [Record(Call.INFER, FRAME)], INPUT_BYTES, CLASSES)
    data = (tmp_path / "job.bin").read_bytes()
    (tmp_path / "job.bin").write_bytes(data[:-1])
    run = run_firmware(elf, target, tmp_path)
    assert (run.exit_code, "truncated" in run.stdout) == (1, True)


def children() -> list[str]:
    pid = os.getpid()
    return [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def test_progress_timeout_and_interrupt(build: Build, tmp_path: Path) -> None:
    elf = build("cortex-m7", "gcc").elf
    target = load_target("cortex-m7")
    seen: list[tuple[int, int]] = []
    records = [Record(Call.INFER, FRAME), Record(Call.TRAIN, FRAME, RUN_FOREVER)]
    write_job(tmp_path / "job.bin", 0, records, INPUT_BYTES, CLASSES)
    before = children()
    with pytest.raises(MicrotuneError, match="after 1 seconds"):
        run_firmware(
            elf,
            target,
            tmp_path,
            on_progress=lambda done, total: seen.append((done, total)),
            timeout_seconds=1,
        )
    assert seen == [(1, 2)]

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_firmware(elf, target, tmp_path, on_progress=interrupt, timeout_seconds=30)
    assert children() == before
