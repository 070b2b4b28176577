# make demo   the main job on real video; make demo VIDEO=path for one's own
# make test   all tests
# make bench  first figures of the engine, and of the stores it was chosen from
# make bench-tracking  the tracker's accuracy beside OpenCV's KCF; needs videos with known boxes (KINETOGRAPH_DATA)
# make bench-neighbours  the neighbours' kernel beside GEMM crates, inserts and deletes beside faiss, usearch and hnswlib; MILLION=1: a million nodes, too
# make bench-closure  clusters, pairs and classes against other ways, at 100 000 and a million nodes
# make bench-graph  both of these: tables to the terminal and to target/bench/*.json
# make soak-graph     10 000 rounds of random changes against the recomputes
# They install what they lack first.

CARGO ?= cargo
VIDEO ?=
MILLION ?=
CROPS := target/bench/crops.safetensors
DEMO := target/demo

.PHONY: demo test setup lint bench bench-tracking bench-neighbours bench-closure bench-graph soak-graph clean-demo help

help:
	@sed -n '1,9s/^# //p' Makefile

setup: cargo-present
	@scripts/setup.sh system libtorch

.PHONY: cargo-present
cargo-present:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer (rustup.rs) and try again" >&2; exit 1; }

demo: setup
	@$(if $(VIDEO),:,scripts/setup.sh videos)
	@scripts/demo.sh $(VIDEO)

test: setup
	@scripts/setup.sh videos
	@scripts/test.sh

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: setup
	@scripts/setup.sh videos
	$(CARGO) build --release --quiet
	python3 benches/engine.py $(VIDEO)
	$(CARGO) bench --quiet --bench store --no-default-features

bench-tracking: setup
	$(CARGO) build --release --quiet
	@[ -x target/venv/bin/python ] || python3 -m venv target/venv
	target/venv/bin/python -m pip install -q --disable-pip-version-check opencv-contrib-python-headless
	target/venv/bin/python benches/tracking.py

bench-neighbours: cargo-present
	$(CARGO) bench --quiet -p kinetograph-dataflows --bench neighbours -- kernels
	python3 benches/graph/paired.py 10000 128 2000 --rounds 3
	python3 benches/graph/paired.py 100000 128 2000
	python3 benches/graph/paired.py 100000 512 2000
	$(if $(wildcard $(CROPS)),python3 benches/graph/paired.py 90000 688 2000 $(CROPS))
	$(if $(MILLION),python3 benches/graph/paired.py 1000000 128 2000)
	$(CARGO) bench --quiet -p kinetograph-dataflows --bench neighbours -- growth 10000000
	$(CARGO) bench --quiet -p kinetograph-dataflows --bench neighbours -- memory 100000 256 63

bench-closure: cargo-present
	$(CARGO) bench --quiet -p kinetograph-dataflows --bench closure

bench-graph: bench-neighbours bench-closure

soak-graph: cargo-present
	KINETOGRAPH_SOAK_ROUNDS=10000 $(CARGO) test --release -p kinetograph-dataflows --lib graph::closure::tests::soak -- --nocapture

clean-demo:
	rm -rf $(DEMO)
