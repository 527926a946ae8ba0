"""The memory map in the terminal: a character map per bank, its peak, and a bar of all SRAM.

With colours a character holds two half blocks; without (no terminal), kinds are told apart by
signs. Neighbouring buffers of a kind alternate between two shades or signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from microtune.measure.memory_map import LARGEST, BankMap, Block, BufferKind, MemoryMap, percent
from microtune.report.memory_labels import spread

MAP_ROWS = 24
WIDTH = 100
_LEFT, _PEAK = 9, 22
_NARROW = 72  # below this the peak step has no names beside the map, and the table no kinds
_SHADES = {
    BufferKind.INPUT: ("#6F86C9", "#5B6FA8"), BufferKind.ACTIVATION: ("#A6C8E4", "#7FAED4"),
    BufferKind.RING: ("#6CC4B0", "#4FA08F"), BufferKind.SAVED: ("#E9B949", "#C99A2E"),
    BufferKind.MASK: ("#C08AB1", "#9C6A8F"), BufferKind.GRADIENT: ("#E88B78", "#CB6450"),
    BufferKind.RESULT: ("#9A9A9A", "#7F7F7F"), BufferKind.SCRATCH: ("#D0D0D0", "#B4B4B4"),
}  # fmt: skip
_SIGNS = {
    BufferKind.INPUT: "@@", BufferKind.ACTIVATION: "#=", BufferKind.RING: "o0",
    BufferKind.SAVED: "+*", BufferKind.MASK: "~^", BufferKind.GRADIENT: "%&",
    BufferKind.RESULT: "::", BufferKind.SCRATCH: "..",
}  # fmt: skip
_SRAM_SHADES = ("#93A5B5", "#3F9F6F", "#7DC58F", "#BBE9C4", "#888888", "#DEDEDE")
_SRAM_SIGNS = "#WBHCs"
_COLUMNS = ("tensor", "kind", "bytes", "share", "steps")
_PEAK_STYLE = "bold #E0404A"


@dataclass(frozen=True)
class Canvas:
    """How the map is drawn: columns and rows of characters, and whether in colour."""

    columns: int
    rows: int
    colour: bool

    @property
    def lines(self) -> int:
        """Rows of cells; in colour a character has two of them."""
        return self.rows * 2 if self.colour else self.rows


Cells = list[list[int | None]]
Char = tuple[str, str]


def render_memory(memory: MemoryMap, *, colour: bool, width: int = WIDTH) -> Group:
    """All that `microtune plan` prints, `width` columns wide."""
    right = _PEAK if width >= _NARROW else 6
    canvas = Canvas(width - _LEFT - right, MAP_ROWS, colour)
    parts: list[RenderableType] = [Text(memory.title, style="bold"), Text(memory.verdict()), ""]
    for bank in memory.banks:
        if len(memory.banks) > 1:
            parts.append(Text(f"bank {bank.label()}: {bank.bytes:,} B", style="bold"))
        parts += [_panel(memory, bank, canvas, named=right == _PEAK), ""]
    parts += [_legend(memory, width, colour), ""]
    for bank in memory.banks:
        parts += [_peak_title(memory, bank), peak_table(bank, narrow=width < _NARROW)]
    return Group(*parts, "", _sram_bar(memory, width, colour))


def _peak_title(memory: MemoryMap, bank: BankMap) -> Text:
    step = bank.peak_step
    what = f"{memory.ops[step]} {memory.names[step]}"
    place = f" in {bank.name}" if len(memory.banks) > 1 else ""
    return Text(
        f"Peak{place} at {bank.peak_words()} ({what}): {bank.live_bytes:,} B alive", style="bold"
    )


def peak_table(bank: BankMap, *, narrow: bool = False) -> Table:
    """The ten largest buffers of the peak step, with bytes and share of the arena."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if narrow else 2, 0, 0), pad_edge=not narrow)
    shown = ("tensor", "bytes", "share") if narrow else _COLUMNS
    for name in shown:
        right = name in ("bytes", "share")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for b in bank.at_peak()[:LARGEST]:
        share = percent(b.bytes, bank.live_bytes)
        steps = f"{b.first} to {b.last - 1}"
        row = dict(zip(_COLUMNS, (b.name, b.kind.value, f"{b.bytes:,}", share, steps), strict=True))
        table.add_row(*(row[name] for name in shown))
    return table


