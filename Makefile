# Everything a fresh machine needs: cargo, a C++ compiler, Python 3 with pip, make.

.PHONY: help demo test setup build install lint bench bench-peer clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     set up, build, train a small sweep, make its report"
	@echo "make test     set up, build, run the whole test suite"
	@echo "make install  put sweep on the PATH"
	@echo "make setup    only fetch libtorch, the model and the data"
	@echo "make lint     rustfmt and clippy, as CI runs them"
	@echo "make bench-peer  sweep beside the Trainer of transformers, in turn; needs GLUE files (SWEEP_DATA) and hours"
	@echo "make bench    every bar in one table: the coordinator, records, methods, and the Trainer where it is set up"

# Trains anew under demo/: results/ holds the records that the README's pictures were made from.
demo: build
	target/release/sweep run sweeps/quickstart.toml --results demo/results
	target/release/sweep report sweeps/quickstart.toml --results demo/results --out demo/report

test: setup
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --release; \
	else \
	  cargo test --release --all-targets; \
	fi

setup:
	@scripts/fetch-libtorch.sh
	@scripts/fetch-demo.sh

# One profile for programs and tests: polars and torch-sys compile once.
build: setup
	@cargo build --release --bins

install: setup
	cargo install --path . --locked --force

lint: setup
	cargo fmt --all -- --check
	cargo clippy --release --all-targets -- -D warnings

# Every bar in one table. Beside the Trainer only where .peer and GLUE files are; PAIRS=1 is quicker.
PAIRS ?= 3
bench: build
	@python3 benches/all.py --pairs $(PAIRS)

# The same training by the Trainer of transformers, in a virtual environment of its own (5 GB).
bench-peer: build .peer/complete
	@python3 benches/peer.py

.peer/complete:
	python3 -m venv .peer
	.peer/bin/pip install -q torch==2.11.0 transformers==5.17.0 accelerate scipy scikit-learn
	@touch $@

clean:
	rm -rf target .libtorch .peer models data demo results/cache results/masks
