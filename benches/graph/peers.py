#!/usr/bin/env python3
"""Other libraries at the work of `cargo bench -p kinetograph-benches --bench neighbours -- rates ...`.

    python3 benches/graph/peers.py ROWS D INSERTS [faiss usearch hnswlib]

Reads the vectors (and lists, where one cell was searched) that the bench left in target/bench for ROWS + INSERTS nodes,
compares the lists with faiss's flat search first, then times: faiss, queries of the last INSERTS vectors against the first
ROWS; usearch and hnswlib, adding the last INSERTS to an index of the first ROWS, with recall@10 against flat search, then
deleting as many, evenly over the first ROWS. Libraries come from PyPI into target/bench/venv, two threads each. Results are appended to target/bench/neighbours.json.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "target" / "bench"
PACKAGES = {"numpy": "2.4.6", "faiss-cpu": "1.15.1", "usearch": "2.26.6", "hnswlib": "0.8.0"}
K = 10
THREADS = 2


def in_venv(script):
    """Runs `script` again inside the virtual environment, made first if need be."""
    venv = BENCH / "venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix) == venv:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    raise SystemExit(subprocess.run([python, script, *sys.argv[1:]]).returncode)


def tell(**result):
    line = json.dumps(result)
    print(line, flush=True)
    with open(BENCH / "neighbours.json", "a") as results:
        results.write(line + "\n")
    return result


def timed(work):
    begun = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun


def flat(vectors):
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def same_lists(vectors, name):
    """Our lists against flat search, up to ties within rounding: the scores at each rank are the same."""
    import numpy as np

    path = BENCH / f"lists-{name}.bin"
    if not path.exists():
        print(f"no {path.name}: lists are not compared", file=sys.stderr)
        return
    lists = np.fromfile(path, dtype="<u4").reshape(-1, K)
    sample = np.arange(0, len(vectors), max(1, len(vectors) // 1000))
    scores, _ = flat(vectors).search(vectors[sample], K + 1)
    ours = np.einsum("nkd,nd->nk", vectors[lists[sample]], vectors[sample])
    worst = np.abs(ours - scores[:, 1:]).max()
    assert worst < 1e-5, f"lists differ from flat search by {worst}"
    print(f"{len(sample)} lists are flat search's, scores within {worst:.1e}")


def faiss_rate(vectors, rows):
    index = flat(vectors[:rows])
    queries = vectors[rows:]
    index.search(queries[:100], K)
    seconds = min(timed(lambda: index.search(queries, K))[1] for _ in range(2))
    rate = len(queries) / seconds
    gflops = 2 * rows * vectors.shape[1] * rate / 1e9
    return tell(what="faiss flat", rows=rows, d=vectors.shape[1], queries_per_s=round(rate), gflops=round(gflops, 1))


def recall(vectors, queries, found, worst):
    """The share of the found rows that score no less than the worst of the exact ones, up to rounding: equal vectors may stand for each other."""
    import numpy as np

    scores = np.einsum("nkd,nd->nk", vectors[found.astype(np.int64)], queries)
    return float((scores >= worst[:, None] - 1e-6).mean())


def graph_rate(what, vectors, rows, add, search, delete):
    import numpy as np

    inserts = len(vectors) - rows
    _, load_s = timed(lambda: add(0, rows))
    _, insert_s = timed(lambda: add(rows, len(vectors)))
    sample = np.arange(rows, len(vectors), max(1, inserts // 500))
    exact, _ = flat(vectors).search(vectors[sample], K)
    found = search(vectors[sample])
    gone = np.arange(0, rows, rows // inserts)[:inserts]
    _, delete_s = timed(lambda: delete(gone))
    assert not np.isin(search(vectors[gone[:500]]), gone).any(), f"{what} finds what was deleted"
    return tell(
        what=what, rows=rows, d=vectors.shape[1], load_per_s=round(rows / load_s), inserts_per_s=round(inserts / insert_s),
        deletes_per_s=round(inserts / delete_s), recall_at_10=round(recall(vectors, vectors[sample], found, exact[:, -1]), 4),
    )


def usearch_rate(vectors, rows):
    import numpy as np
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=128, expansion_search=256)
    keys = np.arange(len(vectors), dtype=np.uint64)
    return graph_rate(
        "usearch", vectors, rows,
        lambda first, last: index.add(keys[first:last], vectors[first:last], threads=THREADS),
        lambda queries: index.search(queries, K, threads=THREADS).keys,
        lambda gone: index.remove(keys[gone], threads=THREADS),
    )


def hnswlib_rate(vectors, rows):
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=128)
    index.set_ef(256)
    return graph_rate(
        "hnswlib", vectors, rows,
        lambda first, last: index.add_items(vectors[first:last], range(first, last), num_threads=THREADS),
        lambda queries: index.knn_query(queries, K, num_threads=THREADS)[0],
        lambda gone: [index.mark_deleted(label) for label in gone.tolist()],
    )


RATES = {"faiss": faiss_rate, "usearch": usearch_rate, "hnswlib": hnswlib_rate}


def left_vectors(rows, d, inserts):
    """What the bench left in target/bench: the vectors, and the name they have there."""
    import numpy as np

    name = f"{rows + inserts}x{d}"
    path = BENCH / f"vectors-{name}.bin"
    if not path.exists():
        sys.exit(f"{path} is missing: run the bench with rates {rows} {d} ... {inserts} ... first")
    return np.fromfile(path, dtype="<f4").reshape(-1, d), name


def main():
    rows, d, inserts = map(int, sys.argv[1:4])
    which = sys.argv[4:] or list(RATES)
    vectors, name = left_vectors(rows, d, inserts)
    if "faiss" in which:
        same_lists(vectors, name)
    for library in which:
        RATES[library](vectors, rows)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    BENCH.mkdir(parents=True, exist_ok=True)
    in_venv(__file__)
    main()
