# `make help` lists what there is. Every target installs what it lacks where it can (apt-get or dnf, as root or through
# sudo) and otherwise says in one line what to install.

CARGO ?= cargo
FLOOD_SECONDS ?= 30
SHELL := /bin/bash
# Not every user has where Debian keeps nginx and haproxy.
export PATH := $(PATH):/usr/sbin:/sbin
.DEFAULT_GOAL := help
.PHONY: help demo test test-quick sim kept flood bench bench-upstreams lab bare lint generate package release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## the main job on this machine: an encrypted cluster of one balancer and two web servers behind real NGINX
	@packaging/require nginx
	@$(CARGO) build --release --locked
	@target/release/weir demo $(DEMO)

# What is set for the lab alone is not for agents, which warn of names that they do not know.
# Tests wait for timers, processes and NGINX five times as long as they compute. Those that measure come afterwards, one at a time.
TEST_THREADS ?= 8
MEASURING := hostile::flood::an_agent load::readers balancer::probe_load apply::timing apply::helper::the_way_through balancer::budget::twenty_servers_that_join_one balancer::budget::a_thousand kept::

test: ## everything that proves weir: unit, property, simulation, against real serf and nginx, packages on systemd hosts (as root)
	@packaging/require serf nginx nginx-stream haproxy python3 ip
	unset $${!WEIR_LAB_@}; RESTART_KILLS=200 $(CARGO) test --locked --features faults -- --include-ignored --test-threads=$(TEST_THREADS) $(MEASURING:%=--skip=%)
	unset $${!WEIR_LAB_@}; $(CARGO) test --locked --features faults --test processes -- --ignored --test-threads=1 $(MEASURING)
	@tests/lab/all

test-quick: ## only what needs nothing installed
	$(CARGO) test --locked

sim: ## a long simulation: SEEDS=20000 SITE_SEEDS=200 make sim
	WEIR_SIM_SEEDS=$${SEEDS:-20000} WEIR_SITE_SEEDS=$${SITE_SEEDS:-200} $(CARGO) test --release --locked --test pure sim -- --nocapture

kept: ## a million requests over kept connections, NGINX reloaded each second, by a newer Debian's NGINX (as root): SUITE=sid
	@WEIR_LAB_SUITE=$(SUITE) CARGO="$(CARGO)" tests/lab/kept

flood: ## ten thousand malformed packets and streams a second at an agent, with and without the key: make flood FLOOD_SECONDS=30
	WEIR_FLOOD_SECONDS=$(FLOOD_SECONDS) $(CARGO) test --release --locked --test processes flood -- --ignored --nocapture

bench: ## weir beside the real serf agent, in one run
	@packaging/require serf nginx
	@$(CARGO) build --release --locked
	@$(CARGO) bench --locked

bench-upstreams: ## what a server that dies, hangs or is cut off costs: weir beside Serf, HAProxy, Caddy and NGINX alone (as root): RUNS=10
	@packaging/require serf nginx haproxy caddy ip curl
	@RUNS=$(RUNS) $(CARGO) $(if $(DEBUG),test --features faults,bench) --locked --bench failover

lab: ## on systemd hosts of this machine (as root), with a report in target/lab: SUITE=trixie, SMOKE=1 for what matters most; LAB=vagrant: the acceptance suite on Vagrant's machines
	@WEIR_LAB_DRIVER=$(LAB) WEIR_LAB_SUITE=$(SUITE) WEIR_LAB_SMOKE=$(SMOKE) tests/lab/all

bare: ## `make demo` and `make test` on a fresh minimal Debian with nothing but Rust, make and git (as root)
	@tests/lab/bare

lint: ## formatting, clippy and the links of the documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

generate: ## packaging/man and packaging/completions anew, after a change of the command line
	WEIR_BLESS=1 $(CARGO) test --locked --test processes manual_pages_and_completions

package: ## out/weir_*.deb and out/weir-*.rpm, portable by zig; for the other architecture too where Rust has its library
	@ARCH=$${ARCH:-all} packaging/build

release: ## packages built twice and compared, SBOM and SHA256SUMS in out/release: ONCE=1 for one build
	@packaging/release

clean: ## remove what was built
	$(CARGO) clean
	rm -rf out
