"""text -> parse -> text is the identity, and every parse error names its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.errors import MicrotuneError
from microtune.ir.text import format_graph, parse_graph
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.training.graphs import random_graph, train_everything

HEADER = 'microtune graph 1 "g" {}\n'


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["forward", "float", "int8"]))
def test_text_parse_text_is_the_identity(seed: int, kind: str) -> None:
    case = random_graph(seed, "device")
    graph = case.graph
    if kind != "forward":
        graph, gradients = differentiate(train_everything(case.with_head("int16")))
        if kind == "int8":
            graph = lower_gradients(graph, gradients, optimizer=SGD())
    text = format_graph(graph)
    parsed = parse_graph(text)
    assert format_graph(parsed) == text
    assert (parsed.tensors, parsed.nodes) == (graph.tensors, graph.nodes)
    assert (parsed.outputs, parsed.updates) == (graph.outputs, graph.updates)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("const %w i8[1]", "expected '%name: type"),
        ("const %w: i9[1]", "unknown element type i9"),
        ("update %w %v", "expected 'update"),
        ("in_place %y", "expected 'in_place %name"),
        ("segment a: %y", "expected 'segment number"),
        ("segment 0: y", "expected 'segment number"),
        ("output w", "expected 'output"),
        ("%y: i8[1] = add(%x, x)", "expected '%name'"),
        ("%y: i8[1] add(%x)", "expected '= op"),
        ("nonsense", "expected a tensor"),
        ("input(speed) %y: i8[1]", "input(speed) is no kind of input; kinds: target, rate"),
        ("const(rate) %y: i8[1]", "kinds: none"),
        ("output(loss) %gone", "no node makes %gone"),
        ('execution {"speed": 1}', "unknown options ['speed']"),
        ('execution {"input": "columns"}', "input 'columns' is none of resident, rows"),
        ("%y: i8[1] = add(%x) {broken}", "Expecting property name"),
        ("input %x: i8[1]", "declared twice"),
    ],
)
def test_errors_name_the_line(line: str, message: str) -> None:
    with pytest.raises(MicrotuneError, match="line 3") as error:
        parse_graph(f"{HEADER}input %x: i8[1]\n{line}\n")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "hello", 'microtune graph 2 "g" {}\n'])
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(MicrotuneError, match=r"not a microtune graph|version 2 is unknown"):
        parse_graph(text)
