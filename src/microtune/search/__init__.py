"""Which weights deserve the memory: contributions, selection under a budget, verification.

Words of this room. The *head* is the classifier; the *backbone* is all layers before it. A *bias
depth* k means that the biases of the backbone's last k layers are trained. A *choice* is a layer
with a ratio: the fraction of its channels whose weights are trained. A *selection* is a bias depth
with choices; a scheme file holds one, and the head is always trained. A *trial* is one training run
of a selection with one seed. The *gain* of a selection over a *reference* is the decrease of the
mean log-loss in nats, in trials paired by image and seed. The *contribution* of a bias depth or
choice is its gain as expected from the measurements or from an estimate. A selection *fits* if its
costs, as the memory planner finds them, are within all *limits*.

The order of a search (`search.py`): `costs` finds candidates that may fit, `contributions` measures
them by `trials`, `selection` chooses, `verification` trains the result beside known schemes, and
`scheme_file` writes it. `budgets` makes the report of `search --pareto`.

`microtune.search` is this package and the public function of its name: the module can be called.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    """The package, which is called as `microtune.api.searching.search`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        return self._function()(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    @staticmethod
    def _function() -> Any:  # noqa: ANN401
        # By name: this room knows nothing of those above it.
        return import_module("microtune.api.searching").search


sys.modules[__name__].__class__ = _CallableRoom