def occupancy(blocks: tuple[Block, ...], steps: int, size: int, columns: int, lines: int) -> Cells:
    """The block that fills most of each cell; None if less than half of it is used.

    Line 0 has the lowest addresses.
    """
    used = [[0.0] * columns for _ in range(lines)]
    most = [[0.0] * columns for _ in range(lines)]
    owner: Cells = [[None] * columns for _ in range(lines)]
    for index, b in enumerate(blocks):
        across = _overlaps(b.first, b.last, steps, columns)
        for line, tall in _overlaps(b.offset, b.end, size, lines):
            for column, wide in across:
                area = tall * wide
                used[line][column] += area
                if area > most[line][column]:
                    most[line][column], owner[line][column] = area, index
    return [
        [name if share >= 0.5 else None for name, share in zip(names, shares, strict=True)]
        for names, shares in zip(owner, used, strict=True)
    ]


def _overlaps(first: int, last: int, extent: int, cells: int) -> list[tuple[int, float]]:
    """The cells that [first, last) of `extent` meets, each with the share that is covered."""
    low, high = first * cells / extent, last * cells / extent
    return [
        (cell, min(high, cell + 1) - max(low, cell))
        for cell in range(int(low), min(cells, int(high) + 1))
        if min(high, cell + 1) > max(low, cell)
    ]


def _panel(memory: MemoryMap, bank: BankMap, canvas: Canvas, *, named: bool) -> Text:
    """The lines of one bank: the map, the enlarged peak step with names, and the time axis."""
    blocks = tuple(sorted(bank.blocks, key=lambda b: (b.first, b.offset)))
    looks = _looks(blocks, memory.steps / canvas.columns, bank.bytes / canvas.lines, canvas)
    cells = occupancy(blocks, memory.steps, bank.bytes, canvas.columns, canvas.lines)
    rows = [_row(cells, looks, canvas, row) for row in range(canvas.rows)]
    _write_names(rows, cells, blocks, looks, canvas)
    peak = bank.peak_step * canvas.columns // memory.steps
    _mark(rows, peak, canvas)
    now = [b.first <= bank.peak_step < b.last for b in blocks]
    alive = tuple(b for b, there in zip(blocks, now, strict=True) if there)
    alive_looks = [look for look, there in zip(looks, now, strict=True) if there]
    slice_cells = occupancy(alive, memory.steps, bank.bytes, memory.steps, canvas.lines)
    column = [[line[bank.peak_step]] for line in slice_cells]
    names = _peak_names(bank, canvas) if named else {}
    text = Text(no_wrap=True)
    _append(text, _header(bank, peak, canvas))
    for row, chars in enumerate(rows):
        text.append(_address(bank.bytes, row, canvas))
        _append(text, chars)
        text.append("  ")
        _append(text, _row(column, alive_looks, canvas, row) * 3)
        text.append(f" {names.get(row, '')}".rstrip() + "\n")
    text.append(_axis(memory, canvas))
    return text


def _append(text: Text, chars: list[Char]) -> None:
    for char, style in chars:
        text.append(char, style or None)


def _looks(blocks: tuple[Block, ...], wide: float, tall: float, canvas: Canvas) -> list[str]:
    """The colour or sign of each block, chosen so that neighbours of a kind differ."""
    chosen: list[int] = []
    for number, b in enumerate(blocks):
        contact = [0.0, 0.0]
        for other, choice in zip(blocks[:number], chosen, strict=True):
            across = min(b.last, other.last) - max(b.first, other.first) + wide
            along = min(b.end, other.end) - max(b.offset, other.offset) + tall
            if other.kind is b.kind and across > 0 and along > 0:
                contact[choice] += across / wide + along / tall
        chosen.append(int(contact[1] < contact[0]))
    table = _SHADES if canvas.colour else _SIGNS
    return [table[b.kind][choice] for b, choice in zip(blocks, chosen, strict=True)]


