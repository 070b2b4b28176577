"""First figures of the whole engine: frames/s by stage, nodes/s, commit latency, restart time, train steps/s.

usage: benches/engine.py [VIDEO...]        (by default the demo's videos; `make bench` builds and calls it)

Runs the same files on one worker and on two, checks that both give the same graph, and prints the ratio.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENGINE = ROOT / "target/release/kinetograph"


def run(state, videos, *more):
    """One run; its report."""
    report = state.with_suffix(".json")
    command = [ENGINE, "run", *videos, "--state", state, "--batch", "--quiet", "--report", report]
    subprocess.run([*command, "--config", ROOT / "scripts/demo.toml", *more], check=True)
    return json.loads(report.read_text())


def digests(state):
    out = subprocess.run([ENGINE, "stats", "--json", "--state", state], check=True, capture_output=True)
    return json.loads(out.stdout)["digests"]


def main(videos):
    videos = videos or [ROOT / "third_party/videos"]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kinetograph-bench-"))
    try:
        one = run(folder / "one", videos, "--no-train", "--workers", "1")
        two = run(folder / "two", videos, "--no-train", "--workers", "2")
        if digests(folder / "one") != digests(folder / "two"):
            sys.exit("one worker and two give different graphs: no figures")
        again = run(folder / "one", videos, "--no-train", "--workers", "1")
        if again["frames_this_run"]:
            sys.exit("the second run over the same files took frames again: no figures")
        train = run(folder / "one", videos, "--workers", "1", "--set", "train.max_steps=100")
    finally:
        shutil.rmtree(folder)
    frames, nodes = one["frames"], one["nodes"]
    print(f"| figure | 1 worker | 2 workers | ratio |\n|---|---|---|---|")
    fps = [r["frames_per_s"] for r in (one, two)]
    print(f"| frames/s, {frames} frames | {fps[0]:.1f} | {fps[1]:.1f} | {fps[1] / fps[0]:.2f} |")
    for stage in ("mine", "track", "embed", "graph"):
        ms = [r["seconds_by_stage"][stage] * 1e3 / frames for r in (one, two)]
        print(f"| {stage}, ms a frame and worker | {ms[0]:.2f} | {ms[1]:.2f} | {ms[1] / ms[0]:.2f} |")
    rate = [nodes / r["seconds"] for r in (one, two)]
    print(f"| nodes/s, {nodes} nodes | {rate[0]:.2f} | {rate[1]:.2f} | {rate[1] / rate[0]:.2f} |")
    for i, name in enumerate(("mean", "longest")):
        ms = [r["commit_ms"][i] for r in (one, two)]
        print(f"| commit, {name}, ms | {ms[0]:.1f} | {ms[1]:.1f} | {ms[1] / ms[0]:.2f} |")
    print(f"| restart: graph back and checked, s | {again['restore_seconds']:.3f} | | |")
    print(f"| training (small, 32 pairs), steps/s | {train['train_steps_per_s']:.2f} | | |")
    print(f"| largest resident memory, MiB | {one['peak_rss_bytes'] >> 20} | {two['peak_rss_bytes'] >> 20} | |")


if __name__ == "__main__":
    main(sys.argv[1:])
