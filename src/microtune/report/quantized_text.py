"""What `microtune quantize` shows: a table of layers, and float against int8."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from microtune.quantization.quality import Accuracy, LayerQuality, Quantized
from microtune.tools.names import listed

_WEAK = 3  # layers that are named as the weakest


def render(found: Quantized, accuracy: Accuracy | None) -> Group:
    """Each layer's signal to noise, how its range was chosen, and what follows."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("layer", "op", "range by"):
        table.add_column(name, no_wrap=True)
    for name in ("SQNR dB", "lost dB"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in found.layers:
        table.add_row(
            layer.where or layer.name, layer.op, layer.method, f"{layer.sqnr:.1f}",
            f"{layer.lost:.1f}" if layer.lost > 0 else "",
        )  # fmt: skip
    return Group(table, Text("\n".join(_verdict(found, accuracy))))


def _verdict(found: Quantized, accuracy: Accuracy | None) -> list[str]:
    lines = [
        f"int8 against float on {found.held_out} held-out samples: {found.sqnr:.1f} dB, "
        f"{100 * found.agreement:.0f} % agree on the largest output"
    ]
    if accuracy is not None:
        lines.append(
            f"top-1 on {accuracy.images} {accuracy.split} images: float {accuracy.floats:.3f}, "
            f"int8 {accuracy.int8:.3f}"
        )
    if found.equalised:
        lines.append(f"channels of {found.equalised} pairs of layers were equalised")
    worst = sorted(found.layers, key=lambda layer: -layer.lost)[:_WEAK]
    hurt = [_called(layer) for layer in worst if layer.lost > 0]
    if hurt:
        lines.append(f"most is lost in {listed(hurt)}")
    return lines


def _called(layer: LayerQuality) -> str:
    return f"{layer.where or layer.name} ({layer.lost:.1f} dB)"
