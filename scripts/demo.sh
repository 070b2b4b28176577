#!/usr/bin/env bash
# The main job on real video: target/demo/{state,report.json,gallery/index.html,gallery/sheet.png}.
#   scripts/demo.sh            the demo's videos
#   scripts/demo.sh VIDEO...   one's own
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/demo
videos=("$@")
[ ${#videos[@]} -gt 0 ] || videos=(third_party/videos)
echo "demo: building (some minutes the first time)"
cargo build --release --quiet
rm -rf "$out"
mkdir -p "$out"
engine=target/release/kinetograph
"$engine" run "${videos[@]}" --config scripts/demo.toml --state "$out/state" --batch --report "$out/report.json"
"$engine" verify --state "$out/state" --quiet
"$engine" gallery --state "$out/state" --out "$out/gallery"
echo
echo "demo: open $PWD/$out/gallery/index.html (or look at $out/gallery/sheet.png); figures in $out/report.json"
