"""CP-SAT leaves Ctrl-C to Python: in a process of its own, which a signal may end."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("ortools")

COMMON = """
import os, random, signal, threading, time
from ortools.sat.python import cp_model
from microtune.memory.cpsat import solve

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
model = cp_model.CpModel()
"""
AFTER = """
x = model.new_int_var(0, 9, "x")
model.maximize(x)
solver, status = solve(model, 1.0)
assert status == cp_model.OPTIMAL and solver.value(x) == 9
try:
    interrupt()
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
# Market split: a few dense equations, for which no search is known that is quick.
DURING = """
dice = random.Random(1)
columns = [model.new_bool_var("") for _ in range(50)]
for _ in range(6):
    row = [dice.randrange(100) for _ in columns]
    model.add(cp_model.LinearExpr.weighted_sum(columns, row) == sum(row) // 2)
threading.Timer(1.0, interrupt).start()
begun = time.monotonic()
try:
    solve(model, 1e6)
except KeyboardInterrupt:
    assert 0.9 < time.monotonic() - begun
    print("interrupted")
"""


@pytest.mark.parametrize("moment", [AFTER, DURING], ids=["after", "during"])
def test_ctrl_c_is_pythons(moment: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", COMMON + moment], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "interrupted\n", "")
