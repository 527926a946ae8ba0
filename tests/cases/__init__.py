"""One file a family of ops: what every level of tests needs to know of it.

A module here has `CASE`, an `OpCase`. The tests of autodiff (against PyTorch), of int8 training, of
the generated C on the host and on emulated cores, and of streaming run through all of them.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.cases.case import OpCase

CASES: tuple[OpCase, ...] = tuple(
    import_module(f"{__name__}.{module.name}").CASE
    for module in iter_modules(__path__)
    if module.name != "case"
)
