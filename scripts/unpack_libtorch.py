"""Takes from the torch wheel and its two CUDA run-time wheels what linking against libtorch on a CPU needs.

usage: unpack_libtorch.py WHEELS DEST
"""

import os
import pathlib
import shutil
import sys
import zipfile

LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}


def place(name):
    """Where a member of a wheel goes below DEST; None when it is not needed."""
    path = pathlib.PurePosixPath(name)
    if path.name in LIBRARIES:
        return f"lib/{path.name}"
    if name.startswith("torch/include/"):
        return name.removeprefix("torch/")
    if name.startswith("torch-") and ("licenses" in path.parts or path.name in ("LICENSE", "NOTICE")):
        return f"licenses/{path.name}"
    return None


def main(wheels, dest):
    for wheel in sorted(pathlib.Path(wheels).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                target = None if name.endswith("/") else place(name)
                if target is None:
                    continue
                target = pathlib.Path(dest, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    lib = pathlib.Path(dest, "lib")
    missing = [name for name in LIBRARIES if not (lib / name).exists()]
    if missing:
        sys.exit(f"not in the wheels: {', '.join(sorted(missing))}")
    os.symlink("libtorch_cpu.so", lib / "libtorch.so")
    os.symlink("libgomp.so.1", lib / "libgomp.so")


if __name__ == "__main__":
    main(*sys.argv[1:])
