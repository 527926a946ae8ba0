"""A segment of rows -> one driver call with a table of stages."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels import KERNELS
from microtune.errors import MicrotuneError
from microtune.ir.graph import Node
from microtune.memory.lifetimes import ring_name, segment_rows_name, segment_scratch_name
from microtune.memory.rings import Segment, image_height, row_bytes

_BYTES_PER_LINE = 32


def emit_segment(e: Emitter, segment: Segment, number: int) -> None:
    """Append the tables of a segment and the call that runs it."""
    nodes = {node.outputs[0]: node for node in e.graph.nodes[segment.first : segment.last]}
    stages = [
        _stage(e, segment, nodes[name]) if name in nodes else _input_stage(e, segment, name)
        for name in segment.stages
    ]
    body = "".join(f"\n    {stage}," for stage in stages)
    symbol = f"segment{number}"
    e.structs.append(f"static const mt_stage {symbol}_stages[] = {{{body}\n}};")
    e.structs.append(_order_text(symbol, segment.order))
    rows, scratch = segment_rows_name(number), segment_scratch_name(number)
    fields = {
        "stages": f"{symbol}_stages", "order": f"{symbol}_order",
        "stage_count": len(stages), "order_count": len(segment.order),
        "rows": struct_text(e.place_fields(rows)),
        "scratch": struct_text(e.place_fields(scratch if scratch in e.plan.offsets else rows)),
    }  # fmt: skip
    e.structs.append(f"static const mt_row_segment {symbol} = {struct_text(fields)};")
    e.line(f"MT_TRY(mt_stream(&{symbol}, ctx->arenas, &ctx->source));")


def _order_text(symbol: str, order: bytes) -> str:
    lines = [
        "    " + ", ".join(str(stage) for stage in order[i : i + _BYTES_PER_LINE]) + ","
        for i in range(0, len(order), _BYTES_PER_LINE)
    ]
    return f"static const uint8_t {symbol}_order[] = {{\n" + "\n".join(lines) + "\n};"


def _ring(e: Emitter, segment: Segment, name: str) -> str:
    """Initialiser of mt_ring; a tensor made before the segment is a ring of all its rows."""
    rows = segment.rings.get(name, image_height(e.graph, name))
    buffer = ring_name(e.graph, segment, name) if name in segment.rings else name
    return struct_text({
        **e.place_fields(e.owner.get(buffer, buffer)), "rows": rows,
        "row_bytes": row_bytes(e.graph, name),
    })  # fmt: skip


def _input_stage(e: Emitter, segment: Segment, name: str) -> str:
    return struct_text({"make_row": "NULL", "y": _ring(e, segment, name)})


def _stage(e: Emitter, segment: Segment, node: Node) -> str:
    rule = KERNELS[node.op].stage
    if rule is None:
        raise MicrotuneError(f"op {node.op} has no kernel for rows, but is streamed")
    stage = rule(e, node)
    fields: dict[str, object] = {
        "x": _ring(e, segment, node.inputs[0]), "y": _ring(e, segment, node.outputs[0])
    }  # fmt: skip
    if stage.weight is not None:
        fields["weight"] = stage.weight
    if stage.bias is not None:
        fields["bias"] = stage.bias
    if stage.x2 is not None:
        fields["x2"] = _ring(e, segment, stage.x2)
    params = stage.params
    if not isinstance(params, str):
        params = params(lambda name: _ring(e, segment, name))
    return struct_text({"make_row": stage.function, "params": f"&{params}", **fields})
