# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
# Both do all the set-up themselves.
PY := .venv/bin/python
# Two workers, each with its own half of the rooms at first; threads of a BLAS would stand in their way.
TEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -rs --durations=10

.DEFAULT_GOAL := help

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## leave a working .venv/bin/microtune (says what it installs; safe to repeat)
	@scripts/setup.sh

demo: setup ## the whole way on the embedded model: an emulated Cortex-M7 learns new garments
	@.venv/bin/microtune demo

test: setup ## the tests that need neither PyTorch nor Ray and Dask; prints the ten slowest
	@$(TEST)

test-all: setup ## all tests, with PyTorch as the oracle of the gradients and real local clusters
	@scripts/setup.sh torch cluster
	@$(TEST)

golden: setup ## record the generated C sources anew, after a deliberate change of them
	@MICROTUNE_UPDATE_GOLDEN=1 $(PY) -m pytest -n 0 -rs tests/codegen/test_replay.py
	@git diff --stat tests/golden 2>/dev/null || true

mutants: setup ## put one fault after the other into a copy: does the test named for it fail?
	@$(PY) benchmarks/mutants.py

lint: setup ## ruff, mypy, clang-format, walls between rooms, size limits, docstrings
	@scripts/setup.sh lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo
	@git ls-files '*.c' '*.h' | xargs .venv/bin/clang-format --dry-run --Werror
	@$(PY) scripts/check_c_walls.py
	@$(PY) scripts/check_sizes.py
	@$(PY) scripts/check_docstrings.py
	@$(PY) scripts/check_ops.py
	@$(PY) scripts/check_names.py
	@$(PY) scripts/check_words.py

format: setup ## rewrite the code in the house style
	@scripts/setup.sh lint
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@git ls-files '*.c' '*.h' | xargs .venv/bin/clang-format -i

clean: ## remove what the targets made, the virtual environment included
	rm -rf .venv build out microtune-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup demo test test-all golden mutants lint format clean
