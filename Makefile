# Every verb of this project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help tools build test fuzz chaos mutants demo soak bench bench-light browser-test sam-local stack validate deploy genesys clean

PYTHON ?= python3
# What the functions are built for: x86_64 or arm64. Local runs build for this machine.
ARCH ?= x86_64
demo soak bench bench-light browser-test sam-local stack: ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
# Where `make stack` listens. `sam local invoke` needs an address that containers reach, such as Docker's bridge.
HOST ?= 127.0.0.1
# How many calls `make soak` plays. It makes up a SEED of its own when none is given.
CALLS ?= 300

export ARCH
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

FUNCTIONS := create-intent stripe-webhook status-query
STEP := @$(PYTHON) tests/local/step.py
TOOLS := .venv/installed
CARGO_FUZZ := .local/cargo-fuzz/bin/cargo-fuzz
# What `make fuzz` runs, and for how many seconds each.
TARGET ?= $(sort $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
SECONDS ?= 60
LOCAL_PARTS := cargo build --quiet --package stand-ins --bins

help: ## list the verbs
	@while IFS=: read -r verb text; do printf 'make %-12s %s\n' "$$verb" "$${text#*## }"; done \
		< <(grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST))

tools: $(TOOLS) ## install the pinned tools into .venv

$(TOOLS): tests/local/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@# Debian keeps venv in a package of its own.
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv; }
	@$(PYTHON) -m venv .venv
	$(STEP) .local/logs/tools.log "installing the tools into .venv" \
		.venv/bin/pip install --disable-pip-version-check --no-compile --requirement $<
	@touch $@

build: $(TOOLS) ## build the three functions for Lambda (ARCH=arm64 for Graviton)
	$(STEP) .local/logs/build.log "building the functions for $(ARCH)" \
		cargo lambda build --release $(if $(filter arm64,$(ARCH)),--arm64) $(addprefix --package ,$(FUNCTIONS))

test: $(TOOLS) ## format, lints, unit and integration tests; no account, and no network once the tools are there
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

chaos: ## random schedules full of faults and kills (SEEDS=20000; SEED=17 replays one)
	@SEEDS=$(SEEDS) SEED=$(SEED) cargo test --quiet --workspace --test chaos the_invariants_hold -- --nocapture

mutants: ## break one rule of the source at a time; a test must find each out
	@$(PYTHON) tests/mutants.py

fuzz: $(CARGO_FUZZ) ## any bytes into every way in, 60 s each (TARGET=request SECONDS=600); needs a C++ compiler
	@cp Cargo.lock fuzz/
	@for target in $(TARGET); do \
		mkdir -p .local/fuzz/$$target; \
		$(CARGO_FUZZ) fuzz run --sanitizer none --codegen-units 16 $$target .local/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -dict=fuzz/json.dict -print_final_stats=1; \
	done

$(CARGO_FUZZ):
	cargo install --quiet cargo-fuzz --version 0.13.2 --locked --root .local/cargo-fuzz

demo: build ## deploy to an emulated AWS on this machine and play phone payments
	$(STEP) .local/logs/stand-in.log "building the stand-ins" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/demo.py

soak: build ## hundreds of calls at once on the demo's stack while it breaks (CALLS=300 SEED=7)
	$(STEP) .local/logs/stand-in.log "building the stand-ins" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/soak.py $(CALLS) $(SEED)

bench: build ## times, memory and size beside a hello world, Node.js and Python, into docs/performance.md (ROUNDS=20 at most)
	$(STEP) .local/logs/bench.log "building the benchmark" cargo lambda build --release --package bench
	@.venv/bin/python tests/bench/bench.py full $(ROUNDS)

bench-light: build ## instructions, memory, size and round trips held to a baseline (BASELINE=write moves it)
	$(STEP) .local/logs/bench.log "building the benchmark" cargo build --quiet --workspace --bins
	@.venv/bin/python tests/bench/bench.py light $(BASELINE)

browser-test: build ## the payer's page in Chromium on the demo's stack (SCREENSHOTS=1 takes the docs' pictures instead)
	$(STEP) .local/logs/stand-in.log "building the stand-ins" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/browser.py $(if $(SCREENSHOTS),screenshots)

sam-local: build ## every file in events/ through sam local invoke in Docker
	$(STEP) .local/logs/stand-in.log "building the stand-ins" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/sam_local.py

stack: build ## run the demo's stack until Ctrl-C (HOST=172.17.0.1 for containers)
	$(STEP) .local/logs/stand-in.log "building the stand-ins" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/stack.py $(HOST)

validate: $(TOOLS) ## check template.yaml, and the format of genesys/terraform where Terraform is installed
	@sam validate --lint
	@if command -v terraform >/dev/null; then terraform fmt -check -diff -recursive genesys/terraform; \
		else echo "Terraform is not installed: the format of genesys/terraform is not checked"; fi

# The questions of the first time leave a stack's name in samconfig.toml, besides that of the local stack.
# SAM keeps the answers of the first, guided run in samconfig.toml; later runs use them as they are.
SAVED := $(shell sed -n '/^\[default\.deploy/,/^\[local/{/^parameter_overrides/p}' samconfig.toml)
deploy: build ## deploy to AWS; asks for everything the first time
ifeq ($(SAVED),)
	sam deploy --guided --parameter-overrides Architecture=$(ARCH)
else
	@[[ '$(SAVED)' == *Architecture=*$(ARCH)* ]] || { echo "samconfig.toml names another architecture than $(ARCH)"; exit 1; }
	sam deploy
endif

# The stack that the first deployment has left in samconfig.toml.
STACK ?= $(shell sed -n '/^\[default\.deploy/,/^\[local/s/^stack_name *= *"\(.*\)"/\1/p' samconfig.toml)
genesys: $(TOOLS) ## the Data Actions with a deployed stack's addresses into .local/genesys, to import (STACK=phone-payments)
	@[[ -n '$(STACK)' ]] || { echo "which stack? make genesys STACK=phone-payments"; exit 1; }
	@sam list stack-outputs --stack-name '$(STACK)' --output json | $(PYTHON) genesys/fill.py .local/genesys

clean: ## remove everything that was built, installed or written here
	rm -rf target .venv .local fuzz/target fuzz/artifacts fuzz/Cargo.lock tests/browser/node_modules tests/bench/node/node_modules
