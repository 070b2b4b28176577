#!/usr/bin/env bash
# The main job on real video: target/demo/{state,report.json,gallery/index.html,gallery/sheet.png}.
#   scripts/demo.sh            the demo's videos
#   scripts/demo.sh VIDEO...   one's own
# Says what it is at and how long that has taken.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/demo
videos=("$@")
[ ${#videos[@]} -gt 0 ] || videos=(third_party/videos)

say() { printf 'demo: %s\n' "$*"; }

# Cargo draws a bar of its own on a terminal; elsewhere a line every ten seconds says how far it is.
build() {
  local cargo="${CARGO:-cargo}"
  if [ -t 2 ]; then "$cargo" build --release; return; fi
  local crates=0 told=$SECONDS word rest
  "$cargo" build --release 2>&1 | while read -r word rest; do
    case "$word" in
      Compiling) crates=$((crates + 1)) ;;
      Downloaded) continue ;;
      *) echo "$word $rest"; continue ;;
    esac
    [ $((SECONDS - told)) -ge 10 ] || continue
    told=$SECONDS
    say "building: $crates crates so far, now ${rest%% *} (${SECONDS} s)"
  done
}

say "1/4 building (some minutes the first time)"
build
rm -rf "$out"
mkdir -p "$out"
engine=target/release/kinetograph
say "2/4 running over ${videos[*]}: the graph, and training on it (${SECONDS} s)"
"$engine" run "${videos[@]}" --config scripts/demo.toml --state "$out/state" --batch --report "$out/report.json"
say "3/4 checking the graph against a recompute (${SECONDS} s)"
"$engine" verify --state "$out/state" --quiet
say "4/4 making the gallery (${SECONDS} s)"
"$engine" gallery --state "$out/state" --out "$out/gallery"
echo
say "done in ${SECONDS} s: open $PWD/$out/gallery/index.html (or look at $out/gallery/sheet.png); figures in $out/report.json"