def _row(cells: Cells, looks: list[str], canvas: Canvas, row: int) -> list[Char]:
    """The characters of row `row`, counted from the top."""
    if not canvas.colour:
        return [(" " if i is None else looks[i], "") for i in cells[canvas.rows - 1 - row]]
    low = 2 * (canvas.rows - 1 - row)
    chars: list[Char] = []
    for upper, lower in zip(cells[low + 1], cells[low], strict=True):
        if upper is None and lower is None:
            chars.append((" ", ""))
        elif upper is None and lower is not None:
            chars.append(("▄", looks[lower]))
        elif lower is None and upper is not None:
            chars.append(("▀", looks[upper]))
        elif upper is not None and lower is not None:
            chars.append(("▀", f"{looks[upper]} on {looks[lower]}"))
    return chars


def _write_names(
    rows: list[list[Char]], cells: Cells, blocks: tuple[Block, ...], looks: list[str],
    canvas: Canvas,
) -> None:  # fmt: skip
    """Write the name of each block into its longest run of whole characters, if it fits."""
    runs: dict[int, list[tuple[int, int, int]]] = {}
    for row in range(canvas.rows):
        for index, start, length in _runs(cells, canvas, row):
            runs.setdefault(index, []).append((length, row, start))
    for index, places in runs.items():
        name, longest = blocks[index].name, max(places)[0]
        if len(name) + 2 <= longest:
            best = [place for place in places if place[0] == longest]
            _, row, start = best[len(best) // 2]
            style = f"#101010 on {looks[index]}" if canvas.colour else ""
            left = start + (longest - len(name)) // 2
            rows[row][left : left + len(name)] = [(char, style) for char in name]


def _runs(cells: Cells, canvas: Canvas, row: int) -> list[tuple[int, int, int]]:
    """(block, first column, length) of each run of characters that one block fills."""
    each = canvas.lines // canvas.rows
    low = each * (canvas.rows - 1 - row)
    runs: list[tuple[int, int, int]] = []
    for column in range(canvas.columns):
        owners = {cells[line][column] for line in range(low, low + each)}
        index = owners.pop() if len(owners) == 1 else None
        if index is None:
            continue
        if runs and runs[-1][0] == index and sum(runs[-1][1:]) == column:
            runs[-1] = (index, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((index, column, 1))
    return runs


def _mark(rows: list[list[Char]], peak: int, canvas: Canvas) -> None:
    """Draw a thin line over the unused part of the peak step."""
    for chars in rows:
        if chars[peak][0] == " ":
            chars[peak] = ("│" if canvas.colour else "|", _PEAK_STYLE)


def _header(bank: BankMap, peak: int, canvas: Canvas) -> list[Char]:
    """The line above the map: the lower bound and the steps of the peak."""
    dash = "╌" if canvas.colour else "-"
    line = [dash] * canvas.columns
    line[peak] = "▼" if canvas.colour else "v"
    words = f" peak at {bank.peak_words()} "
    bound = f"{dash * 2} lower bound {bank.lower_bound:,} B "
    for note in (words + bound, words):
        for left in (peak + 1, peak - len(note)):
            if 0 <= left <= canvas.columns - len(note):
                line[left : left + len(note)] = note
                return [(" " * _LEFT + "".join(line) + "\n", _PEAK_STYLE)]
    return [(" " * _LEFT + "".join(line) + "\n", _PEAK_STYLE)]


def _address(size: int, row: int, canvas: Canvas) -> str:
    """The address of a row's upper edge, in every fourth row."""
    if row % 4:
        return " " * (_LEFT - 1) + ("│" if canvas.colour else "|")
    address = size * (canvas.rows - row) / canvas.rows
    label = f"{address / 1024:.1f} KB" if size < 100 * 1024 else f"{address / 1024:.0f} KB"
    return label.rjust(_LEFT - 2) + (" ┤" if canvas.colour else " +")


def _peak_names(bank: BankMap, canvas: Canvas) -> dict[int, str]:
    """Row -> name of one of the largest blocks of the peak; names that would meet are moved
    apart."""
    largest = sorted(bank.at_peak()[:LARGEST], key=lambda b: b.offset)
    heights = [(b.offset + b.bytes / 2) / bank.bytes * canvas.rows - 0.5 for b in largest]
    places = spread(heights, 1.0, 0.0, canvas.rows - 1.0)
    return {
        canvas.rows - 1 - round(place): _shortened(b.name, _PEAK - 6, canvas)
        for b, place in zip(largest, places, strict=True)
    }


def _shortened(name: str, room: int, canvas: Canvas) -> str:
    """The name, shortened in the middle to `room` characters."""
    if len(name) <= room:
        return name
    more, end = "…" if canvas.colour else "..", room // 3
    return name[: room - end - len(more)] + more + name[-end:]


def _axis(memory: MemoryMap, canvas: Canvas) -> str:
    """The time axis: phases, then step numbers with the tensor each makes."""
    corner, flat, end = ("└", "─", "┴") if canvas.colour else ("+", "-", "+")
    turn = memory.backward * canvas.columns // memory.steps
    phases = _phase("forward", turn, flat, end)
    if turn < canvas.columns:
        phases += _phase("backward", canvas.columns - turn, flat, end)
    ticks, numbers = [" "] * canvas.columns, [" "] * canvas.columns
    free = 0
    for step, name in enumerate(memory.names):
        column = step * canvas.columns // memory.steps
        fits = column >= free and column + len(name) <= canvas.columns
        if fits and not memory.updates[step]:
            ticks[column : column + len(name)] = name
            numbers[column : column + len(str(step))] = str(step)
            free = column + max(len(name), len(str(step))) + 2
    space = " " * _LEFT
    lines = ("".join(ticks).rstrip(), "".join(numbers).rstrip())
    return f"{space[:-1]}{corner}{phases}\n{space}{lines[0]}\n{space}{lines[1]}"


def _phase(name: str, width: int, flat: str, end: str) -> str:
    if width < len(name) + 4:
        return flat * (width - 1) + end
    return f" {name} ".center(width - 1, flat) + end


def _legend(memory: MemoryMap, width: int, colour: bool) -> Text:
    used = {block.kind for bank in memory.banks for block in bank.blocks}
    keys: list[tuple[Char, str]] = [
        (("██", _SHADES[kind][0]) if colour else (_SIGNS[kind], ""), kind.value)
        for kind in BufferKind if kind in used
    ]  # fmt: skip
    return _keys(keys, width - _LEFT, " " * _LEFT)


def _keys(keys: list[tuple[Char, str]], width: int, indent: str) -> Text:
    """The legend: signs with their meaning, as many in a line as `width` allows."""
    text, column = Text(indent), 0
    for (sign, style), meaning in keys:
        size = len(sign) + len(meaning) + 3
        if column and column + size > width + 2:
            text.append("\n" + indent)
            column = 0
        text.append(sign, style or None)
        text.append(f" {meaning}  ")
        column += size
    return text


def _sram_bar(memory: MemoryMap, width: int, colour: bool) -> Text:
    """All SRAM as one bar, each part at least one character wide, and the parts in bytes."""
    total = sum(memory.sram.values())
    free = memory.sram_budget - total
    left = f"{free:,} B to spare" if free >= 0 else f"{-free:,} B too many"
    text = Text(f"SRAM {total:,} of {memory.sram_budget:,} B, {left}\n")
    looks = _SRAM_SHADES if colour else tuple(_SRAM_SIGNS)
    for size, look in zip(memory.sram.values(), looks, strict=False):
        count = max(1, round(size * (width - len(memory.sram)) / total))
        text.append("█" * count if colour else look * count, look if colour else None)
    text.append("\n")
    keys: list[tuple[Char, str]] = [
        (("█", look) if colour else (look, ""), f"{name} {size:,}")
        for (name, size), look in zip(memory.sram.items(), looks, strict=False)
    ]
    return text.append_text(_keys(keys, width, ""))
