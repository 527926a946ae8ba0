"""Where outputs go: never over what is read, and never two into one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from microtune.errors import MicrotuneError


def check_places(
    outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | Sequence[Path] | None],
    project: Path,
) -> None:  # fmt: skip
    """Raise MicrotuneError, before any work, where an output (by its option) would replace an input
    of the same command, a picture in a folder that is one, or a file that compile wrote; or where
    two outputs are one file. `--save` may replace what `--load` read: the run goes on in it."""
    written: dict[Path, str] = {}
    for option, output in outputs.items():
        if output is None or (output.exists() and not output.is_file()):
            continue
        place = output.resolve()
        if place in written:
            raise MicrotuneError(f"{written[place]} and {option} would both write {output}")
        written[place] = option
        for name, given in inputs.items():
            sources = [given] if isinstance(given, Path) else given or ()
            if (option, name) == ("--save", "--load"):
                continue
            if any(_is_or_holds(source.resolve(), place) for source in sources):
                raise MicrotuneError(
                    f"{option} {output} would replace what is read as {name}: choose another place"
                )
        if place in _compiled(project.resolve()):
            raise MicrotuneError(
                f"{option} {output} would replace a file of the project: choose another place"
            )


def _is_or_holds(source: Path, place: Path) -> bool:
    """Whether a file that is read is `place`, or a folder that is read has it as a picture."""
    from microtune.data.image.formats import suffixes

    if source in place.parents:
        return place.is_file() and place.suffix.lower() in suffixes()
    return place == source


def _compiled(project: Path) -> set[Path]:
    from microtune.project.commit import MANIFEST, read_manifest

    return {project / name for name in (MANIFEST, *read_manifest(project))}
