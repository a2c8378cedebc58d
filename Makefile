# dirsw. "make help" lists the targets.

GO        ?= go
FUZZTIME  ?= 20s
# For example -json results.json -svg plot.svg -only pipeline,wire (bench/README.md).
BENCHFLAGS ?=
PREFIX    ?= /usr/local
DESTDIR   ?=
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS   := -s -w -X main.version=$(VERSION)

# Packages whose tests make network namespaces and attach programs (they skip without root, and with -short).
# Those that wait for others most of the time run two at once, those that load the machine one by one.
PRIVILEGED_WAITING := ./config/iptables ./config/keepalived ./director ./health ./bfd ./script ./track ./notify ./internal/testenv
PRIVILEGED_LOADING := ./lab/... ./cmd/... ./bench/...

# Everything builds without cgo but the race detector.
export CGO_ENABLED ?= 0
# The version comes from LDFLAGS; asking git again fails in a tree that belongs to another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.NOTPARALLEL:
.DEFAULT_GOAL := build
.PHONY: help demo test check bench bench-quick fuzz generate generate-check lint build install race privileged clean \
	deps fmt vet staticcheck unit

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## build ./dirsw, static
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dirsw ./cmd/dirsw

install: build ## install dirsw below $(DESTDIR)$(PREFIX)
	install -D -m 0755 dirsw $(DESTDIR)$(PREFIX)/sbin/dirsw

demo: build ## the whole thing in network namespaces of this machine, step by step (root)
	./dirsw lab demo

test: deps check generate-check race privileged ## what CI runs

check: fmt vet staticcheck lint unit ## before every commit: format, vet, staticcheck, the project's rules, unit tests

fmt:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt wants to change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) tool staticcheck ./...

lint: ## the import rules and the others of internal/lint
	$(GO) test ./internal/lint

unit: ## unit and golden tests, without privilege
	DIRSW_PRIVILEGED= $(GO) test -short ./...

race: ## the same under the race detector, with the invariants compiled in, in random order
	DIRSW_PRIVILEGED= CGO_ENABLED=1 $(GO) test -timeout 30m -short -race -tags invariants -shuffle on ./...

privileged: ## end-to-end tests in network namespaces (root; DIRSW_PRIVILEGED=1 makes skips fail)
	CGO_ENABLED=1 $(GO) test -count 1 -p 1 -timeout 10m -race -tags invariants ./host/... ./xsk/...
	$(GO) test -count 1 -run '^TestNoAllocations$$' ./xsk
	$(GO) test -count 1 -p 2 -timeout 20m $(PRIVILEGED_WAITING)
	$(GO) test -count 1 -p 1 -timeout 20m $(PRIVILEGED_LOADING)

bench: ## packets per second of the pipeline and of the wire, beside their peers (root for the wire)
	$(GO) run ./bench $(BENCHFLAGS)

bench-quick: ## the same in about a minute, with few rounds
	$(GO) run ./bench -quick $(BENCHFLAGS)

fuzz: ## every fuzz target for FUZZTIME (default 20s)
	@grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . >/dev/null || { echo "no fuzz targets"; exit 1; }
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's|/[^/]*:func | |' | sort -u | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
	done

generate: ## rebuild the BPF objects from C (clang, libbpf-dev)
	$(GO) generate ./...

generate-check: ## the BPF objects in the tree are those that the C gives
	.ci/generate-check

deps: ## install what the tests need and the machine lacks (apt-get; root)
	.ci/deps

clean:
	rm -f dirsw
