# webtun: what a person types. Each target does its own setting up; see CONTRIBUTING.md.
SHELL := /bin/bash
SWIFT ?= swift
SWIFTFORMAT := $(SWIFT) format --configuration .swift-format
SOURCES := Sources Tests Package.swift
ARGS ?=
export PREFIX ?= /usr/local
export DESTDIR ?=
# Swift's libraries become part of the program: it runs on machines without a toolchain, and takes 5 MB less.
SWIFTFLAGS ?= --static-swift-stdlib
RELEASE := $(SWIFT) build -c release --product webtun $(SWIFTFLAGS)
FUZZ_SECONDS ?= 120

.PHONY: all build release install uninstall run demo test unit integration matrix bench fuzz lint format clean

all: build

build:
	scripts/setup build
	$(SWIFT) build

release:
	scripts/setup build
	$(RELEASE)

# For the whole machine: program, systemd unit, configuration, lists, documentation, completions. DESTDIR for packages.
install: release
	scripts/install "$$($(RELEASE) --show-bin-path)/webtun"

uninstall:
	scripts/install --remove

# Filter this machine until ^C: make run ARGS="--link eth0 --upstream 192.0.2.53"
run: release
	exec "$$($(RELEASE) --show-bin-path)/webtun" run --starter blocklists $(ARGS)

# A tour in network namespaces of its own; this machine's network is not touched.
demo: release
	scripts/setup test
	scripts/demo

# Everything a change must pass: format, unit tests, and the programs in namespaces with real peers. One test after the
# other: on two cores a test that computes would starve one that waits for a thread.
test: lint
	scripts/setup test
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --no-parallel --skip '^Integration\.'
	scripts/integration

unit:
	scripts/setup test
	$(SWIFT) test --skip '^Integration\.' $(if $(FILTER),--filter $(FILTER))

integration:
	scripts/setup test
	$(SWIFT) build --build-tests
	scripts/integration $(FILTER)

# Run the leak matrix and write its table into docs/capture.md.
matrix:
	scripts/setup test
	$(SWIFT) build --build-tests
	WEBTUN_WRITE_MATRIX=1 scripts/integration LeakMatrix

# webtun beside its peers; BENCH_SECONDS=3 a measurement, PEERS="webtun unbound" a selection. Then full mode beside the
# bare link; SUBJECTS="bare webtun" a selection.
bench: release
	scripts/setup bench
	Benchmarks/run
	Benchmarks/flows
	Benchmarks/log
	Benchmarks/lists

# Coverage-guided fuzzing, FUZZ_SECONDS for each target; inputs that break a promise are kept in Fuzz/FailCases.
fuzz:
	scripts/setup build
	Fuzz/run $(FUZZ_SECONDS)

lint:
	scripts/setup build
	scripts/lint

format:
	$(SWIFTFORMAT) --in-place --recursive $(SOURCES)

clean:
	$(SWIFT) package clean
	rm -rf .build/lab .build/bench
