# make demo   the main job on real video; make demo VIDEO=path for one's own
# make test   all tests
# make bench  first figures of the engine, and of the stores it was chosen from
# make bench-tracking  the tracker's accuracy beside OpenCV's KCF; needs videos with known boxes (KINETOGRAPH_DATA)
# make bench-neighbours  the neighbours' kernel beside GEMM crates, inserts and deletes beside faiss, usearch and hnswlib, up to a million nodes;
#                        with KINETOGRAPH_DATA over real crops, too; MILLION=1: a million nodes in one exact cell and the others, too
# make bench-closure  clusters, pairs and classes against other ways, at 100 000 and a million nodes
# make bench-graph  both of these: tables to the terminal and to target/bench/*.json
# make soak-graph     10 000 rounds of random changes against the recomputes
# They install what they lack first.

CARGO ?= cargo
VIDEO ?=
MILLION ?=
CROPS := target/bench/crops.safetensors
NEIGHBOURS := $(CARGO) bench --quiet -p kinetograph-benches --bench neighbours --
DEMO := target/demo

.PHONY: demo test setup lint bench bench-tracking bench-neighbours bench-crops bench-closure bench-graph soak-graph clean-demo help

help:
	@sed -n '1,10s/^# //p' Makefile

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
	$(CARGO) bench --quiet -p kinetograph-benches --bench store

bench-tracking: setup
	$(CARGO) build --release --quiet
	@[ -x target/venv/bin/python ] || python3 -m venv target/venv
	target/venv/bin/python -m pip install -q --disable-pip-version-check opencv-contrib-python-headless
	target/venv/bin/python benches/tracking.py

bench-neighbours: cargo-present
	$(NEIGHBOURS) kernels
	python3 benches/graph/paired.py 10000 128 2000 --rounds 3
	python3 benches/graph/paired.py 10000 512 2000 --rounds 3
	python3 benches/graph/paired.py 100000 128 2000
	python3 benches/graph/paired.py 100000 512 2000
	$(if $(MILLION),for d in 128 512; do python3 benches/graph/paired.py 1000000 $$d 2000 --once || exit 1; done)
	python3 benches/graph/grown.py
	$(NEIGHBOURS) growth 100000000
	$(NEIGHBOURS) memory 100000 256 63
	$(if $(KINETOGRAPH_DATA),$(MAKE) bench-crops)

# Real vectors, and the curve of cells looked into over them: rows of a cell at most, cells, and how far the others may be.
CURVE := 0,1,0 65536,1,0 65536,2,1.02 65536,2,1.05 32768,1,0 32768,2,1.05 32768,2,0 16384,1,0 16384,3,1.08 16384,2,0 4096,1,0 4096,4,1.12
bench-crops: $(CROPS)
	python3 benches/graph/paired.py 90000 688 10000 $(CROPS) --cells 65536,2,1.02
	for cells in $(CURVE); do \
	  set -- $$(echo $$cells | tr , ' '); \
	  $(NEIGHBOURS) rates 90000 688 2 $$1 $$2 10000 500 $(abspath $(CROPS)) threaded within=$$3 || exit 1; \
	done

$(CROPS):
	@[ -n "$(KINETOGRAPH_DATA)" ] || { echo "KINETOGRAPH_DATA names no folder with pictures" >&2; exit 1; }
	$(MAKE) setup
	$(CARGO) build --release --quiet
	python3 benches/graph/crops.py target/release/kinetograph 100000 $(KINETOGRAPH_DATA)

bench-closure: cargo-present
	$(CARGO) bench --quiet -p kinetograph-benches --bench closure

bench-graph: bench-neighbours bench-closure

soak-graph: cargo-present
	KINETOGRAPH_SOAK_ROUNDS=10000 $(CARGO) test --release -p kinetograph-dataflows --lib soak -- --nocapture

clean-demo:
	rm -rf $(DEMO)
