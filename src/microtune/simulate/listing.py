"""Reading a disassembly: what each function pushes on the stack, and whom it jumps to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from microtune.errors import MicrotuneError
from microtune.targets import ARM, RISCV, Architecture

FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t([a-z0-9.]+)\s*([^@;]*)")
_SYMBOL = re.compile(r"<([^>+]+)(?:\+0x[0-9a-f]+)?>")


@dataclass(frozen=True)
class _Dialect:
    """How one architecture's instructions read: (function, operation, operands) -> answer."""

    ends: re.Pattern[str]
    pushed: Callable[[str, str, str], int]
    jumps: Callable[[str, str, str], set[str]]


def read_listing(
    listing: str, architecture: Architecture
) -> tuple[dict[str, int], dict[str, set[str]]]:
    """(bytes pushed, whom it jumps to or runs into) of every function of a disassembly.

    A frame of variable size and a call through a pointer are MicrotuneErrors.
    """
    dialect = _DIALECTS[architecture.name]
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


def _variable(name: str, op: str, operands: str) -> MicrotuneError:
    return MicrotuneError(f"{name} has a stack frame of no fixed size ({op} {operands})")


def _pointer(name: str, op: str, operands: str) -> MicrotuneError:
    return MicrotuneError(f"{name} calls through a pointer ({op} {operands})")


def _arm_jumps(name: str, op: str, operands: str) -> set[str]:
    if op == "blx" or (op == "bx" and operands != "lr"):
        raise _pointer(name, op, operands)
    return set(_SYMBOL.findall(operands)) if op.startswith("b") else set()


def _arm_pushed(name: str, op: str, operands: str) -> int:
    """Bytes by which one instruction may lower the stack pointer."""
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
    """A `jr` is the jump table of a switch: nothing that is read here ends in a pointer."""
    found = set(_SYMBOL.findall(operands))
    if op == "jalr" and not found:
        raise _pointer(name, op, operands)
    return found if op.startswith(("b", "j", "call", "tail")) else set()


def _riscv_pushed(name: str, op: str, operands: str) -> int:
    """Bytes by which one instruction may lower the stack pointer."""
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
