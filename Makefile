# doorhub's commands; `make` prints them. Everything here is plain shell around the go
# command: deploy/packages.sh, deploy/vision.env and deploy/models/fetch.sh hold the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# sudo often resets PATH, and then misses the usual place of Go.
GO := $(shell command -v go || { test -x /usr/local/go/bin/go && echo /usr/local/go/bin/go; })
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
STATICCHECK_VERSION := v0.8.2
STATICCHECK := build/tools/$(STATICCHECK_VERSION)/staticcheck
NATS_VERSION := v2.15.2
NATS_SERVER := build/tools/$(NATS_VERSION)/nats-server
INFLUX_VERSION := v1.8.10
INFLUXD := build/tools/$(INFLUX_VERSION)/influxd

PREFIX ?= /usr/local
CACHE := $(or $(DOORHUB_CACHE),$(HOME)/.cache/doorhub)
BENCH ?= .
BENCHTIME ?= 1s
PKG ?= ./...
KILLS ?= 200
FUZZTIME ?= 5m

# -buildvcs=false: go refuses to stamp a tree whose owner is somebody else (sudo make); the
# version below says the same. No -trimpath: with other flags than the tests have, OpenCV's
# bindings would be compiled once more.
BUILD_FLAGS := -buildvcs=false -ldflags '-X main.version=$(VERSION)'
TEST_FLAGS := -buildvcs=false -count=1
VISION := . deploy/vision.env;
NOVISION := CGO_ENABLED=0
SUDO := $(shell test "$$(id -u)" -eq 0 || echo sudo)

.PHONY: help
help: ## print this list
	@echo 'make run and make test are all it takes on a fresh Debian 12 with git, make and Go.'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: build ## set up, build, and play the demo; ONCE=1 ends after its scene
	@build/doorhub run --demo $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: build
build: toolchain packages models announce ## build build/doorhub with camera and faces
	@$(VISION) $(GO) build $(BUILD_FLAGS) -o build/doorhub ./cmd/doorhub
	@echo 'built build/doorhub $(VERSION)'

.PHONY: build-novision
build-novision: toolchain ## build build/doorhub-novision: no camera, no cgo, no packages
	@$(NOVISION) $(GO) build $(BUILD_FLAGS) -o build/doorhub-novision ./cmd/doorhub
	@echo 'built build/doorhub-novision $(VERSION)'

.PHONY: test
test: toolchain packages-test models announce ## set up and run all tests; PKG=./door/... for some
	@echo 'testing with vision (a few minutes)'
	@$(VISION) $(GO) test $(TEST_FLAGS) -v -timeout 10m $(PKG) | .ci/test-output

# Its process wants root, and a Debian of its own. Where that cannot be had, nothing is tested
# and that is said.
IN_CORE = root=$$(.ci/homeassistant) || { test $$? -eq 3 && \
	echo 'SKIPPED, NOT TESTED with a real Home Assistant: the reason is above' && exit 0; exit 1; }; \
	$(NOVISION) DOORHUB_HOMEASSISTANT=$$root $(GO) test $(TEST_FLAGS)

.PHONY: test-ha
test-ha: toolchain packages-test ## join a real Home Assistant to the hub; sets it up first (root, 3 minutes, 1.5 GB)
	@echo 'testing with a real Home Assistant (4 minutes)'
	@$(IN_CORE) -v -timeout 20m -run '^TestHomeAssistantCore' ./cmd/doorhub | .ci/test-output

.PHONY: bench-ha
bench-ha: toolchain packages-test ## measure how soon a real Home Assistant shows what happens, as a table
	@$(IN_CORE) -run '^$$' -bench '^BenchmarkHomeAssistant' -benchtime 1x -timeout 10m ./cmd/doorhub | .ci/bench-table

.PHONY: race
race: toolchain packages-test models ## all tests under the race detector
	@echo 'testing under the race detector (some minutes, with OpenCV and dlib compiled for it the first time).'
	@echo 'No package is left out; of OpenCV and dlib it sees the Go side, not the C++ below. Rates of liveness are not its business.'
	@$(VISION) DOORHUB_PRESENTATIONS=3 $(GO) test $(TEST_FLAGS) -race -v -timeout 15m $(PKG) | .ci/test-output

# No package of vision is needed, nor a compiler.
.PHONY: test-influx
test-influx: toolchain $(INFLUXD) ## the history against a real InfluxDB; DOORHUB_SOAK=1 for 100,000 events
	@test -x $(INFLUXD) || { echo 'NOTHING TO TEST WITH: influxd could not be compiled' >&2; exit 1; }
	@$(NOVISION) $(GO) test $(TEST_FLAGS) -v -timeout 30m -run '^Test(Kill|Soak)?(History|Dashboard)' ./cmd/doorhub | .ci/test-output

