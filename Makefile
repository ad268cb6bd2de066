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

.PHONY: help build demo test full lint unit race e2e faults mutate attack attack-mutate privacy fuzz bench interop vectors vuln example clean

help:
	@echo "make demo   two homeservers, two gateways, and the story between them"
	@echo "make test   $(STAGES), with the time of each"
	@echo "make full   make test, the faults, the mutations, and 20 s for every decoder"
	@echo "make faults the story with each fault of the lab, which has to break it"
	@echo "make mutate the MLS packages without each of their checks, which a test has to miss"
	@echo "make attack  active attacks on a running gateway, each refused by a check of its own"
	@echo "make privacy  what a hub does not learn, with a control for each, and a second scanner"
	@echo "make attack-mutate  the same without that check, which has to show"
	@echo "make fuzz   every decoder, FUZZTIME=$(FUZZTIME) each; FUZZ=expression chooses"
	@echo "make bench  MLS operations beside what RFC 9420 requires, and beside other libraries; identity links"
	@echo "make interop  MLS with other libraries, and the profile in another language: needs Rust, Node.js, Python"
	@echo "make vuln   known vulnerabilities in what is linked"
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
	@$(call run-stages,$(STAGES))

full:
	@$(call run-stages,$(STAGES) faults mutate privacy attack-mutate)
	@$(MAKE) fuzz FUZZTIME=20s

# run-stages makes one target after the other, and says how long each takes.
define run-stages
summary=; for stage in $(1); do \
  echo "=== $$stage"; begin=$$SECONDS; \
  $(MAKE) $$stage || { echo "=== $$stage failed after $$((SECONDS - begin)) s"; exit 1; }; \
  echo "=== $$stage: $$((SECONDS - begin)) s"; summary="$$summary $$stage $$((SECONDS - begin)) s,"; \
done; \
echo "===$$summary all $$SECONDS s"
endef

# What the build tag "lab" adds is in few packages, but changes what others see.
lint:
	@bad=$$($(TOOL) gofumpt -l .); [ -z "$$bad" ] || { echo "gofumpt:"; echo "$$bad"; exit 1; }
	@bad=$$($(TOOL) goimports -local $(LOCAL) -l .); [ -z "$$bad" ] || { echo "goimports:"; echo "$$bad"; exit 1; }
	go vet ./...
	go vet -tags=goolm,lab ./...
	$(TOOL) staticcheck ./...
	$(TOOL) staticcheck -tags=goolm,lab ./...
	go -C tools vet ./...
	go -C tools tool staticcheck ./...
	go test -count=1 -run '^TestImports$$' .
	go mod tidy -diff
	go -C tools mod tidy -diff

unit: vectors
	go test ./...
	go test -tags=goolm,lab ./cmd/...
	go -C tools test ./...

# Without the official vectors of MLS their tests would be skipped. They come in
# the archive of a module, unless MLS_TEST_VECTORS names a folder.
vectors:
	@[ -n "$${MLS_TEST_VECTORS:-}" ] || go -C interop/vectors mod download

# With -short, the crashes of mimi/client are a sample: "unit" has all of them.
race:
	go test -race -shuffle=on -short ./mimi/...

# The first story needs no homeservers, and breaks sooner.
e2e:
	@mkdir -p out/bin
	go build -o out/bin/ ./cmd/mimi-gateway ./cmd/mimi-lab
	@out/bin/mimi-lab demo --no-matrix --report out/e2e-engines
	@out/bin/mimi-lab demo --gateway $(CURDIR)/out/bin/mimi-gateway --report out/e2e
	@mkdir -p out/lab
	go build -tags=goolm,lab -o out/lab/ ./cmd/mimi-lab
	@out/lab/mimi-lab privacy

# The recordings, and what the scanners found in them, are in out/privacy.
privacy:
	@mkdir -p out/lab
	go build -tags=goolm,lab -o out/lab/ ./cmd/mimi-lab
	@rm -rf out/privacy
	@out/lab/mimi-lab privacy --second --report out/privacy

faults:
	@mkdir -p out/lab
	go build -tags=goolm,lab -o out/lab/ ./cmd/mimi-gateway ./cmd/mimi-lab
	@tools/faults/run out/lab

mutate: vectors
	@go -C tools run ./mutate -root ..

attack:
	@go run ./cmd/mimi-lab attack all

# The build has a switch at each check that names its code.
attack-mutate:
	@mkdir -p out/mutants
	@go -C tools run ./mutate -root .. -lab ../out/mutants/mimi-lab
	@out/mutants/mimi-lab attack --removed all

bench:
	@go run ./cmd/mimi-lab bench mls
	@go run ./cmd/mimi-lab bench links

# It says which of Rust, Node.js and Python is missing, and how to get it.
interop:
	@go run ./cmd/mimi-lab interop

fuzz:
	@go -C tools run ./fuzz -root .. -fuzztime $(FUZZTIME) -only '$(FUZZ)'

# govulncheck ends with status 3 if it found something, and with 1 if it could not
# look, as when its database is out of reach.
vuln:
	@status=0; $(TOOL) govulncheck $(if $(VULNDB),-db=$(VULNDB)) ./... || status=$$?; \
	case $$status in \
	0) ;; \
	3) echo "vuln: the vulnerabilities above reach this code"; exit 1 ;; \
	*) echo "vuln: not checked (govulncheck ended with status $$status). It needs the Go vulnerability" \
	     "database, or VULNDB=file:///folder with a copy of it."; exit 1 ;; \
	esac

example:
	@go run ./cmd/mimi-gateway -e -c - > example-config.yaml

clean:
	rm -rf bin out
