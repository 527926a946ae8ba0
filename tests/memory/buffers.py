"""Random buffers, with gaps and mixed alignments."""

from __future__ import annotations

from hypothesis import strategies as st

from microtune.memory.lifetimes import Buffer, Gap


@st.composite
def gapped_buffer_lists(draw: st.DrawFn, most: int = 30, sizes: int = 500) -> list[Buffer]:
    """Up to `most` buffers of up to `sizes` bytes in up to 20 steps; one in four shrinks for a part
    of its life."""
    buffers = []
    for i in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, 18))
        last = draw(st.integers(first + 1, 20))
        size = draw(st.integers(1, sizes))
        gaps: tuple[Gap, ...] = ()
        if draw(st.integers(0, 3)) == 0:
            begin = draw(st.integers(first, last - 1))
            lower = draw(st.integers(0, size))
            gaps = (
                Gap(
                    begin, draw(st.integers(begin + 1, last)), lower, draw(st.integers(lower, size))
                ),
            )
        buffers.append(Buffer(f"b{i}", size, first, last, draw(st.sampled_from([4, 8, 16])), gaps))
    return buffers


@st.composite
def buffer_lists(draw: st.DrawFn) -> list[Buffer]:
    """Up to 30 buffers in up to 20 steps, without gaps, aligned to 8."""
    buffers = []
    for i in range(draw(st.integers(1, 30))):
        first = draw(st.integers(0, 18))
        last = draw(st.integers(first + 1, 20))
        buffers.append(Buffer(f"b{i}", draw(st.integers(1, 500)), first, last))
    return buffers
