#!/usr/bin/env bash
# All tests. Ends with one line that sums up every test binary.
set -uo pipefail
cd "$(dirname "$0")/.."
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
run() { "$@" 2>&1 | tee -a "$log"; return "${PIPESTATUS[0]}"; }

status=0
run cargo test --no-fail-fast || status=1
# The trainer must build where there is libtorch and no GStreamer.
run cargo check --quiet -p kinetograph --no-default-features --features train || status=1

awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || passed == 0 }' "$log" || status=1
exit "$status"
