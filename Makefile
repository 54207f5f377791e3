# Every verb of this project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help tools build test demo sam-local stack validate deploy clean

PYTHON ?= python3
# What the functions are built for: x86_64 or arm64. Local runs build for this machine.
ARCH ?= x86_64
demo sam-local stack: ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
# Where `make stack` listens. `sam local invoke` needs an address that containers reach, such as Docker's bridge.
HOST ?= 127.0.0.1

export ARCH
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

FUNCTIONS := create-intent stripe-webhook status-query
STEP := @$(PYTHON) tests/local/step.py
TOOLS := .venv/installed
LOCAL_PARTS := cargo build --quiet --package stand-ins --bin genesys-stand-in

help: ## list the verbs
	@while IFS=: read -r verb text; do printf 'make %-10s %s\n' "$$verb" "$${text#*## }"; done \
		< <(grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST))

tools: $(TOOLS) ## install the pinned tools into .venv

$(TOOLS): tests/local/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@# Debian keeps venv in a package of its own.
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv; }
	@$(PYTHON) -m venv .venv
	$(STEP) .local/logs/tools.log "installing the tools into .venv" \
		.venv/bin/pip install --disable-pip-version-check --requirement $<
	@touch $@

build: $(TOOLS) ## build the three functions for Lambda (ARCH=arm64 for Graviton)
	$(STEP) .local/logs/build.log "building the functions for $(ARCH)" \
		cargo lambda build --release $(if $(filter arm64,$(ARCH)),--arm64) $(addprefix --package ,$(FUNCTIONS))

test: ## format, lints, unit and integration tests; no network, no account
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

demo: build ## deploy to an emulated AWS on this machine and play phone payments
	$(STEP) .local/logs/stand-in.log "building the Genesys stand-in" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/demo.py

sam-local: build ## every file in events/ through sam local invoke in Docker
	$(STEP) .local/logs/stand-in.log "building the Genesys stand-in" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/sam_local.py

stack: build ## run the demo's stack until Ctrl-C (HOST=172.17.0.1 for containers)
	$(STEP) .local/logs/stand-in.log "building the Genesys stand-in" $(LOCAL_PARTS)
	@.venv/bin/python tests/local/stack.py $(HOST)

validate: $(TOOLS) ## check template.yaml
	@sam validate --lint

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

clean: ## remove everything that was built, installed or written here
	rm -rf target .venv .local
