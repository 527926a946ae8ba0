"""`scripts/check_names.py`: what reads something from a tensor's name is found."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/check_names.py"
spec = importlib.util.spec_from_file_location("check_names", SCRIPT)
assert spec is not None and spec.loader is not None
check_names = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_names)


@pytest.mark.parametrize(
    "text",
    [
        'graph.tensors["logits"]', 'graph.data[f"{name}.order"]', 'self.graph.updates["w"]',
        'name.endswith(".frozen")', 'tensor.name.removesuffix(".trained")', '".saved" in name',
        'x = f"{name}.offset"', 'evaluate(graph, {"input": frame})',
    ],
)  # fmt: skip
def test_what_knows_a_name_is_found(text: str) -> None:
    assert list(check_names.broken(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        'graph.fresh(f"{name}.offset")', "graph.tensors[graph.signature.output]",
        'tape.emit("add", f"{y}.dx", (g,))', 'path.endswith(".c")', 'values["loss"]',
        "evaluate(graph, {source: frame})", 'print(f"{name} ring")',
    ],
)  # fmt: skip
def test_what_knows_none_is_allowed(text: str) -> None:
    assert not list(check_names.broken(ast.parse(text)))


def test_the_compiler_parses_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_names.main() == 0, capsys.readouterr().out
