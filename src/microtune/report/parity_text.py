"""What `microtune verify` shows: a table of layers and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from microtune.measure.parity import Parity
from microtune.tools.names import listed


def render(found: Parity) -> Group:
    """Each compared layer, and what follows from all of them."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("layer", "operator"):
        table.add_column(name, no_wrap=True)
    for name in ("codes", "differ", "largest", "device"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(
            row.name, row.operator, f"{row.codes:,}", f"{row.different:,}",
            str(row.max_code_difference), str(row.device_max_code_difference),
        )  # fmt: skip
    return Group(table, Text("\n".join(_verdict(found))))


def _verdict(found: Parity) -> list[str]:
    samples = f"{found.samples} sample{'s' * (found.samples > 1)}"
    lines = [
        f"{found.equal} of {found.layers} layers are equal to LiteRT's, bit by bit ({samples})"
    ]
    if found.first_difference is not None:
        lines.append(
            f"the first that differs is {found.first_difference}; the largest difference of a code "
            f"is {found.max_code_difference}"
        )
    if found.converted:
        lines.append(
            f"converted: weights of {listed(found.converted_layers)} do not fit into ±127 around "
            "their zero point; their scale has grown"
        )
    lines.append(
        "the device rounds once where LiteRT rounds twice: its codes differ by at most "
        f"{found.device_max_code_difference} in any layer, "
        f"{found.device_output_max_code_difference} at the end"
    )
    return lines
