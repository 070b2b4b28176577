#!/usr/bin/env python3
"""Real vectors for `make bench-crops`: crops of pictures, embedded.

    python3 benches/graph/crops.py KINETOGRAPH COUNT PICTURES...

Cuts COUNT square crops of 96 pixels (places and sizes drawn with a fixed seed, as many from each picture) out of the jpeg and
png files under the folders PICTURES, and has the program KINETOGRAPH embed them by its descriptor into target/bench/crops.safetensors.
Their order is drawn, too, so that a picture's crops do not come one after the other. Pillow comes from PyPI into
target/bench/venv.
"""

import random
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "target" / "bench"
PILLOW = "pillow==12.0.0"
SIDE = 96
SMALLEST = 0.3


def in_venv():
    """Runs this script again inside the virtual environment, made first if need be."""
    venv = BENCH / "venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix) == venv:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", PILLOW], check=True)
    raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]]).returncode)


def main():
    from PIL import Image

    program, count, folders = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    files = (path for folder in folders for path in Path(folder).rglob("*"))
    pictures = sorted(path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not pictures:
        sys.exit(f"{', '.join(folders)}: no jpeg or png files")
    drawn = random.Random(1)
    names = list(range(count))
    drawn.shuffle(names)
    crops = BENCH / "crops"
    shutil.rmtree(crops, ignore_errors=True)
    crops.mkdir(parents=True)
    for at, path in enumerate(pictures):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for name in names[at :: len(pictures)]:
            side = min(picture.size) * drawn.uniform(SMALLEST, 1)
            left, top = (drawn.uniform(0, size - side) for size in picture.size)
            box = (left, top, left + side, top + side)
            crop = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
            crop.save(crops / f"{name:07}.jpg", quality=90)
    out = BENCH / "crops.safetensors"
    subprocess.run(
        [program, "embed", "--descriptor", "hog", "--images", crops, "--out", out], check=True
    )
    print(f"{count} crops of {len(pictures)} pictures: {out}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    in_venv()
    main()