.PHONY: soak
soak: toolchain packages-test models announce ## the long runs: kill -9 KILLS times (200), deeper tests, fuzzing
	@$(VISION) DOORHUB_SOAK=1 DOORHUB_KILLS=$(KILLS) $(GO) test $(TEST_FLAGS) -v -timeout 4h -run '^Test(Kill|Soak)' $(PKG)
	@$(NOVISION) GO=$(GO) FUZZTIME=$(FUZZTIME) .ci/fuzz $(PKG)

# On the disk of this folder, since /tmp may be memory. What go prints goes to standard error.
.PHONY: bench
bench: toolchain packages models announce $(INFLUXD) ## measure what is promised, as a table; BENCH=Start for some
	@echo 'measuring (about 6 minutes on a PC); nothing else should run meanwhile' >&2
	@mkdir -p build/tmp
	@$(VISION) export TMPDIR=$(CURDIR)/build/tmp DOORHUB_BENCH_LARGE=1; \
		$(GO) test $(TEST_FLAGS) -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 30m $(PKG) | \
		tee /dev/stderr | WHOLE='$(and $(filter .,$(BENCH)),$(filter ./...,$(PKG)))' .ci/bench-table

# In two processes, and nothing of vision.
.PHONY: bench-broker
bench-broker: toolchain packages-test ## set the broker beside Debian's mosquitto, as a table
	@command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto || { \
		echo 'NOTHING TO COMPARE WITH: mosquitto is missing; apt-get install mosquitto' >&2; exit 1; }
	@echo 'measuring (about 2 minutes on a PC); nothing else should run meanwhile' >&2
	@mkdir -p build/tmp
	@$(NOVISION) TMPDIR=$(CURDIR)/build/tmp \
		$(GO) test $(TEST_FLAGS) -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 10m ./broker | \
		tee /dev/stderr | .ci/bench-table

# The peer is Python, with a dlib of its own that pip compiles: minutes, the first time.
PEER := build/tools/face_recognition-1.3.0/bin/python

.PHONY: bench-peer
bench-peer: toolchain packages models announce $(PEER) ## set faces beside the Python package face_recognition, as a table
	@test -n '$(DOORHUB_FACES)' || { \
		echo 'NOTHING TO COMPARE ON: set DOORHUB_FACES to a folder with crowd12.jpg and portraits' >&2; exit 1; }
	@echo 'measuring (about 5 minutes on a PC); nothing else should run meanwhile' >&2
	@mkdir -p build/tmp
	@$(VISION) export TMPDIR=$(CURDIR)/build/tmp DOORHUB_PEER=$(abspath $(PEER)); \
		$(GO) test $(TEST_FLAGS) -run '^$$' -bench 'Peer|Crowd|Near' -benchtime $(BENCHTIME) -timeout 20m ./door/face | \
		tee /dev/stderr | .ci/bench-table

$(PEER):
	@command -v cmake >/dev/null && python3 -c 'import ensurepip' 2>/dev/null || { \
		echo 'NOTHING TO COMPARE WITH: apt-get install python3-venv python3-dev cmake' >&2; exit 1; }
	@echo 'installing face_recognition 1.3.0 (compiles dlib: some minutes)'
	@python3 -m venv $(dir $(PEER))..
	@$(dir $(PEER))pip install --quiet --progress-bar off 'setuptools<81' face_recognition==1.3.0 dlib==20.0.1 || \
		{ rm -rf $(dir $(PEER))..; exit 1; }

# Nothing of vision; the memory with a million records behind.
.PHONY: bench-history
bench-history: toolchain $(INFLUXD) ## set a backfill beside ready line protocol, on a real InfluxDB
	@test -x $(INFLUXD) || { echo 'NOTHING TO MEASURE WITH: influxd could not be compiled' >&2; exit 1; }
	@echo 'measuring (about 3 minutes on a PC); nothing else should run meanwhile' >&2
	@mkdir -p build/tmp
	@$(NOVISION) TMPDIR=$(CURDIR)/build/tmp DOORHUB_BENCH_LARGE=1 \
		$(GO) test $(TEST_FLAGS) -run '^$$' -bench 'Backfill' -benchtime 1x -timeout 30m ./cmd/doorhub | \
		tee /dev/stderr | .ci/bench-table

.PHONY: picture
picture: build ## draw the README's picture of the demo's scene
	@deploy/pictures/draw.sh deploy/pictures/scene.svg build/doorhub run --demo --once

