"""Read a disassembly: bytes that each function pushes on the stack, and the functions it jumps
to."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.targets import ARM, RISCV, Architecture

FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t([a-z0-9.]+)\s*([^@;]*)")
_ADDRESS = re.compile(r"^\s*([0-9a-f]+):\t")
_TARGET = re.compile(r"\b([0-9a-f]+) <([^>+]+)(?:\+0x[0-9a-f]+)?>")


@dataclass(frozen=True)
class _Dialect:
    """How to read the instructions of one architecture.

    Each entry maps (function, operation, operands) to an answer.
    """

    ends: re.Pattern[str]
    pushed: Callable[[str, str, str], int]
    jumps: Callable[[str, str, str], set[str]]


def read_listing(
    listing: str, architecture: Architecture
) -> tuple[dict[str, int], dict[str, set[str]]]:
    """(bytes pushed, functions it jumps to or runs into) of every function of a disassembly.

    Raises MicrotuneError for a frame of variable size and for a call through a pointer.
    """
    dialect, listing = _DIALECTS[architecture.name], _with_owners(listing)
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    name, ended = "", True
    for line in listing.splitlines():
        if head := FUNCTION.match(line):
            if not ended:
                calls[name].add(head[2])
            name, ended = head[2], True
            frames[name], calls[name] = 0, set()
        elif name and (found := _INSTRUCTION.match(line)):
            op, operands = found[1], found[2].strip()
            if op == "nop":  # alignment behind a return
                continue
            ended = dialect.ends.match(op) is not None
            if not op.startswith("."):
                frames[name] += dialect.pushed(name, op, operands)
                calls[name] |= dialect.jumps(name, op, operands) - {name}
    return frames, calls


def _with_owners(listing: str) -> str:
    """The listing, with the target of each jump named by the function that has it.

    objdump names it by the nearest symbol, which may be a number that only looks like an address.
    """
    heads = [(int(at, 16), name) for at, name in FUNCTION.findall(listing)]
    starts = [at for at, _ in heads]
    ends = [*starts[1:], 0]
    for line in reversed(listing.splitlines()):
        if found := _ADDRESS.match(line):
            ends[-1] = int(found[1], 16) + 1
            break

    def owned(target: re.Match[str]) -> str:
        index = bisect_right(starts, int(target[1], 16)) - 1
        inside = index >= 0 and int(target[1], 16) < ends[index]
        return f"{target[1]} <{heads[index][1] if inside else target[2]}>"

    return "\n".join(
        line if FUNCTION.match(line) else _TARGET.sub(owned, line) for line in listing.splitlines()
    )


def _jump_targets(operands: str) -> set[str]:
    return {name for _, name in _TARGET.findall(operands)}


def _variable(name: str, op: str, operands: str) -> MicrotuneError:
    return MicrotuneError(f"{name} has a stack frame of no fixed size ({op} {operands})")


def _pointer(name: str, op: str, operands: str) -> MicrotuneError:
    return MicrotuneError(f"{name} calls through a pointer ({op} {operands})")


def _arm_jumps(name: str, op: str, operands: str) -> set[str]:
    if op == "blx" or (op == "bx" and operands != "lr"):
        raise _pointer(name, op, operands)
    return _jump_targets(operands) if op.startswith("b") else set()


def _arm_pushed(name: str, op: str, operands: str) -> int:
    """Bytes by which one Arm instruction may lower the stack pointer."""
    stem = op.partition(".")[0]
    if stem in ("push", "vpush") or (stem in ("stmdb", "vstmdb") and operands.startswith("sp!")):
        return _register_bytes(operands)
    if found := re.search(r"\[sp, #-(\d+)\]!", operands):
        return int(found[1])
    if stem in ("sub", "subw", "subs") and operands.startswith("sp,"):
        if size := re.search(r"#(\d+)$", operands):
            return int(size[1])
        raise _variable(name, op, operands)
    return 0


def _register_bytes(operands: str) -> int:
    """Bytes of a register list such as {r4, r5, lr} or {d8-d15}."""
    total = 0
    for item in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        first, _, last = item.strip().partition("-")
        count = int(last[1:]) - int(first[1:]) + 1 if last else 1
        total += count * (8 if first.startswith("d") else 4)
    return total


def _riscv_jumps(name: str, op: str, operands: str) -> set[str]:
    """The functions that one RISC-V instruction jumps to.

    A `jr` is the jump table of a switch: no function that is read here ends in a jump through a
    pointer.
    """
    found = _jump_targets(operands)
    if op == "jalr" and not found:
        raise _pointer(name, op, operands)
    return found if op.startswith(("b", "j", "call", "tail")) else set()


def _riscv_pushed(name: str, op: str, operands: str) -> int:
    """Bytes by which one RISC-V instruction may lower the stack pointer."""
    if op in ("add", "addi", "sub") and operands.startswith("sp,"):
        size = re.fullmatch(r"sp,sp,(-?\d+)", operands)
        if size is None:
            raise _variable(name, op, operands)
        return max(-int(size[1]), 0)
    return 0


_DIALECTS = {
    ARM.name: _Dialect(
        re.compile(r"^(bx|b|b\.n|b\.w|pop|ldmia\.w|ldr\.w|ldr|udf|\.word)$"),
        _arm_pushed, _arm_jumps,
    ),
    RISCV.name: _Dialect(
        re.compile(r"^(ret|j|jr|tail|unimp|ebreak|\.word)$"), _riscv_pushed, _riscv_jumps
    ),
}  # fmt: skip
