"""`scripts/check_ops.py`: what knows an op's name outside of the op's own files is found."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/check_ops.py"
spec = importlib.util.spec_from_file_location("check_ops", SCRIPT)
assert spec and spec.loader
check_ops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_ops)


@pytest.mark.parametrize(
    "text",
    [
        'node.op == "add"', 'node.op in ("conv2d", "fully_connected")', 'node.op in KNOWN',
        'node.op.endswith("_update")', "TABLE[node.op]", 'X = frozenset({"conv2d"})',
        'X = {"q_gradient_sum": 1}', 'match node.op:\n    case "add": pass',
    ],
)  # fmt: skip
def test_a_name_that_is_known_is_found(text: str) -> None:
    assert list(check_ops.broken(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["OPS[node.op].macs", "node.op in KERNELS", 'Node("conv2d", inputs, outputs)']
)
def test_asking_the_tables_and_making_a_node_are_allowed(text: str) -> None:
    assert not list(check_ops.broken(ast.parse(text)))


def test_nothing_outside_the_ops_files_knows_an_op(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_ops.main() == 0, capsys.readouterr().out
