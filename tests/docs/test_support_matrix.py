"""The table of what ops support is the one that the op and kernel tables give."""

from __future__ import annotations

import importlib.util

from microtune.codegen.kernels import KERNELS
from microtune.ir.ops import OPS, Trait
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.cases import CASES
from tests.docs.pages import ROOT, pieces
from tests.training.graphs import random_graph, train_everything

SCRIPT = ROOT / "scripts/support_matrix.py"
spec = importlib.util.spec_from_file_location("support_matrix", SCRIPT)
assert spec and spec.loader
support_matrix = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support_matrix)


def test_the_page_has_the_table_of_today() -> None:
    """`python scripts/support_matrix.py` renews it."""
    text = support_matrix.PAGE.read_text(encoding="utf-8")
    assert support_matrix.page_with_table(text) == text


def test_what_runs_on_the_way_back_is_in_the_table() -> None:
    """Of random graphs of every family: each device op behind the loss is the way back of an op,
    an add where two paths meet, a mask, or the update of tied biases."""
    named = {name for op in OPS.values() for name in op.back.values()}
    for seed, case in ((seed, case) for case in CASES for seed in range(6)):
        graph = train_everything(random_graph(seed, "device", op=case).with_head("int16"))
        training = lower_gradients(*differentiate(graph), optimizer=SGD())
        loss = next(i for i, n in enumerate(training.nodes) if Trait.LOSS in OPS[n.op].traits)
        back = {n.op for n in training.nodes[loss + 1 :] if Trait.VIEW not in OPS[n.op].traits}
        assert back - named <= {"q_gradient_sum", "tied_bias_update"}, (case, seed)


def test_every_op_of_the_table_has_a_kernel() -> None:
    for op in support_matrix.forward_ops():
        assert {op.name, *op.back.values()} <= KERNELS.keys()


def test_the_excerpt_is_that_of_the_code() -> None:
    """Whoever follows the walk finds what it shows."""
    (shown,) = (p.text for p in pieces(support_matrix.PAGE) if p.kind == "text")
    code = (ROOT / "src/microtune/ir/ops/max_pool.py").read_text(encoding="utf-8").splitlines()
    assert set(shown.splitlines()) <= set(code)
