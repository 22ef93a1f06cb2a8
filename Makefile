# make run and make test set up everything that they need. make help lists the other targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TOOL    := go tool -modfile=tools/build/go.mod
# Tests mostly wait (leases, graces), so more tests and packages run at a time than the machine has cores. make lint vets.
# Without debug information, which stack traces don't need, linking takes half as long. Tests have deadlines of their own:
# -timeout is for a hang outside of them, and longer than a package takes on a machine ten times slower.
TESTFLAGS ?= -vet=off -ldflags=-s -shuffle=on -p 4 -parallel 16 -timeout 2h

# As what ships is built, so that tests, builds and linters share one build cache. The race detector needs cgo.
export GOFLAGS ?= -trimpath
export CGO_ENABLED ?= 0

# What make drills measured.
DRILLS_REPORT ?= $(or $(TMPDIR),/tmp)/staykey-drills.jsonl

.PHONY: help run build test race bench chaos chaos-mutants lint fmt generate generated browser screenshots proxy-test webhooks-test clients-test openapi-lint monitoring-test drills prometheus patroni kubernetes-test licences vulnerabilities release compose-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Postgres, a simulated Seam and the service on 127.0.0.1:8080
	@echo "Building staykey (the first build takes a minute or two)..."
	@set -o pipefail; $(MAKE) --no-print-directory build BUILDFLAGS=-v 2>&1 | \
	  awk '/^[^ ]+$$/ { if (++n % 50 == 0) { print "  " n " packages built"; fflush() } next } { print }'
	@exec ./bin/staykey serve --dev

