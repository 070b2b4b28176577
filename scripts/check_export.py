#!/usr/bin/env python3
"""Computes an export's graph again from its vectors, by brute force, and compares.

    python3 scripts/check_export.py DIR

DIR is what `kinetograph export` or `kinetograph bench graph` wrote.
Needs Python 3 and numpy, and nothing of the program that wrote DIR. Scores here are dot products in double
precision; those of the export are single precision in a fixed order of summation. So two nodes may have changed
places in a list, or a node its cell, where the scores are within 1e-6 of each other; nothing else may differ.
Prints a line for each collection; exits 1 when one differs and 2 when DIR cannot be read.
"""

import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

TOLERANCE = 1e-6
BLOCK = 256  # rows scored at a time


def table(folder, name, columns):
    """Rows of a table as tuples of strings."""
    with open(folder / name, encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")
    if lines.pop() != "" or not lines or lines[0].split("\t") != columns:
        raise ValueError(f"{name}: expected the columns {' '.join(columns)} and a newline at the end")
    rows = [tuple(line.split("\t")) for line in lines[1:]]
    for number, row in enumerate(rows, 2):
        if len(row) != len(columns):
            raise ValueError(f"{name}, line {number}: {len(row)} fields")
    return rows


def tensors(path):
    """Tensors of a safetensors file: the length of a JSON header, the header, the values."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    kinds = {"F32": "<f4", "I64": "<i8"}
    found = {}
    for name, at in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in at["data_offsets"])
            found[name] = np.frombuffer(data[begin:end], kinds[at["dtype"]]).reshape(at["shape"])
    return found


class Codebook:
    """Cells and groups as of an epoch, from the log of decisions."""

    def __init__(self, decisions, epoch):
        self.children = {0: []}
        self.centroid = {}
        self.groups = np.zeros((0, 0))
        for record in decisions:
            if record["effective"] > epoch:
                continue
            ((kind, what),) = record["decision"].items()
            if kind == "Divide":
                if self.children[what["cell"]]:
                    raise ValueError(f"codebook.json: cell {what['cell']} is divided twice")
                for child, centroid in what["children"]:
                    self.children[what["cell"]].append(child)
                    self.children[child] = []
                    self.centroid[child] = np.array(centroid, np.float32).astype(np.float64)
            elif kind == "Merge":
                for child in self.children[what["cell"]]:
                    del self.children[child], self.centroid[child]
                self.children[what["cell"]] = []
            elif kind == "Group":
                self.groups = np.array(what["centroids"], np.float32).astype(np.float64)
            else:
                raise ValueError(f"codebook.json: unknown decision {kind}")

    def cells(self, vector):
        """The leaves that may store vector: more than one only where scores are as good as equal."""
        at, leaves = [0], []
        while at:
            cell = at.pop()
            children = self.children[cell]
            if not children:
                leaves.append(cell)
                continue
            scores = [vector @ self.centroid[child] for child in children]
            at += [child for child, score in zip(children, scores) if score >= max(scores) - TOLERANCE]
        return leaves

    def probed(self, vector, own, count, within):
        """The sets of cells that a node stored in own may probe; again one, but for ties."""
        others = [cell for cell, children in self.children.items() if not children and cell != own]
        # A cell that is no leaf is told of where cells are checked.
        if count <= 1 or not others or own not in self.centroid:
            return [[own]]
        scores = {cell: vector @ self.centroid[cell] for cell in others}
        if not within:
            return [[own, *some] for some in nearest(scores, count - 1)]
        least, doubt = 1 - within**2 * max(0, 1 - vector @ self.centroid[own]), TOLERANCE * (1 + within**2)
        sure = sum(score > least + doubt for score in scores.values())
        may = sum(score >= least - doubt for score in scores.values())
        # Wherever the limit is, the nearest are within it.
        in_order = sorted(scores.items(), key=lambda item: -item[1])
        return [[own, *some] for reached in range(sure, may + 1) for some in nearest(dict(in_order[:reached]), count - 1)]


def nearest(scores, count):
    """The sets of the count cells that score most, or of all: one, but for ties."""
    wanted = min(count, len(scores))
    if wanted == 0:
        return [[]]
    last = sorted(scores.values(), reverse=True)[wanted - 1]
    sure = [cell for cell, score in scores.items() if score > last + TOLERANCE]
    tied = [cell for cell, score in scores.items() if abs(score - last) <= TOLERANCE]
    return [[*sure, *some] for some in combinations(tied, wanted - len(sure))]


def list_problem(entries, scores, may, k, ids):
    """What is wrong with a node's neighbours, given its scores with all nodes and which of them it may have."""
    if len(entries) != min(k, int(may.sum())):
        return f"{len(entries)} neighbours, expected {min(k, int(may.sum()))}"
    for rank, (node, score) in enumerate(entries, 1):
        if not may[node]:
            return f"{ids[node]} at rank {rank} may not be a neighbour"
        if abs(score - scores[node]) > TOLERANCE:
            return f"scores {ids[node]} at rank {rank} {score}, expected {scores[node]:.7f}"
    for rank, ((a, x), (b, y)) in enumerate(zip(entries, entries[1:]), 1):
        if (-x, ids[a]) >= (-y, ids[b]) or scores[a] < scores[b] - TOLERANCE:
            return f"ranks {rank} and {rank + 1} are in the wrong order"
    if entries:
        left = may.copy()
        left[[node for node, _ in entries]] = False
        if left.any():
            best = int(np.argmax(np.where(left, scores, -np.inf)))
            if scores[best] > scores[entries[-1][0]] + TOLERANCE:
                return f"lacks {ids[best]}, which scores {scores[best]:.7f}"
    return None


def cliques(around, smallest):
    """The maximal cliques of at least this many nodes (Bron and Kerbosch 1973, with a pivot)."""
    found, stack = set(), [(frozenset(), set(around), set())]
    while stack:
        clique, candidates, tried = stack.pop()
        if not candidates and not tried:
            if len(clique) >= smallest:
                found.add(tuple(sorted(clique)))
            continue
        pivot = max(candidates | tried, key=lambda node: len(around[node] & candidates))
        for node in sorted(candidates - around[pivot]):
            stack.append((clique | {node}, candidates & around[node], tried & around[node]))
            candidates = candidates - {node}
            tried = tried | {node}
    return found


def set_problem(found, expected):
    """The first record that is in one set only, as words."""
    for record in sorted(expected ^ found):
        return f"{' '.join(map(str, record))} {'is missing' if record in expected else 'should not be there'}"
    return None


def transitive(inter, views, track):
    """Every transitive pair with its kind and the edge it comes from."""
    for a, b in inter:
        for other_a in views[track[a]]:
            for other_b in views[track[b]]:
                kind = ("A'" if other_a != a else "A") + "-" + ("B'" if other_b != b else "B")
                if kind != "A-B":
                    yield (other_a, other_b, kind, a, b)


def partition(nodes, edges):
    """Each node's class, as the smallest node in it."""
    around = {node: [] for node in nodes}
    for a, b in edges:
        around[a].append(b)
        around[b].append(a)
    label = {}
    for first in sorted(nodes):
        waiting = [] if first in label else [first]
        while waiting:
            node = waiting.pop()
            if node not in label:
                label[node] = first
                waiting += around[node]
    return label


class Export:
    """The files of an export."""

    def __init__(self, folder):
        self.folder = folder
        mark = json.loads((folder / "export.json").read_text("utf-8"))
        if mark["kinetograph_export"] != 1:
            raise ValueError(f"export.json: layout {mark['kinetograph_export']}, this script reads 1")
        self.rules, self.epoch = mark["rules"], mark["epoch"]
        self.crops = mark["rows"]["crops"]
        codebook = json.loads((folder / "codebook.json").read_text("utf-8"))
        self.codebook = Codebook(codebook["decisions"], self.epoch)
        columns = "node source frame pts_ns x y w h track view cell group class".split()
        rows = [dict(zip(columns, map(int, row))) for row in table(folder, "nodes.tsv", columns)]
        self.rows, self.ids = rows, [row["node"] for row in rows]
        self.column = {name: np.array([row[name] for row in rows], np.int64) for name in columns}
        stored = tensors(folder / "vectors.safetensors")
        self.vector_nodes, self.vectors = stored["nodes"], stored["vectors"].astype(np.float64)
        columns = ["source", "name", "uri", "frames", "ended", "failure"]
        self.frames = {int(row[0]): int(row[3]) for row in table(folder, "sources.tsv", columns)}
        columns = ["node", "rank", "neighbour", "score"]
        self.neighbours = {node: [] for node in self.ids}
        for node, rank, neighbour, score in table(folder, "neighbours.tsv", columns):
            entries = self.neighbours.setdefault(int(node), [])
            entries.append((int(neighbour), float(np.float32(score))))
            if int(rank) != len(entries):
                raise ValueError(f"neighbours.tsv: node {node}: rank {rank} where {len(entries)} comes next")
        clusters = {}
        for number, node in table(folder, "clusters.tsv", ["cluster", "node"]):
            clusters.setdefault(int(number), []).append(int(node))
        self.clusters = {tuple(sorted(members)) for members in clusters.values()}
        edges = table(folder, "edges.tsv", ["a", "b", "kind"])
        self.inter, self.intra = (
            {(int(a), int(b)) for a, b, kind in edges if kind == wanted} for wanted in ("inter", "intra")
        )
        lacking = len(self.ids) - mark["rows"]["vectors"]
        if lacking > 0:
            raise ValueError(f"{lacking} of {len(self.ids)} nodes were retired since and have no vector any more")
        # Exports of earlier versions, and of what they have not kept, lack it.
        self.degrees = None
        if (folder / "degrees.tsv").exists():
            self.degrees = {(int(node), int(degree)) for node, degree in table(folder, "degrees.tsv", ["node", "degree"])}
        pairs = table(folder, "pairs.tsv", ["a", "b", "kind", "via_a", "via_b"])
        self.pairs = {(int(a), int(b), kind, int(x), int(y)) for a, b, kind, x, y in pairs}

    def check_nodes(self):
        if self.vectors.shape[0] != len(self.ids) or self.vector_nodes.tolist() != self.ids:
            return "vectors.safetensors has other nodes, or another order, than nodes.tsv"
        for row in self.rows:
            node = row["node"]
            if (row["track"], row["view"]) != (node >> 8, node & 255) or row["source"] != node >> 40:
                return f"node {node}: source, track or view is not what its id says"
            if row["frame"] >= self.frames.get(row["source"], 0):
                return f"node {node}: its source has no frame {row['frame']}"
            # A graph over vectors from elsewhere has no pictures at all.
            if self.crops and not (self.folder / "crops" / f"{node}.jpg").is_file():
                return f"node {node}: no crop"
        return None

    def check_cells(self):
        for row, vector in zip(self.rows, self.vectors):
            cells = self.codebook.cells(vector)
            if row["cell"] not in cells:
                return f"node {row['node']}: in cell {row['cell']}, expected {cells[0]}"
        return None

    def check_groups(self):
        groups = self.codebook.groups
        scores = self.vectors @ groups.T if len(groups) else np.zeros((len(self.ids), 1))
        for row, score in zip(self.rows, scores):
            if not 0 <= row["group"] < len(score) or score[row["group"]] < score.max() - TOLERANCE:
                return f"node {row['node']}: in group {row['group']}, expected {int(score.argmax())}"
        return None

    def check_neighbours(self):
        place = {node: at for at, node in enumerate(self.ids)}
        column, k = self.column, self.rules["k"]
        for node, entries in self.neighbours.items():
            for named in [node, *(neighbour for neighbour, _ in entries)]:
                if named not in place:
                    return f"node {node}: {named} is not in nodes.tsv"
        cells, rows = np.unique(column["cell"], return_counts=True)
        open_cells = cells[rows >= self.rules["min_cell"]]
        for begin in range(0, len(self.ids), BLOCK):
            block = self.vectors[begin : begin + BLOCK] @ self.vectors.T
            for at, scores in enumerate(block, begin):
                apart = np.abs(column["pts_ns"] - column["pts_ns"][at]) > self.rules["separation_ns"]
                eligible = (column["source"] != column["source"][at]) | apart
                eligible &= column["track"] != column["track"][at]
                eligible &= np.isin(column["cell"], open_cells)
                entries = [(place[node], score) for node, score in self.neighbours[self.ids[at]]]
                own, count = int(column["cell"][at]), self.rules.get("nprobe", self.rules.get("look_into"))
                within = self.rules.get("probe_within", self.rules.get("look_within", 0))
                problem = None
                for cells in self.codebook.probed(self.vectors[at], own, count, within):
                    may = eligible & np.isin(column["cell"], cells)
                    problem = list_problem(entries, scores, may, k, self.ids)
                    if problem is None:
                        break
                if problem is not None:
                    return f"node {self.ids[at]}: {problem}"
        return None

    def check_pairs(self, expected):
        most = self.rules.get("max_pairs_per_node", 0)
        if most == 0:
            return set_problem(self.pairs, expected)
        # Which pairs a limit leaves depends on the engine's own ids; that is for `kinetograph verify`.
        kept = {}
        for pair in self.pairs:
            if pair not in expected:
                return f"{pair} does not follow from the edges"
            for node in pair[:2]:
                kept[node] = kept.get(node, 0) + 1
        over = next((node for node, count in kept.items() if count > most), None)
        return None if over is None else f"node {over}: more than {most} pairs"

    def checks(self):
        """(collection, what is wrong with it or None), one after the other."""
        yield "nodes", self.check_nodes()
        yield "cells", self.check_cells()
        yield "groups", self.check_groups()
        yield "neighbours", self.check_neighbours()
        # What follows is derived from the neighbours as exported, so that an accepted tie stays accepted.
        near = {node: {neighbour for neighbour, _ in entries} for node, entries in self.neighbours.items()}
        mutual = {a: {b for b in near[a] if a in near.get(b, ())} for a in near}
        clusters = cliques(mutual, max(2, self.rules["min_cluster"]))
        yield "clusters", set_problem(self.clusters, clusters)
        inter = {edge for cluster in clusters for edge in combinations(cluster, 2)}
        yield "inter", set_problem(self.inter, inter)
        if self.degrees is not None:
            ends = Counter(node for edge in inter for node in edge)
            yield "degrees", set_problem(self.degrees, set(ends.items()))
        track, views = {}, {}
        for row in self.rows:
            track[row["node"]] = row["track"]
            views.setdefault(row["track"], []).append(row["node"])
        intra = {edge for nodes in views.values() for edge in combinations(sorted(nodes), 2)}
        yield "intra", set_problem(self.intra, intra)
        known = [edge for edge in inter if edge[0] in track and edge[1] in track]
        yield "pairs", self.check_pairs(set(transitive(known, views, track)))
        expected = partition(self.ids, [*known, *intra])
        smallest = {}
        for row in self.rows:
            smallest[row["class"]] = min(smallest.get(row["class"], row["node"]), row["node"])
        found = {(row["node"], smallest[row["class"]]) for row in self.rows}
        yield "classes", set_problem(found, set(expected.items()))


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 2
    try:
        export = Export(Path(sys.argv[1]))
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot read {sys.argv[1]}: {error}")
        return 2
    differs = False
    for collection, problem in export.checks():
        print(f"{collection:<11}{'equal' if problem is None else 'differs: ' + problem}")
        differs |= problem is not None
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
