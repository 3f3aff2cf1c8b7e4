# Two commands: `make demo` runs the whole system here, `make test` tests all of it.
# Both install what they need and a fresh machine lacks (Debian packages as root or by sudo).

CARGO ?= cargo
PYTHON ?= python3
DURATION ?= 0
# What `make demo` and `ami-ctl local` run, in a profile that is built in minutes; `make demo PROFILE=release` for the fast one.
PROFILE ?= demo
DEMO := ami-ventilator ami-worker ami-collector ami-manager ami-store ami-gateway ami-ctl
VENV := .venv

.PHONY: demo test build bench prerequisites python chaos shows fuzz lint doc clean

demo: prerequisites
	$(CARGO) build --locked --profile $(PROFILE) $(DEMO:%=-p %) --bins
	deploy/demo.sh target/$(PROFILE) $(DURATION)

test: prerequisites python
	$(CARGO) build --locked --workspace --bins
	AMI_TEST_PYTHON=$(CURDIR)/$(VENV)/bin/python $(CARGO) test --locked --workspace
	AMI_BIN_DIR=$(CURDIR)/target/debug $(VENV)/bin/python -m pytest -q ami-store/python/tests ami-worker/python/tests tests/python
	deploy/systemd/verify.sh

build: prerequisites
	$(CARGO) build --locked --release --workspace --bins

# All cases of `ami-ctl bench`; the table goes to target/bench.md.
bench: build
	target/release/ami-ctl bench --table target/bench.md

prerequisites:
	@deploy/prerequisites.sh

# A virtual environment inside the checkout: nothing is installed elsewhere.
python: $(VENV)/.installed

$(VENV)/.installed: ami-store/python/pyproject.toml ami-worker/python/pyproject.toml tests/python/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e ./ami-store/python -e ./ami-worker/python
	touch $@

# Kills, freezes, restarts and insults a running system for long; a failure names its seed.
MINUTES ?= 10
SEED ?= 1
CHAOS ?=
chaos: build
	target/release/ami-chaos --minutes $(MINUTES) --seed $(SEED) $(CHAOS)

# What is promised to hold for long: two million heartbeats, overload for a minute, kills of every
# kind of member for a minute each, a million messages of garbage for each socket. Prints tables; takes 25 minutes.
shows: build
	target/release/ami-shows soak
	target/release/ami-shows overload
	target/release/ami-shows kills
	AMI_GARBAGE=1000000 $(CARGO) test --locked --release -p ami-tests --test garbage -- --nocapture

# Coverage-guided fuzzing of one decoder (tests/src/decoders.rs); needs cargo-fuzz. What instruments the
# code is unstable; a stable compiler has it, too, and lets itself be told to use it.
DECODER ?= ring
FUZZ_SECONDS ?= 60
fuzz:
	cd fuzz && $(CARGO) run --locked --bin seeds && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $(DECODER) --fuzz-dir . -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512

lint:
	# The fuzz workspace has a lock of its own, which nothing else looks at.
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

clean:
	$(CARGO) clean
	rm -rf $(VENV)
