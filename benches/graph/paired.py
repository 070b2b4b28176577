#!/usr/bin/env python3
"""Our neighbours and other libraries at the same work in one run, in turns.

    python3 benches/graph/paired.py ROWS D INSERTS [FILE.safetensors] [--rounds N] [--once] [--cells CAP,P,WITHIN] [--kernel K] [--storage S]

A round is: ours, faiss, usearch, hnswlib; after the last, ours once more, unless --once. Ours is `cargo bench -p kinetograph-benches
--bench neighbours -- rates ROWS D 2 0 1 INSERTS 500 threaded`, one exact cell for all, searched on two threads; its lists are compared with
faiss's flat search before any of the others is timed. With --cells, after it each time ours once more in cells of at most CAP rows, a
node probing P of them at most, others only within WITHIN times the distance to its own one's centroid; its recall is
against those lists. What the others do is told in peers.py. Ratios are of the medians.

With --kernel or --storage ours multiplies by these instructions (portable, avx2, avx512vnni), or keeps rows so (f32, words, bytes). The others take what
the processor has all the same.

A full rebuild is flat search of all vectors for each of them, timed on all where that takes under half a minute, else on a
sample of them and told as such.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

from peers import BENCH, K, RATES, flat, in_venv, left_vectors, same_lists, tell, timed

REPOSITORY = BENCH.parents[1]
BATCH = 500
SAMPLE = 1000
CELLS = "ours, cells"
WHOLE_REBUILD_S = 30


def rates(*words):
    """One run of our bench's `rates`: what it tells."""
    cargo = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "-p", "kinetograph-benches", "--bench", "neighbours", "--"]
    run = subprocess.run([*cargo, "rates", *map(str, words)], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    print(run.stdout, end="", flush=True)
    return json.loads(run.stdout.splitlines()[-1])


def ours(rows, d, inserts, file, fixed, cells=(0, 1, 0)):
    """Our rates at the task, on two threads."""
    cap, nprobe, within = cells
    return rates(rows, d, 2, cap, nprobe, inserts, BATCH, *([file] if file else []), "threaded", *fixed, f"within={within}")


def rebuild(vectors):
    """Seconds of flat search of all vectors for each of them, and how many searches were timed."""
    index = flat(vectors)
    count = min(SAMPLE, len(vectors))
    sample = vectors[:: len(vectors) // count][:count]
    index.search(sample[:100], K + 1)
    _, seconds = timed(lambda: index.search(sample, K + 1))
    expected = seconds / count * len(vectors)
    if expected > WHOLE_REBUILD_S:
        return expected, count
    _, seconds = timed(lambda: index.search(vectors, K + 1))
    return seconds, len(vectors)


def measured(rows, d, inserts, file, fixed, rounds, once, cells):
    """The rates of all runs by name; the rebuild."""
    runs = {name: [] for name in ("ours", *([CELLS] if cells else []), *RATES)}

    def all_ours():
        runs["ours"].append(ours(rows, d, inserts, file, fixed))
        if cells:
            runs[CELLS].append(ours(rows, d, inserts, file, fixed, cells))

    for turn in range(rounds):
        all_ours()
        vectors, name = left_vectors(rows, d, inserts)
        if turn == 0:
            same_lists(vectors, name)
        for library, rate in RATES.items():
            runs[library].append(rate(vectors, rows))
    if not once:
        all_ours()
    return runs, rebuild(vectors)


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("rows", "d", "inserts"):
        words.add_argument(name, type=int)
    words.add_argument("file", type=Path, nargs="?")
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--once", action="store_true")
    words.add_argument("--cells", type=lambda text: text.split(","), metavar="CAP,P,WITHIN")
    words.add_argument("--kernel")
    words.add_argument("--storage")
    task = words.parse_args()
    fixed = [f"{name}={value}" for name, value in (("storage", task.storage), ("kernel", task.kernel)) if value]
    in_venv(__file__)
    file = task.file and task.file.resolve()
    runs, (rebuild_s, searches) = measured(task.rows, task.d, task.inserts, file, fixed, task.rounds, task.once, task.cells)

    def middle(name, *keys):
        found = [run[key] for run in runs[name] for key in keys if key in run]
        return median(found) if found else None

    table = {}
    for name in runs:
        # faiss's flat search adds nothing: a query is what an insert costs it.
        rates = (middle(name, "inserts_per_s", "queries_per_s"), middle(name, "deletes_per_s"))
        table[name] = (*rates, 1.0 if name == "faiss" else middle(name, "recall_at_10"))
    # Ours in cells, where it was asked for, is what the others are set against.
    best = table.get(CELLS, table["ours"])
    inserts, deletes, _ = best
    nodes = task.rows + task.inserts
    print(f"\n{task.rows} x {task.d} of {file.name if file else 'clusters'}, {task.inserts} more inserted, as many deleted")
    to_it = "cells / it" if task.cells else "ours / it"
    print(f"{'':14}{'inserts/s':>11}{to_it:>11}{'deletes/s':>12}{to_it:>11}{'recall@10':>11}")
    for name, (rate, gone, recall) in table.items():
        against = f"{gone:12.0f}{deletes / gone:11.3g}" if gone else f"{'-':>12}{'-':>11}"
        print(f"{name:14}{rate:11.0f}{inserts / rate:11.3g}{against}{recall:11.4f}")
    print("ours keeps every list right at each epoch, of old nodes too; faiss: queries of flat search, and nothing kept;")
    print("usearch and hnswlib: no lists kept, a delete is a mark")
    timed_on = "all" if searches == nodes else f"{searches} of"
    print(
        f"a full rebuild by flat search: {rebuild_s:.1f} s, timed on {timed_on} {nodes} searches; ours inserts {inserts * rebuild_s:.0f} in it"
    )
    tell(
        what="paired", of="file" if file else "clustered", rows=task.rows, d=task.d, inserts=task.inserts, rounds=task.rounds,
        medians={name: dict(zip(("inserts_per_s", "deletes_per_s", "recall_at_10"), row)) for name, row in table.items()},
        cells=task.cells, fixed=fixed,
        insert_ratios={name: round(inserts / row[0], 4) for name, row in table.items() if row is not best},
        delete_ratios={name: round(deletes / row[1], 6) for name, row in table.items() if row is not best and row[1]},
        rebuild_s=round(rebuild_s, 2), rebuild_searches=searches,
    )


if __name__ == "__main__":
    BENCH.mkdir(parents=True, exist_ok=True)
    main()
