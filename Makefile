# Everything is built with the pure-Go Olm. Prerequisites: Go, a C compiler (for
# SQLite), Python 3 with venv (for Synapse). The rest is downloaded on first use
# in versions pinned here, by go.mod, tools/go.mod, and the lab.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

export GOFLAGS := -tags=goolm -buildvcs=false -mod=readonly
export CGO_ENABLED := 1
FUZZTIME ?= 60s

TOOL := go tool -modfile=tools/go.mod
LOCAL := github.com/mimi-gateway/mimi-gateway
STAGES := lint unit race e2e

.PHONY: help build demo test full lint unit race e2e fuzz example clean

help:
	@echo "make demo   two homeservers, two gateways, and the story between them"
	@echo "make test   $(STAGES), with the time of each"
	@echo "make full   make test, and what takes longer"
	@echo "make fuzz   every decoder, FUZZTIME=$(FUZZTIME) each"
	@echo "make build  bin/mimi-gateway and bin/mimi-lab"

build:
	@mkdir -p bin
	go build -trimpath -o bin/ -ldflags "\
	  -X main.tag=$$(git describe --exact-match --tags 2>/dev/null || echo unknown) \
	  -X main.commit=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	  -X main.buildTime=$$(date -u +%Y-%m-%dT%H:%M:%SZ)" ./cmd/mimi-gateway ./cmd/mimi-lab

demo:
	@go run ./cmd/mimi-lab demo

test:
	@for stage in $(STAGES); do \
	  echo "=== $$stage"; begin=$$SECONDS; \
	  $(MAKE) $$stage || { echo "=== $$stage failed after $$((SECONDS - begin)) s"; exit 1; }; \
	  echo "=== $$stage: $$((SECONDS - begin)) s"; \
	done

full: test
	@$(MAKE) fuzz FUZZTIME=20s

lint:
	@bad=$$($(TOOL) gofumpt -l .); [ -z "$$bad" ] || { echo "gofumpt:"; echo "$$bad"; exit 1; }
	@bad=$$($(TOOL) goimports -local $(LOCAL) -l .); [ -z "$$bad" ] || { echo "goimports:"; echo "$$bad"; exit 1; }
	go vet ./...
	go vet -tags=goolm,lab ./cmd/...
	go -C tools vet ./...
	$(TOOL) staticcheck ./...
	go test -count=1 -run '^TestImports$$' .
	go mod tidy -diff

unit:
	go test ./...
	go test -tags=goolm,lab ./cmd/mimi-gateway

race:
	go test -race -shuffle=on ./mimi/...

e2e:
	@go run ./cmd/mimi-lab demo --report out/e2e

fuzz:
	@go -C tools run ./fuzz -root .. -fuzztime $(FUZZTIME)

example:
	@go run ./cmd/mimi-gateway -e -c - > example-config.yaml

clean:
	rm -rf bin out
