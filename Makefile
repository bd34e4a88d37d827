# Coinhook. `make help` lists what there is.

MODULES  := proto pkg ingress applier
PACKAGES := $(addprefix ./,$(addsuffix /...,$(MODULES)))
BINARIES := ./ingress/cmd/ingress ./applier/cmd/applier ./applier/cmd/coinhook ./pkg/dev/cmd/devstack

# Tools are run at fixed versions and are in no module of the product.
GOFUMPT       := mvdan.cc/gofumpt@v0.12.0
STATICCHECK   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BUF           := github.com/bufbuild/buf/cmd/buf@v1.75.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX     := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
PROTOC_GEN_GO := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/ingress, bin/applier, bin/coinhook and bin/devstack
	@mkdir -p bin
	go build -o bin/ $(BINARIES)

.PHONY: run
run: build ## run the development stack until Ctrl-C, with data in .coinhook
	@exec bin/devstack

.PHONY: demo
demo: build ## run the stack on free ports, show a few deliveries, and end
	@exec bin/devstack --demo

# Packages whose tests start no server and build no program.
QUICK = $(shell go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' $(PACKAGES) | \
	awk '!/brokertest|postgrestest|appliertest|\/pkg\/dev\// {print $$1}') ./pkg/dev/shipping

.PHONY: check
check: ## the quick loop: format, vet, and the tests that need no server, in a minute once built
	@test -z "$$(go run $(GOFUMPT) -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$') | tee /dev/stderr)" || \
		{ echo "not formatted: run make fmt"; exit 1; }
	go vet $(PACKAGES)
	@go test $(QUICK)

# Tests start the programs, of which Go's cache of test results knows nothing:
# -count=1 has them run. They are those of `make build`: linked once, not once a package.
# The longest package is named first, so that it does not run last and alone. -w leaves
# out what only a debugger reads, a quarter of the time to link a package's tests.
.PHONY: test
test: build ## run all tests, list what was skipped (installs PostgreSQL on Debian or Ubuntu, as root)
	@bin/devstack ensure-postgres
	@go build -o bin/tools/ ./pkg/dev/cmd/gotest
	@COINHOOK_BIN_DIR=$(CURDIR)/bin bin/tools/gotest -count=1 -timeout 25m -ldflags=-w ./pkg/dev/e2e $(PACKAGES)

.PHONY: race
race: build ## run all tests with the race detector (needs a C compiler)
	@bin/devstack ensure-postgres
	@go build -o bin/tools/ ./pkg/dev/cmd/gotest
	@bin/tools/gotest -race -count=1 -timeout 40m $(PACKAGES)

.PHONY: lint
lint: ## check format, vet, staticcheck, and that each module builds alone
	@test -z "$$(go run $(GOFUMPT) -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$') | tee /dev/stderr)" || \
		{ echo "not formatted: run make fmt"; exit 1; }
	go vet $(PACKAGES)
	@for m in $(MODULES); do \
		echo "$$m alone"; \
		(cd $$m && GOWORK=off go list -export ./... >/dev/null && GOWORK=off go run $(STATICCHECK) ./...) || exit 1; \
	done

.PHONY: vuln
vuln: ## look for known vulnerabilities; says so if the database cannot be reached
	@GOVULNCHECK=$(GOVULNCHECK) .ci/vuln $(MODULES)

.PHONY: notices
notices: ## write THIRD_PARTY_NOTICES.txt, the licences of all that is shipped
	go test -count=1 ./pkg/dev/shipping -write

.PHONY: release
release: ## make the archives of a release in dist, with checksums: VERSION=v1.2.3
	@CYCLONEDX=$(CYCLONEDX) .ci/release "$$VERSION"

.PHONY: fmt
fmt: ## format the code
	go run $(GOFUMPT) -w $$(git ls-files '*.go' | grep -v '\.pb\.go$$')

.PHONY: measure-console
measure-console: ## measure every page of the console with a million deliveries, or DELIVERIES=10000 and more
	COINHOOK_MEASURE_DELIVERIES=$(DELIVERIES) go test -tags measure -run TestPagesOfAMillionDeliveries -count=1 -timeout 30m -v ./applier/console

.PHONY: bench
bench: build ## measure Coinhook side by side with a peer and with bare servers: PART=sustained,open
	@bin/devstack ensure-postgres
	go run ./pkg/dev/bench -part "$(PART)"

# SEED=7 ROUNDS=20 DURATION=10m FIRST=3 ONLY=partition choose the faults; see
# docs/operate/faults.md.
FAULTS := bin/faults
.PHONY: bin/faults
bin/faults:
	@go build -o bin/ ./pkg/dev/cmd/faults

.PHONY: faults
faults: bin/faults ## run a campaign of faults for an hour (root on Linux): SEED=, ROUNDS=, DURATION=
	@exec $(FAULTS) -seed $(or $(SEED),0) -rounds $(or $(ROUNDS),0) -first $(or $(FIRST),0) -duration $(or $(DURATION),1h) \
		-only "$(ONLY)" $(if $(DIR),-dir $(DIR))

.PHONY: faults-short
faults-short: build bin/faults ## run the most telling faults, 3 minutes at most
	@if why=$$($(FAULTS) -can); then exec $(FAULTS) -short -bin bin -seed $(or $(SEED),1) -duration 100s; \
		else echo "NOT TESTED with faults: $$why" >&2; fi

.PHONY: docs
docs: ## write the generated pages of docs/reference: settings, commands, metrics
	go test -count=1 ./pkg/dev/reference -write

.PHONY: screenshots
screenshots: ## make the pictures of the documents again, and with PAGES=DIR of every page (needs Chromium)
	go test -count=1 -timeout 20m -run '^TestScreenshots$$' ./pkg/dev/e2e -screenshots $(CURDIR)/docs/images \
		$(if $(PAGES),-every-page $(abspath $(PAGES)))

.PHONY: faults-check
faults-check: ## check that the checks of the campaign catch planted bugs
	COINHOOK_FAULTS_CHECK=1 go test -count=1 -timeout 20m -run TestAPlantedFault ./pkg/dev/faults

.PHONY: generate
generate: ## generate the Go code of the .proto files again
	@mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install $(PROTOC_GEN_GO)
	cd proto && PATH=$(CURDIR)/bin/tools:$$PATH go run $(BUF) lint && PATH=$(CURDIR)/bin/tools:$$PATH go run $(BUF) generate
