# `make help` lists the targets: every line below of the form "target: ## text".

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
ARCHES   ?= amd64 arm64
HUB      ?= localhost
TAG      ?= $(VERSION)
FUZZTIME ?= 30s
BENCH    ?= .
# Where the demo runs: either, cluster, server or context; with context, the context of
# your kubeconfig (empty is the current one), and anything in YES agrees to its use.
ON       ?= either
CONTEXT  ?=
YES      ?=
# Which attacks `make attack` runs: a regular expression.
ATTACK   ?= .
# How long `make soak` creates pods, twice, and how many a second.
DURATION ?= 2m
RATE     ?= 50
# Packages of the test, race and bench targets.
PKG      ?= ./...
# Packages that are tested at once. Tests on real servers wait more than they
# compute, so one more than there are processors.
JOBS     ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 3) + 1 )))
# Where `make release` writes its files.
DIST     ?= dist

# The packages in the order in which they are tested: the longest first, so that none of
# them runs alone at the end. Tests with clusters come in such an order that two packages at
# a time have them; a third would wait in the place of another package.
LONGEST  = test/e2e egress/xds deploy test/demo cmd/outrider test/cluster
ORDERED  = $$($(GO) list $(PKG) | awk -v longest="$(LONGEST)" 'BEGIN { n = split(longest, l) } \
	{ at = n + 1; for (i in l) if (substr($$0, length($$0) - length(l[i])) == "/" l[i]) at = i; print at, $$0 }' | sort -s -n -k1,1 | cut -d' ' -f2)

GOLANGCI = $(GO) tool -modfile=hack/tools/go.mod golangci-lint
VALE     = $(GO) tool -modfile=hack/prose/go.mod vale --no-global

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-race test-deps assets build image lint lint-platforms lint-chart lint-deps fmt gen gen-envoy gen-check fuzz bench release release-check check clean go

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: PKG=./inject/... FUZZTIME=10m BENCH=Admission VERSION=v1.2.3 HUB=registry.example/team TAG=v1.2.3"
	@echo "REQUIRE_REAL=1 fails tests that would be skipped without a real server."

demo: go ## Demonstrate the main use case on a real cluster, or on the API server alone
	@CGO_ENABLED=0 $(GO) run -trimpath ./test/demo/launch -began=$$(date +%s) -on=$(ON) -- \
		$(if $(CONTEXT),-context=$(CONTEXT)) $(if $(YES),-yes)

test: test-deps assets ## Run all tests; installs their prerequisites
	@echo "$(GO) test -timeout 45m -p $(JOBS) $(PKG)"
	@$(GO) test -timeout 45m -p $(JOBS) $(ORDERED)

test-race: test-deps assets ## Run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m $(PKG)

test-deps: ## Install the Debian packages for tests on the real kernel
	@hack/test-deps.sh

assets: go ## Build the Kubernetes servers, Helm, and Istio's chart, for the tests, once
	@$(GO) run ./test/kube/cmd/kube-assets >/dev/null
	@$(GO) run ./test/istio/cmd/istio-chart >/dev/null || echo "make: no chart of Istio; its tests are skipped, or fail with REQUIRE_REAL=1" >&2
	@$(GO) run ./test/helm/cmd/helm >/dev/null || echo "make: no Helm; its tests are skipped, or fail with REQUIRE_REAL=1" >&2
	@$(GO) run ./test/cluster/cmd/cluster build || echo "make: no cluster binaries; tests on a real cluster are skipped, or fail with REQUIRE_REAL=1" >&2

build: go ## Build the static binaries into bin/linux-ARCH/
	@for arch in $(ARCHES); do \
		echo "build: bin/linux-$$arch ($(VERSION))"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -buildvcs=false \
			-ldflags "-s -w -X main.version=$(VERSION) -X github.com/outrider-mesh/outrider/config.DefaultTag=$(TAG)" \
			-o bin/linux-$$arch/ ./cmd/outrider ./cmd/outrider-init || exit 1; \
	done

image: build ## Build the two images with buildah, podman or docker
	@hack/image.sh $(HUB) $(TAG) $(ARCHES)

lint: go lint-deps ## Run golangci-lint, and Vale on pages, samples and comments
	$(GOLANGCI) run $(PKG)
	$(VALE) --output=line $$(git ls-files '*.md' '*.go' 'samples/*.yaml' 'deploy/*.yaml')

lint-platforms: go ## Compile the command line for the other platforms of a release
	@for os in darwin windows; do echo "GOOS=$$os $(GO) build -trimpath ./cmd/outrider"; CGO_ENABLED=0 GOOS=$$os $(GO) build -trimpath -o /dev/null ./cmd/outrider || exit 1; done

lint-chart: go ## Lint the chart with Helm
	@$$($(GO) run ./test/helm/cmd/helm) lint --strict deploy/chart

lint-deps: ## Install the C compiler that Vale is built with
	@hack/test-deps.sh cc:gcc

fmt: go ## Format the Go files
	gofmt -w -s .

gen: go ## Regenerate the generated files
	$(GO) generate $(PKG)

