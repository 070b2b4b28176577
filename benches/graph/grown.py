#!/usr/bin/env python3
"""What an insert takes as the graph grows: the rate at a million nodes against that at ten thousand, in turns.

    python3 benches/graph/grown.py [ROUNDS]

A round is 10,000 nodes twice, 100,000, a million, and 10,000 twice again, each `cargo bench -p kinetograph-benches --bench
neighbours -- rates NODES 128 1 4096 1 5000 500`: clustered vectors in cells of at most 4,096, one worker with one thread. Compared is
the rate over the last half of the nodes, 2,000 an epoch, in which every cell divides once, whatever the size; ratios are of the medians.
Then 10,000 twice and a million with `load=500`, the same with 500 an epoch: so few bring each of a million's cells one or two.
"""

import sys
from statistics import median

sys.dont_write_bytecode = True

from paired import rates
from peers import BENCH, tell

SIZES = (10_000, 10_000, 100_000, 1_000_000, 10_000, 10_000)
SMALL = 500
SIZES_SMALL = (10_000, 1_000_000, 10_000)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    runs = {nodes: [] for nodes in SIZES}
    few = {nodes: [] for nodes in SIZES_SMALL}
    for _ in range(rounds):
        for nodes in SIZES:
            runs[nodes].append(rates(nodes, 128, 1, 4096, 1, 5000, 500))
        for nodes in SIZES_SMALL:
            few[nodes].append(rates(nodes, 128, 1, 4096, 1, 5000, 500, f"load={SMALL}"))
    middle = {nodes: median(run["doubling_per_s"] for run in told) for nodes, told in runs.items()}
    middle_few = {nodes: median(run["doubling_per_s"] for run in told) for nodes, told in few.items()}
    print(f"\n{'nodes':>9}{'over the last doubling, inserts/s':>35}{'10,000 / it':>13}{'500 an epoch':>14}{'10,000 / it':>13}{'5,000 more':>12}{'deletes/s':>11}")
    for nodes, told in runs.items():
        inserts, deletes = (median(run[key] for run in told) for key in ("inserts_per_s", "deletes_per_s"))
        rate = middle_few.get(nodes)
        of_few = f"{rate:14.0f}{middle_few[10_000] / rate:13.2f}" if rate else " " * 27
        print(f"{nodes:9}{middle[nodes]:35.0f}{middle[10_000] / middle[nodes]:13.2f}{of_few}{inserts:12.0f}{deletes:11.0f}")
    longer = {nodes: round(middle[10_000] / rate, 4) for nodes, rate in middle.items()}
    longer_few = {nodes: round(middle_few[10_000] / rate, 4) for nodes, rate in middle_few.items()}
    tell(what="grown", rounds=rounds, doubling_per_s=middle, times_as_long_as_at_10000=longer, doubling_per_s_of_500=middle_few, times_as_long_of_500=longer_few)


if __name__ == "__main__":
    BENCH.mkdir(parents=True, exist_ok=True)
    main()
