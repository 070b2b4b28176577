"""Accuracy of the tracker on videos with known boxes, beside OpenCV's KCF on the same frames from the same first box.

usage: benches/tracking.py [DATA]     (by default $KINETOGRAPH_DATA or ../shared/data; `make bench-tracking` builds and calls it)

Needs opencv-contrib-python (the Makefile installs it in target/venv). Prints, for each target, the mean overlap (IoU) with the
known box over all frames after the first in which it is visible, and the area under the success curve (share of frames whose overlap
is over t, for t from 0 to 1 by 0.05), then the means and their ratios. A frame on which a tracker says "lost" counts with the last box.
"""

import csv
import os
import pathlib
import subprocess
import sys
import time

import cv2

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENGINE = ROOT / "target/release/kinetograph"
# Videos of one target each; of the two joggers each is a target of its own.
SEQUENCES = "davis_* otb_* tlp_*".split()


def targets(truth):
    """Boxes by target: {id: {frame: (x, y, w, h)}}, visible ones only."""
    found = {}
    with open(truth, newline="") as file:
        for row in csv.DictReader(file):
            if row["visible"] == "1":
                box = tuple(float(row[c]) for c in "xywh")
                found.setdefault(row["id"], {})[int(row["frame"])] = box
    return found


def overlap(a, b):
    """Intersection over union of two boxes."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def score(truth, boxes):
    """Mean overlap and area under the success curve over the frames that both have."""
    overlaps = [overlap(box, boxes[frame]) for frame, box in truth.items() if frame in boxes]
    steps = [t / 20 for t in range(21)]
    area = sum(sum(o > t for o in overlaps) / len(overlaps) for t in steps) / len(steps)
    return sum(overlaps) / len(overlaps), area


def ours(video, frame, box, kernel):
    """Boxes by frame of `kinetograph track`, and its seconds."""
    init = ",".join(str(v) for v in (frame, *box))
    start = time.perf_counter()
    out = subprocess.run(
        [ENGINE, "track", video, "--init", init, "--csv", "-", "--set", f"track.kernel={kernel}"],
        check=True, capture_output=True, text=True,
    ).stdout
    seconds = time.perf_counter() - start
    rows = csv.DictReader(out.splitlines())
    return {int(r["frame"]): tuple(float(r[c]) for c in "xywh") for r in rows}, seconds


def peer(video, frame, box):
    """The same of OpenCV's KCF."""
    start = time.perf_counter()
    capture, tracker, boxes, last, at = cv2.VideoCapture(str(video)), None, {}, box, 0
    while True:
        read, picture = capture.read()
        if not read:
            return boxes, time.perf_counter() - start
        if at == frame:
            tracker = cv2.TrackerKCF_create()
            tracker.init(picture, tuple(round(v) for v in box))
        elif tracker is not None:
            found, new = tracker.update(picture)
            last = tuple(map(float, new)) if found else last
            boxes[at] = last
        at += 1


def main(data):
    folder = pathlib.Path(data) / "tracking"
    truths = sorted(t for pattern in SEQUENCES for t in folder.glob(f"{pattern}.gt.csv"))
    if not truths:
        sys.exit(f"{folder}: no *.gt.csv here; set KINETOGRAPH_DATA")
    names = ["linear", "gaussian", "OpenCV KCF"]
    print("| target | frames | " + " | ".join(f"{n}: IoU, area" for n in names) + " |\n|---|---|---|---|---|")
    rows = []
    for truth in truths:
        stem = truth.name.removesuffix(".gt.csv")
        video = next(v for v in folder.glob(f"{stem}.*") if v.suffix != ".csv")
        for target, boxes in targets(truth).items():
            first = min(boxes)
            box = boxes.pop(first)
            tracked = [ours(video, first, box, k) for k in ("linear", "gaussian")] + [peer(video, first, box)]
            common = set.intersection(*(set(found) for found, _ in tracked))
            boxes = {f: b for f, b in boxes.items() if f in common}
            scores = [score(boxes, found) for found, _ in tracked]
            rows.append((scores, [s for _, s in tracked]))
            cells = " | ".join(f"{iou:.3f}, {area:.3f}" for iou, area in scores)
            print(f"| {stem} {target} | {len(boxes)} | {cells} |", flush=True)
    mean = [[sum(scores[i][j] for scores, _ in rows) / len(rows) for j in (0, 1)] for i in range(3)]
    print("| **mean** | | " + " | ".join(f"**{iou:.3f}, {area:.3f}**" for iou, area in mean) + " |")
    ratios = " | ".join(f"{mean[i][0] / mean[2][0]:.2f}, {mean[i][1] / mean[2][1]:.2f}" for i in range(3))
    print(f"| ratio to OpenCV | | {ratios} |")
    seconds = [sum(s[i] for _, s in rows) for i in range(3)]
    print("| seconds, decoding included | | " + " | ".join(f"{s:.1f}" for s in seconds) + " |")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("KINETOGRAPH_DATA", ROOT / "../shared/data"))
