"""The models and images of the studies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from microtune.data import Preprocessing, Split, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.modelfile import ModelFile
from microtune_studies.runs import Run


@dataclass(frozen=True)
class Sources:
    """The folder with data/ and models/, and a folder for cached latents."""

    folder: Path
    cache: Path

    def model(self, name: str) -> ModelFile:
        """The model of this name: that of its file without the ending."""
        found = sorted(p for p in (self.folder / "models").rglob(f"{name}.*") if p.is_file())
        for path in found:
            if path.suffix in (".pkl", ".mt"):
                return load_any(path)
        raise MicrotuneError(f"{self.folder}/models has no {name}.pkl or {name}.mt")

    def identity(self, run: Run) -> str:
        """Hashes of the run's model and images, whatever their files are called."""
        return _identity(self, run.model, run.data)

    def splits(self, run: Run) -> tuple[list[str], Split, Split]:
        """(number of classes, training images, evaluation images) of a run.

        For "val" the test split is not opened.
        """
        preprocessing = Preprocessing.from_json(self.model(run.model).preprocessing)
        dataset = open_dataset(self.folder / "data" / run.data)
        if run.split == "val":
            return dataset.classes, *dataset.load_choice(preprocessing)
        train, test = (dataset.load(name, preprocessing) for name in ("train", "test"))
        return dataset.classes, train, test


@cache
def _identity(sources: Sources, model: str, data: str) -> str:
    images = open_dataset(sources.folder / "data" / data)
    images.say_notes()
    # Results of before classes were in natural order stay valid where that is the order of text.
    in_order = images.source.classes is not None or images.classes == sorted(images.classes)
    order = "" if in_order else " natural order"
    return f"{sources.model(model).sha256()} {images.source.sha256}{order}"
