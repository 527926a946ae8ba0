"""A study that cannot be run says what there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from microtune_studies.studies import Settings, make_work, run_study
from microtune_studies.work import Work

from microtune.errors import MicrotuneError


@pytest.fixture
def work(tmp_path: Path) -> Work:
    for part in ("data", "models"):
        (tmp_path / part).mkdir()
    return make_work(tmp_path, tmp_path / "out", 1, lambda *_: None)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("speed", Settings(), "no study speed; there are: qas, sparse"),
        ("sparse", Settings(data=("grocery81.tar",)), "--data grocery81.tar: sparse has mcunet"),
        ("sparse", Settings(models=("mcunet",)), "--models mcunet: sparse has mcunet-5fps on"),
        ("qas", Settings(models=("mbv2-w0.35",)), "--models mbv2-w0.35: only the study sparse"),
    ],
)
def test_what_there_is_not_is_named(
    work: Work, name: str, settings: Settings, message: str
) -> None:
    with pytest.raises(MicrotuneError, match=message):
        run_study(name, work, settings)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MicrotuneError, match="there is no folder data in it"):
        make_work(tmp_path, tmp_path / "out", 1, lambda *_: None)