build: ## build bin/staykey
	@CGO_ENABLED=0 go build $(BUILDFLAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/staykey ./cmd/server

# Rigs that draw their cases at random draw a quarter of them in make test; make chaos and plain go test draw more.
FEWER := STAYKEY_MATRIX_CELLS=50 STAYKEY_MATRIX_PAIRS=15 STAYKEY_OVERTAKEN=8 STAYKEY_MODEL_HISTORIES=8 STAYKEY_UNKIND_STEPS=120 STAYKEY_WORLD_ROUNDS=25 STAYKEY_SWEPT_KEYS=500 \
  STAYKEY_APPLY_ROUNDS=4 STAYKEY_DELIVERY_DEATHS=20 STAYKEY_DELIVERY_KILLS=2 STAYKEY_GUEST_DEATHS=15 STAYKEY_GUEST_KILLS=2 STAYKEY_WRITE_BACK_DEATHS=2 STAYKEY_WRITE_BACK_POINTS=1 \
  STAYKEY_CRASH_KILLS=2 STAYKEY_POSTGRES_KILLS=1

test: ## run every test, against a real Postgres; rigs with random cases draw a quarter of them
	@$(FEWER) STAYKEY_CRASH_POINTS=1 STAYKEY_GUEST_POINTS=1 STAYKEY_NETWORK_CUTS=1 \
	  go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format pkgname --hide-summary skipped -- $(TESTFLAGS) ./...

# Under the race detector a test costs up to ten times as much, and repetitions find no other races. So make race leaves
# out what works in one goroutine, and of the tests that start the program those whose subject is not concurrency.
RACE_PACKAGES = $(shell go list ./... | grep -vE '/(cmd/server|migrations|tools/.*|docs/.*|deploy/.*|internal/(config|localpg.*|pms|retention|stay|provisioner/plan|provisioner/record))$$')
RACE_PROGRAM := ^Test(ASubscriptionIsAddedWhileRunning|BackupCode|EventsOut|GracefulStop|GuestLink|GuestsAtDoors|NetworkCut|OneTrace|PostgresKilled|ReadmeFromKeyToPhone|Reload|ReloadByHTTP|ReplicasFollowTheDecidedPolicy|SeamsEvent|SecondSignalEndsAtOnce|SlowClientsAreCutOff|SourceInUseCannotVanish|StalledWorker|StopDelay|Story|StrangersHoldConnections|WriteBackFromWebhookToField)$$
# These repeat one course with another fault, payload or scope each; the first of each kind is tried by another test.
RACE_SKIP := ^Test(OptionalFieldsThatAreMissing|ReissueMeetsFaults|FaultsOfBackupCodes|OneWrongNotFoundDuringAReconcile|EveryRouteWithEveryScope|EveryChangeIsAudited|CancelsOfPMSs|HintsOfPMSs|AnEndOfAStayInAnotherSpelling|RoomsOfCloudbeds|PagesMeetNonsense|ExportIsBounded)$$
RACE_FEWER := $(FEWER) STAYKEY_MATRIX_CELLS=10 STAYKEY_MATRIX_PAIRS=3 STAYKEY_MODEL_HISTORIES=3 STAYKEY_UNKIND_STEPS=40 STAYKEY_WORLD_ROUNDS=8 \
  STAYKEY_DELIVERY_DEATHS=8 STAYKEY_GUEST_DEATHS=6 STAYKEY_APPLY_ROUNDS=2 STAYKEY_CRASH_POINTS=0 STAYKEY_GUEST_POINTS=0 STAYKEY_NETWORK_CUTS=1

race: export CGO_ENABLED = 1
race: ## run the tests of concurrent code under the race detector, the rigs with fewer rounds
	@$(RACE_FEWER) go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format pkgname --hide-summary skipped -- -race $(TESTFLAGS) -skip '$(RACE_SKIP)' $(RACE_PACKAGES)
	@$(RACE_FEWER) go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format pkgname --hide-summary skipped -- -race $(TESTFLAGS) -run '$(RACE_PROGRAM)' ./cmd/server

# Tools from npm, installed once.
WEB := tools/web/node_modules/.package-lock.json

$(WEB): tools/web/package.json tools/web/package-lock.json
	@npm ci --prefix tools/web --no-audit --no-fund --ignore-scripts --loglevel error && touch $@

# The tests of the program that need something else, by their names. One set of tags compiles them once.
TAGS := browser,clients,monitoring,proxy

browser: $(WEB) ## test the web page in Chromium (needs chromium and npm)
	@go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags $(TAGS) -run '^TestPage' -timeout 30m ./cmd/server

screenshots: ## take the pictures of docs/screens.md and docs/admin.md (needs chromium)
	@SCREENSHOTS=$(CURDIR)/docs/images go run ./internal/localpg/pgtest/run go test -tags $(TAGS) -count 1 -run '^Test(Guest|Hotel)?Screenshots$$' -timeout 30m ./cmd/server

webhooks-test: $(WEB) ## verify messages to subscriptions with the official libraries, and run docs/samples (needs npm, python3, php)
	@command -v php >/dev/null || { echo "needs PHP (Debian, Ubuntu: sudo apt-get install -y php-cli)"; [ "$$(id -u)" = 0 ] && apt-get update -q >/dev/null && RUNLEVEL=1 apt-get install -y -q --no-install-recommends php-cli >/dev/null; }
	@go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags webhooks -count 1 -run '^(TestOfficialLibraries|TestSamples)$$' -timeout 5m ./internal/notify

clients-test: $(WEB) ## generate clients in TypeScript and Go from docs/openapi.json, compile them, and run them (needs npm)
	@cd tools/web && node_modules/.bin/openapi-typescript ../../docs/openapi.json -o client/api.gen.ts >/dev/null && node_modules/.bin/tsc -p client
	@cd tools/build && go tool oapi-codegen -generate types,client -package main -o client/client.gen.go ../../docs/openapi.json
	@go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags $(TAGS) -count 1 -run '^TestGeneratedClients$$' -timeout 5m ./cmd/server; failed=$$?; rm -rf tools/build/client/client.gen.go tools/web/client/api.gen.ts tools/web/client/out; exit $$failed

openapi-lint: $(WEB) ## check docs/openapi.json with Redocly's recommended rules (needs npm)
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true tools/web/node_modules/.bin/redocly lint --format json docs/openapi.json 2>/dev/null | node -e 'const r = JSON.parse(require("fs").readFileSync(0)); for (const p of r.problems) console.error(p.severity, p.ruleId, p.message, p.location?.[0]?.pointer); if (r.totals.errors + r.totals.warnings) process.exit(1); console.log("docs/openapi.json: no error, no warning")'

kubernetes-test: ## build deploy/kubernetes and check it against Kubernetes' types
	@cd tools/build && go test ./kubernetes

monitoring-test: prometheus ## test the alert rules with promtool, and with a real Prometheus while Postgres is taken away
	@$(TEST_ALERTS)

# Not a call of make in the recipe of drills: make runs such a recipe even with -n.
TEST_ALERTS = promtool check rules deploy/monitoring/alerts.yml && promtool test rules deploy/monitoring/alerts_test.yml && \
  go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags $(TAGS) -count 1 -timeout 20m -run '^Test(AlertsFire|DashboardQueries)$$' ./cmd/server

proxy-test: ## run nginx as docs/operations.md configures it, in front of the service
	@command -v nginx >/dev/null || { echo "needs nginx (Debian, Ubuntu: sudo apt-get install -y nginx-light)"; [ "$$(id -u)" = 0 ] && apt-get update -q >/dev/null && RUNLEVEL=1 apt-get install -y -q --no-install-recommends nginx-light >/dev/null; }
	@go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags $(TAGS) -count 1 -timeout 5m -run '^TestNginxOfTheDocs$$' ./cmd/server

drills: prometheus patroni ## repeat what goes wrong in operation (disks, locks, networks, failovers, stops, upgrades, restores), measure it, and print a table; about 25 minutes
	@rm -f $(DRILLS_REPORT); failed=0; export STAYKEY_DRILLS_REPORT=$(DRILLS_REPORT); \
	  { $(TEST_ALERTS); } || failed=1; \
	  go run ./internal/localpg/pgtest/run $(TOOL) gotestsum --format testname -- -tags drills -count 1 -timeout 60m -run '^TestDrills$$' ./cmd/server || failed=1; \
	  go run ./tools/drill/table $(DRILLS_REPORT) && exit $$failed

prometheus:
	@{ command -v prometheus && command -v promtool; } >/dev/null || { echo "needs Prometheus (Debian, Ubuntu: sudo apt-get install -y prometheus)"; [ "$$(id -u)" = 0 ] && apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends prometheus >/dev/null; }

patroni:
	@{ command -v patroni && command -v etcd; } >/dev/null || { echo "failovers need Patroni and etcd (Debian, Ubuntu: sudo apt-get install -y patroni etcd-server)"; if [ "$$(id -u)" = 0 ]; then apt-get update -q >/dev/null && RUNLEVEL=1 apt-get install -y -q --no-install-recommends patroni etcd-server >/dev/null; fi; }

chaos: ## run the fault-injection rigs for half an hour and print their results
	@go run ./internal/localpg/pgtest/run go run ./tools/chaos/run

chaos-mutants: ## remove each protection in turn; a rig must fail each time (MUTANTS="-only REGEXP" for some)
	@go run ./internal/localpg/pgtest/run go run ./tools/chaos/mutants $(MUTANTS)

bench: build ## measure speed, as ratios to a baseline in the same run (REPLICAS=3, BIG=1 for more)
	@go run ./tools/bench

# gosec's G601 is about loop variables before Go 1.22. For each place it starts a program to learn the version of Go.
lint: ## vet, staticcheck, gofumpt, gosec, complexity, English
	@go vet ./... && go vet -tags chaos ./internal/point && go vet -tags browser,monitoring,drills,clients,proxy ./cmd/server && go vet -tags webhooks ./internal/notify && go vet -tags compose ./deploy/compose
	@$(TOOL) staticcheck ./...
	@unformatted="$$($(TOOL) gofumpt -l .)"; if [ -n "$$unformatted" ]; then echo "not gofumpt'd (make fmt):"; echo "$$unformatted"; exit 1; fi
	@$(TOOL) gosec -quiet -exclude=G601 -exclude-dir=tools/build ./...
	@$(TOOL) gocyclo -over 15 -ignore '_test\.go|node_modules' . || { echo "too complex (over 15): split them"; exit 1; }
	@go run ./tools/lint

fmt: ## format the code
	@$(TOOL) gofumpt -w .

generate: ## write the generated files
	@go run ./cmd/server openapi > docs/openapi.json
	@go run ./cmd/server openapi --event-schema > docs/event.schema.json
	@cd tools/build && go run ./windowszones > ../../internal/pms/windowszones.go.new && mv ../../internal/pms/windowszones.go.new ../../internal/pms/windowszones.go

generated: ## fail if a generated file is out of date
	@go run ./cmd/server openapi | diff -u docs/openapi.json - || { echo "docs/openapi.json is not up to date: make generate"; exit 1; }
	@go run ./cmd/server openapi --event-schema | diff -u docs/event.schema.json - || { echo "docs/event.schema.json is not up to date: make generate"; exit 1; }
	@cd tools/build && go run ./windowszones | diff -u ../../internal/pms/windowszones.go - || { echo "internal/pms/windowszones.go is not up to date: make generate"; exit 1; }
	@go mod tidy -diff && (cd tools/build && go mod tidy -diff)

licences: ## fail if docs/licences.md is out of date or has a forbidden licence (make licences WRITE=1 writes it)
	@go run ./tools/licences $(if $(WRITE),-write)

vulnerabilities: ## look for known vulnerabilities (needs the network)
	@go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

release: ## build dist/: linux/amd64 and linux/arm64, with checksums, bill of materials (CycloneDX) and provenance (SLSA)
	@rm -rf dist && mkdir -p dist
	@for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o dist/staykey ./cmd/server && \
	  (cd tools/build && go run ./sbom ../../dist/staykey $(VERSION)) > dist/staykey-$(VERSION)-linux-$$arch.cdx.json && \
	  tar -C dist -czf dist/staykey-$(VERSION)-linux-$$arch.tar.gz --sort=name --mtime=@0 --owner=0 --group=0 staykey -C .. LICENSE README.md docs/licences.md && rm dist/staykey || exit 1; \
	done
	@cd dist && sha256sum *.tar.gz *.cdx.json > SHA256SUMS
	@cd tools/build && go run ./provenance ../../dist/SHA256SUMS $(VERSION) $$(git rev-parse HEAD) > ../../dist/staykey-$(VERSION).intoto.json

compose-test: ## start docker-compose.yml unchanged, and restart each container in turn (needs Docker)
	@go test -tags compose -count 1 -v -timeout 10m -run '^TestCompose' ./deploy/compose

clean: ## remove build results and the data of make run
	@go run ./cmd/server dev clean
	@rm -rf bin dist
