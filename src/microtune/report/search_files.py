"""The files of `search --pareto DIR`: pictures, a page and the numbers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.report.search_page import page
from microtune.report.search_pictures import comparison_png, contributions_png, pareto_png
from microtune.search.budgets.report import BudgetReport, report_json
from microtune.tools.files import write_whole


def prepare(folder: Path) -> None:
    """Make the folder. Raise MicrotuneError, before a long search, if the report could not be made.

    That is so without plotly or optuna, or if the folder cannot be made.
    """
    for name in ("plotly", "optuna"):
        if find_spec(name) is None:
            raise MicrotuneError(f"--pareto needs {name}: pip install 'microtune[search]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MicrotuneError(f"--pareto {folder}: cannot make the folder: {error}") from error


def publish(report: BudgetReport, folder: Path) -> list[Path]:
    """Write all files of a report, each whole or not at all, and return their paths.

    Raises MicrotuneError if one cannot be written.
    """
    files = {
        "pareto.json": (json.dumps(report_json(report), indent=1) + "\n").encode(),
        "pareto.png": pareto_png(report),
        "contributions.png": contributions_png(report),
        "search-comparison.png": comparison_png(report),
        "pareto.html": page(report).encode(),
    }  # fmt: skip
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]
