# make demo    a proxied master with two replicas on this machine; ARGS=--chaos kills the master now and then,
#              ARGS=--zookeeper puts two Understudys in front of them, which agree through ZooKeeper
# make test    vet, staticcheck, SCHEDULES (100000) schedules of the simulated system, and all tests with the race
#              detector, against real servers
# make bench   CPU, throughput and latency against direct Redis, HAProxy and twemproxy
# make clients the tests that the authors of go-redis, redigo, rueidis, ioredis and BullMQ have for them, with a server
#              and through Understudy; writes what passed into docs/compatibility.md; ARGS="-sources DIR" takes the
#              sources of the last two from there instead of having git fetch them
# make fuzz    every fuzz target for FUZZTIME (30s)
#
# demo, test, clients and bench install the servers they need if they are missing, and say so.

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 30s
ARGS     ?=
SCHEDULES ?= 100000

# They say what they leave out where Node.js or a registry is missing, which go test tells only of tests that run with -v.
NODE_TESTS := ^TestNodeClients

# The version comes from VERSION: a clone that git does not trust, or none at all, must build, too.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Debian keeps servers in sbin, which is not in everybody's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: build demo test lint clients bench fuzz generate image clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/understudy ./cmd/understudy

demo:
	@.ci/deps demo $(ARGS)
	@$(MAKE) --no-print-directory build
	@./bin/understudy demo $(ARGS)

test:
	@.ci/deps test
	@$(MAKE) --no-print-directory lint
	go test -timeout 15m -run '^TestTheWholeSystem|^TestTheSimulationFinds' ./monitor -schedules $(SCHEDULES)
	CGO_ENABLED=1 go test -race -timeout 15m -skip '$(NODE_TESTS)' ./...
	CGO_ENABLED=1 go test -race -timeout 5m -v -run '$(NODE_TESTS)' ./internal/transparency

lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

clients:
	@.ci/deps clients
	go test -timeout 90m -v -run '^TestSuitesOfClients' ./internal/transparency -suites -rewrite $(ARGS)

bench:
	@.ci/deps bench
	go run ./internal/bench $(ARGS)

fuzz:
	FUZZTIME=$(FUZZTIME) .ci/fuzz

generate:
	@.ci/deps demo
	go generate ./...

image:
	docker build --build-arg VERSION=$(VERSION) -t understudy:$(VERSION) .

clean:
	rm -rf bin
