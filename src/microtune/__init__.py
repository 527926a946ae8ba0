"""microtune: networks that keep learning on the microcontroller they run on.

    import microtune as mt

    model = mt.load("model.mt")
    project = mt.compile(model, classes=10, scheme="last-3", target="cortex-m7", output="out/tops")
    outcome = project.train("photos/")

What is public is listed in `__all__`; docs/python.md shows it at work. Each name is loaded when it
is first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from microtune.api.caching import CacheContent as CacheContent
    from microtune.api.caching import cache as cache
    from microtune.api.caching import clear_cache as clear_cache
    from microtune.api.compiling import compile as compile
    from microtune.api.compiling import emit as emit
    from microtune.api.models import inspect as inspect
    from microtune.api.models import load as load
    from microtune.api.models import save as save
    from microtune.api.planned import PlannedFigures as PlannedFigures
    from microtune.api.project import Project as Project
    from microtune.api.project import open as open
    from microtune.api.quantizing import QuantizedModel as QuantizedModel
    from microtune.api.quantizing import quantize as quantize
    from microtune.api.regression import Regression as Regression
    from microtune.api.regression import Values as Values
    from microtune.api.reports import Progress as Progress
    from microtune.api.results import Inspection as Inspection
    from microtune.api.results import LayerCounts as LayerCounts
    from microtune.api.results import MemoryPlan as MemoryPlan
    from microtune.api.results import Outcome as Outcome
    from microtune.api.results import Predictions as Predictions
    from microtune.api.results import TrainingOutcome as TrainingOutcome
    from microtune.api.searching import FoundScheme as FoundScheme
    from microtune.api.searching import search as search
    from microtune.api.tools import missing_tools as missing_tools
    from microtune.api.verifying import verify as verify
    from microtune.data import Split as Split
    from microtune.errors import MicrotuneError as MicrotuneError
    from microtune.errors import MicrotuneWarning as MicrotuneWarning
    from microtune.importers.base import Unsupported as Unsupported
    from microtune.importers.base import UnsupportedError as UnsupportedError
    from microtune.ir.modelfile import ModelFile as Model
    from microtune.measure.measure import Measurement as Measurement
    from microtune.measure.parity import Parity as Parity
    from microtune.targets import Target as Target
    from microtune.targets import load_target as load_target
    from microtune.targets import target_names as target_names
    from microtune.train.anomaly import AnomalyScores as AnomalyScores
    from microtune.train.regression import RegressionOutcome as RegressionOutcome
    from microtune.train.regression import RegressionReport as RegressionReport
    from microtune.train.trainer import DEFAULT_LEARNING_RATE as DEFAULT_LEARNING_RATE
    from microtune.train.trainer import MAX_SEED as MAX_SEED

# Where each public name is defined. `search` is a package that can be called.
_HOMES = {
    "CacheContent": "api.caching", "DEFAULT_LEARNING_RATE": "train.trainer",
    "FoundScheme": "api.searching", "Inspection": "api.results",
    "LayerCounts": "api.results", "MAX_SEED": "train.trainer",
    "Measurement": "measure.measure", "MemoryPlan": "api.results", "MicrotuneError": "errors",
    "MicrotuneWarning": "errors", "Model": "ir.modelfile", "Outcome": "api.results",
    "PlannedFigures": "api.planned", "QuantizedModel": "api.quantizing",
    "quantize": "api.quantizing", "Predictions": "api.results", "Progress": "api.reports",
    "AnomalyScores": "train.anomaly", "Project": "api.project", "Regression": "api.regression",
    "RegressionOutcome": "train.regression", "RegressionReport": "train.regression",
    "Values": "api.regression", "Target": "targets", "TrainingOutcome": "api.results",
    "Unsupported": "importers.base", "UnsupportedError": "importers.base", "cache": "api.caching",
    "clear_cache": "api.caching", "compile": "api.compiling", "emit": "api.compiling",
    "inspect": "api.models", "load": "api.models", "load_target": "targets",
    "missing_tools": "api.tools", "open": "api.project", "save": "api.models",
    "Split": "data", "target_names": "targets", "verify": "api.verifying",
    "Parity": "measure.parity",
}  # fmt: skip
__all__ = [
    "DEFAULT_LEARNING_RATE",
    "MAX_SEED",
    "AnomalyScores",
    "CacheContent",
    "FoundScheme",
    "Inspection",
    "LayerCounts",
    "Measurement",
    "MemoryPlan",
    "MicrotuneError",
    "MicrotuneWarning",
    "Model",
    "Outcome",
    "Parity",
    "PlannedFigures",
    "Predictions",
    "Progress",
    "Project",
    "QuantizedModel",
    "Regression",
    "RegressionOutcome",
    "RegressionReport",
    "Split",
    "Target",
    "TrainingOutcome",
    "Unsupported",
    "UnsupportedError",
    "Values",
    "cache",
    "clear_cache",
    "compile",
    "emit",
    "inspect",
    "load",
    "load_target",
    "missing_tools",
    "open",
    "quantize",
    "save",
    "search",
    "target_names",
    "verify",
]

if not TYPE_CHECKING:  # who checks types shall hear of a name that does not exist

    def __getattr__(name: str) -> object:
        if name == "search":
            return import_module("microtune.search")
        if name not in _HOMES:
            raise AttributeError(f"module 'microtune' has no attribute '{name}'")
        home = import_module(f"microtune.{_HOMES[name]}")
        value = globals()[name] = getattr(home, "ModelFile" if name == "Model" else name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
