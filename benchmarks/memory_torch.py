"""Peak memory of PyTorch at batch 1 for one full training step of the reference networks.

    python benchmarks/memory_torch.py [--models mcunet-5fps,mbv2-w0.35,proxyless-w0.3]

Each network runs in a fresh process on one CPU thread: float32, every weight and bias trained by
plain SGD. The tensors are what PyTorch's own allocator reports to `torch.profiler`
(`profile_memory=True`): bytes alive before the step plus every allocation and release in it. Batch
norm is folded, clamps are in place and activations are dropped after their last reader; all three
spare PyTorch memory. Needs the `torch` extra and the optional data folder.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder

from microtune.importers import load_any
from microtune.ir.graph import Graph, Node

MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
CLASSES = 10
WARM_STEPS = 3
LEARNING_RATE = 0.01
NAMES = ("parameter_bytes", "tensor_peak_bytes", "rss_delta_bytes", "process_peak_bytes")


def missing_torch() -> str | None:
    """Why nothing can be measured, None where it can."""
    if find_spec("torch") is None:
        return "PyTorch is not installed (pip install 'microtune[torch]')"
    return None


def torch_peak(model_name: str) -> dict[str, Any]:
    """One full SGD step of `model_name` at batch 1 in PyTorch, measured in a process of its own.

    `tensor_peak_bytes`: most bytes of tensors alive in the step. `rss_delta_bytes`: growth of the
    process's resident memory from before the network to its peak over the steps, without the
    profiler. `process_peak_bytes`: that peak itself, the library included. Without PyTorch the
    result holds only `model` and `skipped`, the reason.
    """
    reason = missing_torch()
    if reason is not None:
        return {"model": model_name, "skipped": reason}
    command = [sys.executable, __file__, "--measure", model_name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring {model_name} in PyTorch failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@dataclass
class Network:
    """The float32 network of an int8 graph; `parameters` maps tensor names to torch leaves."""

    graph: Graph
    parameters: dict[str, Any]

    def forward(self, x: Any) -> Any:
        """x (1, C, H, W) real -> logits (1, classes)."""
        features = self.features(x).flatten(1)
        return features @ self.parameters["head.weight"].T + self.parameters["head.bias"]

    def features(self, x: Any) -> Any:
        """x (1, C, H, W) real -> the tensor before the classifier."""
        nodes = self.graph.nodes[:-1]
        last = {name: step for step, node in enumerate(nodes) for name in node.inputs}
        values = {"input": x}
        for step, node in enumerate(nodes):
            y = node.outputs[0]
            values[y] = self._node(node, values)
            for name in [n for n in values if n != y and last.get(n, -1) <= step]:
                del values[name]
        return values[nodes[-1].outputs[0]]

    def _node(self, node: Node, values: dict[str, Any]) -> Any:
        from torch.nn import functional

        x = values[node.inputs[0]]
        if node.op == "add":
            return x + values[node.inputs[1]]
        if node.op == "average_pool":
            return functional.avg_pool2d(x, node.ints("kernel"), node.ints("stride"))
        if node.op != "conv2d":
            raise ValueError(f"no float meaning of op {node.op}")
        top, left, bottom, right = node.ints("padding")
        if (top, left) != (bottom, right):
            raise ValueError(f"{node.outputs[0]}: padding is not symmetric")
        weight, bias = (self.parameters[name] for name in node.inputs[1:3])
        y = functional.conv2d(
            x, weight, bias, node.ints("stride"), (top, left), groups=node.int("groups")
        )
        quant = self.graph.quant(node.outputs[0])
        if quant.zero_point != -128:
            return y
        # Codes that start at zero saturate where the network has its ReLU6.
        return functional.hardtanh_(y, 0.0, 255 * (quant.scale or 0.0))


def build_network(graph: Graph, classes: int = CLASSES) -> Network:
    """The network with a new linear head in the place of its last node, the classifier."""
    import torch

    parameters: dict[str, Any] = {}
    for node in graph.nodes[:-1]:
        if node.op != "conv2d":
            continue
        w, b = node.inputs[1:3]
        scales = graph.channel_scales(w)
        weight = graph.data[w].transpose(0, 3, 1, 2) * scales[:, None, None, None]
        bias = graph.data[b] * scales * graph.scale(node.inputs[0])
        parameters |= {w: _leaf(weight), b: _leaf(bias)}
    features = graph.tensors[graph.nodes[-1].inputs[0]].elements
    random = torch.Generator().manual_seed(0)
    parameters["head.weight"] = _leaf(torch.randn(classes, features, generator=random) / 16)
    parameters["head.bias"] = _leaf(torch.zeros(classes))
    return Network(graph, parameters)


def _leaf(values: Any) -> Any:
    import torch

    return torch.as_tensor(np.asarray(values, np.float32).copy()).requires_grad_()


def train_step(network: Network, optimizer: Any, frame: Any, label: Any) -> None:
    """Forward, backward and update of everything."""
    from torch.nn import functional

    optimizer.zero_grad(set_to_none=True)
    functional.cross_entropy(network.forward(frame), label).backward()
    optimizer.step()


def profiled_peak(network: Network, optimizer: Any, frame: Any, label: Any) -> int:
    """Bytes alive before the step plus the highest sum of what it allocates and releases."""
    from torch.profiler import ProfilerActivity, profile

    optimizer.zero_grad(set_to_none=True)
    there = (*network.parameters.values(), frame, label)
    before = int(sum(t.untyped_storage().nbytes() for t in there))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train_step(network, optimizer, frame, label)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    if not events:
        raise RuntimeError("torch.profiler reported no memory events")
    alive = np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return before + int(max(alive.max(), 0))


def status_bytes(name: str) -> int:
    """A figure of /proc/self/status (VmRSS, VmHWM) in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def measure(model_name: str) -> dict[str, Any]:
    """What `torch_peak` returns; to be called in a fresh process."""
    import torch

    torch.set_num_threads(1)
    graph = load_any(next((data_folder() / "models").rglob(f"{model_name}.pkl"))).graph
    _, height, width, channels = graph.tensors["input"].shape
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    rss_before = status_bytes("VmRSS")
    network = build_network(graph)
    optimizer = torch.optim.SGD(network.parameters.values(), LEARNING_RATE)
    frame, label = torch.zeros(1, channels, height, width), torch.tensor([1])
    step = partial(train_step, network, optimizer, frame, label)
    for _ in range(WARM_STEPS):
        step()
    process_peak = status_bytes("VmHWM")
    return {
        "model": model_name, "torch": torch.__version__, "batch": 1, "classes": CLASSES,
        "update": "full, SGD without momentum, float32, batch norm folded",
        "allocator": "torch.profiler memory events",
        "parameter_bytes": sum(4 * p.numel() for p in network.parameters.values()),
        "tensor_peak_bytes": profiled_peak(network, optimizer, frame, label),
        "rss_delta_bytes": process_peak - rss_before, "process_peak_bytes": process_peak,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--measure", metavar="MODEL", help="this one, here; prints JSON")
    options = parser.parse_args()
    reason = missing_torch()
    if reason is not None:
        raise SystemExit(f"skipped: {reason}")
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    data_folder()
    print(f"{'model':>15}" + "".join(f"{name:>20}" for name in NAMES))
    for name in options.models.split(","):
        figures = torch_peak(name)
        print(f"{name:>15}" + "".join(f"{figures[n]:>20,}" for n in NAMES), flush=True)


if __name__ == "__main__":
    main()
