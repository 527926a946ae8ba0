"""PyTorch is an extra: `make test` collects every test without it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Read only where PyTorch is there.
ORACLE = {"training/torch_oracle.py", "importers/torch_networks.py"}


def test_no_test_imports_pytorch_when_it_is_collected() -> None:
    wrong = []
    for path in TESTS.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "torch" for name in names):
                wrong.append(path.relative_to(TESTS).as_posix())
    assert set(wrong) <= ORACLE


def test_the_package_imports_pytorch_only_to_use_it() -> None:
    code = (
        "import sys, microtune as mt, microtune.cli; mt.quantize; mt.load; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