.PHONY: picture-ha
picture-ha: toolchain packages-test ## draw the README's picture of the dashboard, in a real Home Assistant
	@export DOORHUB_SHOT=$(CURDIR)/deploy/pictures/homeassistant.webp; \
		$(IN_CORE) -timeout 10m -run '^TestHomeAssistantCoreDeploy$$' ./cmd/doorhub

.PHONY: check
check: format vet staticcheck ## gofmt, go vet and staticcheck, with and without vision

.PHONY: format
format: toolchain ## list the files that gofmt would change, and fail
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted (gofmt -w would): $$unformatted"; exit 1; fi

.PHONY: vet
vet: toolchain packages announce ## go vet, with and without vision
	@$(NOVISION) $(GO) vet ./...
	@$(VISION) $(GO) vet ./...

# Both builds in one run: what only one of them uses is not unused.
.PHONY: staticcheck
staticcheck: toolchain packages announce $(STATICCHECK) ## staticcheck, with and without vision
	@$(VISION) printf '%s\n' 'vision: CGO_ENABLED=1' 'novision: CGO_ENABLED=0 GOFLAGS=-buildvcs=false' | \
		$(STATICCHECK) -matrix ./...

$(STATICCHECK):
	@echo 'fetching staticcheck $(STATICCHECK_VERSION)'
	@$(NOVISION) GOBIN=$(abspath $(@D)) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

.PHONY: packages
packages: ## install the Debian packages that are missing; PACKAGES=skip does not
	@$(if $(filter skip,$(PACKAGES)),echo 'packages: skipped',deploy/packages.sh)

.PHONY: packages-test
packages-test: $(NATS_SERVER) $(INFLUXD) ## those, and the programs of others that the tests talk to
	@$(if $(filter skip,$(PACKAGES)),echo 'packages: skipped',deploy/packages.sh test)

# A broker that tests run as a process of its own (Apache-2.0). Where it cannot be had,
# they say what they skip.
$(NATS_SERVER): | toolchain
	@echo 'fetching nats-server $(NATS_VERSION)'
	@$(NOVISION) GOBIN=$(abspath $(@D)) $(GO) install github.com/nats-io/nats-server/v2@$(NATS_VERSION) || \
		echo 'no nats-server: its tests will be skipped' >&2

# InfluxDB 1.8 (MIT), as a process of its own. It is kept beside the models, since it takes
# minutes to compile.
$(INFLUXD): | toolchain
	@if [ ! -x '$(CACHE)/$@' ]; then \
		echo 'compiling influxd $(INFLUX_VERSION): once, about 3 minutes on a PC'; \
		$(NOVISION) GOBIN='$(abspath $(CACHE))/$(@D)' $(GO) install github.com/influxdata/influxdb/cmd/influxd@$(INFLUX_VERSION) || \
			echo 'no influxd: its tests will be skipped' >&2; fi
	@if [ -x '$(CACHE)/$@' ]; then mkdir -p $(@D) && ln -sf '$(abspath $(CACHE))/$@' $@; fi

.PHONY: models
models: packages ## fetch the face models and sample portraits, and check their hashes
	@deploy/models/fetch.sh

.PHONY: install
install: build ## the binary and the models below PREFIX (/usr/local), by sudo if need be
	@$(SUDO) install -D -m 755 build/doorhub '$(DESTDIR)$(PREFIX)/bin/doorhub'
	@$(SUDO) install -d -m 755 '$(DESTDIR)$(PREFIX)/share/doorhub/models'
	@$(SUDO) install -m 644 '$(CACHE)'/models/*.dat '$(DESTDIR)$(PREFIX)/share/doorhub/models/'
	@echo 'installed $(DESTDIR)$(PREFIX)/bin/doorhub; next: deploy/systemd/doorhub.service'

.PHONY: clean
clean: ## remove what was built here (models stay in ~/.cache/doorhub)
	@rm -rf build

.PHONY: toolchain
toolchain:
	@if [ -z '$(GO)' ]; then \
		echo 'Go 1.26 or newer is missing: install it from https://go.dev/dl and put its bin folder on PATH.' >&2; exit 1; fi

# What takes long the first time is said before it starts; go keeps it in its cache.
.PHONY: announce
announce: toolchain packages
	@$(VISION) if [ "$$($(GO) list -f '{{.Stale}}' gocv.io/x/gocv)" = true ]; then \
		echo 'compiling the bindings to OpenCV and dlib: once, about 2 minutes on a PC, several times that on a Raspberry Pi'; fi
