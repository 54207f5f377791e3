# Every verb of this project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help tools build lint advisories test local local-programs fuzz chaos scale mutants demo soak bench bench-light browser-test \
	sam-local stack validate deploy genesys clean

PYTHON ?= python3
# What the functions are built for: x86_64 or arm64. Local runs build for this machine.
ARCH ?= x86_64
demo soak bench bench-light browser-test sam-local stack: ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
# Where `make stack` listens. `sam local invoke` needs an address that containers reach, such as Docker's bridge.
HOST ?= 127.0.0.1
# What the local stack runs: `dev`, which is built in minutes, or `release`, which is what `make deploy` uploads.
PROFILE ?= dev
# How many calls `make soak` plays. It makes up a SEED of its own when none is given.
CALLS ?= 300

export ARCH PROFILE
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

FUNCTIONS := create-intent stripe-webhook status-query
STEP := @$(PYTHON) tests/local/step.py
TOOLS := .venv/installed
CARGO_FUZZ := .local/cargo-fuzz/bin/cargo-fuzz
# What `make fuzz` runs, and for how many seconds each.
TARGET ?= $(sort $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
SECONDS ?= 60
# What the local stack runs as processes. With --workspace, they share every dependency with the tests.
LOCAL_PROGRAMS = genesys-stand-in stripe-stand-in $(if $(filter dev,$(PROFILE)),$(FUNCTIONS))
FIRST_RUN := The first run installs tools and compiles some 250 crates: about four minutes on two cores. Later ones take half a minute.

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
	@# uv installs the tools in a fraction of the time that pip takes. pip installs uv, from the same list.
	@sed -n '/^uv==/,/[^\]$$/p' $< > .venv/uv.txt
	$(STEP) .local/logs/tools.log "installing the tools into .venv" \
		$(SHELL) -c '.venv/bin/pip install --disable-pip-version-check --no-compile --require-hashes --requirement .venv/uv.txt && \
			.venv/bin/uv pip install --python .venv/bin/python --require-hashes --build-constraints $< --requirement $<'
	@touch $@

build: $(TOOLS) ## build the three functions for Lambda (ARCH=arm64 for Graviton)
	$(STEP) .local/logs/build.log "building the functions for $(ARCH)" \
		cargo lambda build --locked --release $(if $(filter arm64,$(ARCH)),--arm64) $(addprefix --package ,$(FUNCTIONS))

lint: $(TOOLS) ## format, spelling, the crates (licenses, sources, duplicates, unused ones) and lints
	cargo fmt --all --check
	typos
	cargo deny --locked check licenses bans sources
	@$(PYTHON) tests/unused_dependencies.py
	cargo clippy --locked --workspace --all-targets -- -D warnings

advisories: $(TOOLS) ## known vulnerabilities and yanked versions among the crates; reads a database at GitHub
	cargo deny --locked check advisories

test: $(TOOLS) ## unit and integration tests; no account, and no network once the tools are there
	cargo test --locked --workspace

# What the local stack needs. Tools and programs come from different places, so they come at the same time.
local:
	@[ -e $(TOOLS) ] && [ -e target/debug/stripe-stand-in ] || echo "$(FIRST_RUN)"
	@$(MAKE) --no-print-directory --jobs 2 $(TOOLS) local-programs $(if $(filter release,$(PROFILE)),build)

local-programs:
	$(STEP) .local/logs/programs.log "building the functions and the stand-ins" \
		cargo build --locked --workspace $(addprefix --bin ,$(LOCAL_PROGRAMS))

chaos: ## random schedules full of faults and kills (SEEDS=20000; SEED=17 replays one)
	@SEEDS=$(SEEDS) SEED=$(SEED) cargo test --locked --quiet --workspace --test chaos the_invariants_hold -- --nocapture

scale: ## what a call costs at 1,000 and at a million payments (PAYMENTS=100000 ROUNDS=50)
	@PAYMENTS=$(PAYMENTS) ROUNDS=$(ROUNDS) cargo test --locked --quiet --profile scale --workspace --test scale

mutants: ## break one rule of the source at a time; a test must find each out
	@$(PYTHON) tests/mutants.py

fuzz: $(CARGO_FUZZ) ## any bytes into every way in, 60 s each (TARGET=request SECONDS=600); needs a C++ compiler
	@# Cargo adds to the copy what only fuzzing uses, so it cannot be --locked.
	@cp Cargo.lock fuzz/
	@for target in $(TARGET); do \
		mkdir -p .local/fuzz/$$target; \
		$(CARGO_FUZZ) fuzz run --sanitizer none --codegen-units 16 $$target .local/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -dict=fuzz/json.dict -print_final_stats=1; \
	done

$(CARGO_FUZZ):
	cargo install --quiet cargo-fuzz --version 0.13.2 --locked --root .local/cargo-fuzz

demo: local ## deploy to an emulated AWS on this machine and play phone payments (PROFILE=release for what is shipped)
	@.venv/bin/python tests/local/demo.py

soak: local ## hundreds of calls at once on the demo's stack while it breaks (CALLS=300 SEED=7)
	@.venv/bin/python tests/local/soak.py $(CALLS) $(SEED)

bench: build ## times, memory and size beside a hello world, Node.js and Python, into docs/performance.md (ROUNDS=20 at most)
	$(STEP) .local/logs/bench.log "building the benchmark" cargo lambda build --locked --release --package bench
	@.venv/bin/python tests/bench/bench.py full $(ROUNDS)

bench-light: build ## instructions, memory, size and round trips held to a baseline (BASELINE=write moves it)
	$(STEP) .local/logs/bench.log "building the benchmark" cargo build --locked --workspace --bin bench-run
	@.venv/bin/python tests/bench/bench.py light $(BASELINE)

browser-test: local ## the payer's page in Chromium on the demo's stack (SCREENSHOTS=1 takes the docs' pictures instead)
	@.venv/bin/python tests/local/browser.py $(if $(SCREENSHOTS),screenshots)

sam-local: PROFILE := release
sam-local: local ## every file in events/ through sam local invoke in Docker
	@.venv/bin/python tests/local/sam_local.py

stack: local ## run the demo's stack until Ctrl-C (HOST=172.17.0.1 for containers)
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
