# Everything is run from here; needs git, GNU make 3.81 or later and Python 3.11 or later.

.DEFAULT_GOAL := help
.PHONY: help setup demo test check golden bench bars crash fuzz torture sim clean

BIN := .venv/bin
STAMP := .venv/.installed

help: ## List the targets
	@echo "usage: make TARGET   (demo, bench and bars take SF=<TPC-H scale factor>)"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Create .venv with the package and everything the other targets need

# Each candidate is run, not only looked up: version-switching shims exist for Pythons that do not,
# and Debian ships a Python whose venv cannot install pip.
$(STAMP): pyproject.toml
	@set -e; \
	chosen=; \
	for candidate in python3.13 python3.12 python3.11 python3; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "make: no Python >= 3.11 with venv and pip found (tried python3.13, 3.12, 3.11, python3)." >&2; \
	  echo "make: install one: apt-get install python3-venv, or brew install python@3.13." >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip' >/dev/null 2>&1; then \
	  echo "creating .venv with $$chosen"; "$$chosen" -m venv --clear .venv; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,tpch]'
	@touch $@

demo: $(STAMP) ## Load TPC-H (SF=0.1) and show the engine answering it
	$(BIN)/pagelake tpch demo --sf $${SF:-0.1}

test: $(STAMP) ## Run all tests (under 6 minutes on two cores)
	$(BIN)/python -m pytest -n 2 tests

check: $(STAMP) ## Lint, check the format, the types and the layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(STAMP) ## Rewrite the expected parts of SQL and plan tests; then read the diff
	$(BIN)/python -m pytest tests/slt tests/plans --rewrite-goldens

bench: $(STAMP) ## Run the 22 TPC-H queries and time them (SF=1)
	$(BIN)/pagelake tpch bench --sf $${SF:-1}

bars: $(STAMP) ## Measure every figure that has a bar (SF=1) and say which are met
	$(BIN)/pagelake tpch bars --sf $${SF:-1}

crash: $(STAMP) ## Run the long crash suite: crash states, kills, bit flips, lost devices (FULL=1: all)
	$(BIN)/python -m tests.crash.crash_states $(if $(FULL),--full)
	$(BIN)/python -m tests.crash.flips --count $(if $(FULL),100000,10000)
	$(BIN)/python -m tests.crash.storm --kills $(if $(FULL),500,50)
	$(BIN)/python -m tests.crash.lost_devices
	$(BIN)/python -m tests.contents.power_failures --states $(if $(FULL),100000,5000)
	$(BIN)/python -m tests.contents.rivals --seconds $(if $(FULL),1800,60)
	PAGELAKE_FULL=1 $(BIN)/python -m pytest -n 2 -q tests/crash/test_failing_calls.py tests/crash/test_failing_calls_sql.py tests/slt tests/unit/engine/test_types_round_trip.py

fuzz: $(STAMP) ## Compare generated statements with stock DuckDB (SEED=1, COUNT=100000 queries)
	$(BIN)/python -m tests.differential.fuzz --seed $${SEED:-1} --count $${COUNT:-100000}

torture: $(STAMP) ## Fail system calls, cut the power, fill disks, operate on files (FULL=1: for hours)
	$(BIN)/python -m tests.torture.bypass
	$(BIN)/python -m tests.torture.failing_syscalls --step $(if $(FULL),1,10)
	$(BIN)/python -m tests.torture.lossy_mounts --mounts $(if $(FULL),500,50)
	$(BIN)/python -m tests.torture.small_disk --points $(if $(FULL),200,20)
	$(BIN)/python -m tests.torture.limits
	$(BIN)/python -m tests.torture.surgery --count $(if $(FULL),100000,10000)
	$(BIN)/python -m tests.torture.soak --minutes $(if $(FULL),120,5)

sim: $(STAMP) ## Repeat one simulated run bit for bit (SEED=1)
	$(BIN)/python -m tests.crash.simulate --seed $${SEED:-1}

clean: ## Remove .venv, caches and build output
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