gen-envoy: go ## Regenerate what depends on config/envoy.txt: names that these Envoys have, the default image
	$(GO) run ./hack/envoytables
	$(GO) generate ./annotation ./deploy
	$(GO) test ./test/scenarios -update
	$(GO) test ./cmd/outrider -run Explain -update-docs

gen-check: gen ## Regenerate them, and fail if that changes the tree
	@git diff --exit-code || { echo "make: generated files differ; run make gen and commit" >&2; exit 1; }

fuzz: go ## Run every fuzz target for FUZZTIME
	@GO="$(GO)" hack/fuzz.sh $(FUZZTIME)

bench: go ## Run the benchmarks that match BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m $(PKG)

release: go ## Build the files of a release of this commit into DIST
	@$(GO) run ./hack/release -out $(DIST) $(if $(filter-out file default,$(origin VERSION)),-version $(VERSION))

release-check: assets ## Build a release twice, once with nothing cached, and check its files (an hour on 2 cores)
	$(GO) test -count=1 -v -timeout 120m ./hack/release -release -run TestRelease

check: fmt gen lint test ## Run all checks of a change; fails if they modify the tree
	git diff --exit-code

.PHONY: e2e upgrades bench-starts bench-sidecar bench-reports bench-serve bench-scale bench-status bench-explain attack soak cluster-up cluster-down cluster-status

e2e: test-deps assets ## Run the product end to end on a real cluster (root on Linux)
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 30m ./test/e2e -whole

upgrades: test-deps assets ## Follow all of docs/upgrade.md on a real cluster (root on Linux)
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 30m ./test/e2e -run "TestE2E/(revisions|earlier)" -upgrades

bench-starts: test-deps assets ## Time the start of pods with and without a sidecar, with IPv6 and without (root on Linux)
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 30m ./test/e2e -run TestE2E/starts -starts=30 -starts-seed=1 -starts-kinds=plain,empty,sidecar,limited
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 30m ./test/e2e -run TestE2E/starts -starts=30 -starts-seed=1 -starts-kinds=plain,empty,sidecar,limited -ipv4

bench-sidecar: test-deps ## Measure what a sidecar takes, at several rates of requests (root on Linux)
	$(GO) test -run '^$$' -bench 'BenchmarkSidecar' -benchtime 1x -timeout 20m ./egress/xds

bench-reports: test-deps ## Compare sidecars with and without reports, at 1,000 requests per second (root on Linux)
	$(GO) test -run '^$$' -bench 'BenchmarkReportCost' -benchtime 10x -timeout 60m ./egress/xds

bench-serve: assets ## Measure what the webhook and the control plane take, idle, after 200,000 admissions, and with 1,000 sidecars
	$(GO) test -run '^$$' -bench 'BenchmarkServe' -benchtime 200000x -timeout 20m ./cmd/outrider
	$(GO) test -run '^$$' -bench 'BenchmarkControlPlane' -benchtime 1x -timeout 20m ./cmd/outrider

bench-scale: assets ## Measure the control plane with up to 10,000 sidecars, with 1,000 that report, and a push with Sidecars
	$(GO) test -run '^$$' -bench 'BenchmarkScale' -benchtime 3x -timeout 60m ./cmd/outrider
	$(GO) test -run '^$$' -bench 'BenchmarkReportLoad' -benchtime 180x -timeout 60m ./cmd/outrider
	$(GO) test -run '^$$' -bench 'BenchmarkPushSidecars' -benchtime 15x -timeout 20m ./egress/xds

bench-status: assets ## Measure what "outrider status -A" takes with 5,000 pods on a real API server
	REQUIRE_REAL=1 OUTRIDER_STATUS_PODS=5000 $(GO) test -count=1 -v -timeout 20m -run "Test(Status|PodCount)OfManyPods" ./cmd/outrider

bench-explain: assets ## Measure what "outrider explain --to" takes with 5,000 Services on a real API server
	REQUIRE_REAL=1 OUTRIDER_EXPLAIN_SERVICES=5000 $(GO) test -count=1 -v -timeout 20m -run TestExplainOfManyServices ./cmd/outrider

attack: test-deps assets ## Attack the product on a real cluster (root on Linux)
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 60m ./test/attack -attack -run 'TestAttack/$(ATTACK)'

soak: test-deps assets ## Create pods while replicas end, certificates rotate and more (root on Linux)
	REQUIRE_REAL=1 $(GO) test -count=1 -v -timeout 60m ./test/soak -soak -duration $(DURATION) -rate $(RATE)

cluster-up: go ## Bring up a real one-node cluster (root on Linux)
	@$(GO) run ./test/cluster/cmd/cluster up

cluster-down: go ## Remove that cluster and its files
	@$(GO) run ./test/cluster/cmd/cluster down

cluster-status: go ## Show which parts of it run
	@$(GO) run ./test/cluster/cmd/cluster status

clean: ## Remove the built binaries and releases; the cached test servers are kept
	rm -rf bin $(DIST)

go:
	@command -v $(GO) >/dev/null || { echo "make: Go not found; install the version in go.mod or newer: https://go.dev/dl" >&2; exit 1; }
