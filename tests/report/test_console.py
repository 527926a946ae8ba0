"""The time left that a progress bar shows."""

from __future__ import annotations

from microtune.report.console import _TimeLeft


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_slow_steps_have_a_time_left_though_the_total_grows() -> None:
    clock = Clock()
    left = _TimeLeft(clock)
    assert left(0, 0) == ""
    for done, total in ((1, 10), (2, 10), (3, 40)):
        clock.now += 60
        shown = left(done, total)
    assert shown == "0:37:00 left"


def test_what_came_out_of_a_cache_does_not_count() -> None:
    clock = Clock()
    left = _TimeLeft(clock)
    for done in range(200):
        clock.now += 0.001
        left(done, 210)
    clock.now += 30
    assert left(200, 210) == "0:05:00 left"


def test_many_quick_steps_have_a_rate_and_a_new_start_forgets_it() -> None:
    clock = Clock()
    left = _TimeLeft(clock)
    for done in range(1, 1001):
        clock.now += 0.01
        shown = left(done, 3000)
    assert shown == "0:00:20 left"
    assert left(0, 5) == ""
