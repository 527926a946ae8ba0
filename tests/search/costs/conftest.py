"""The costs of the embedded model, worked out once for the tests of this room."""

from __future__ import annotations

import pytest

from microtune.search.costs.planned import SelectionCosts
from tests.search.small import embedded_model, request


@pytest.fixture(scope="package")
def costs() -> SelectionCosts:
    return SelectionCosts(embedded_model(), request(5))
