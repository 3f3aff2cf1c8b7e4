#!/bin/sh
# Looks for what building and testing need; installs Debian packages where it may, and names the
# command otherwise.
set -eu

command -v cargo >/dev/null || { echo "cargo is missing: install the Rust toolchain (rustup)" >&2; exit 1; }
command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }

need=""
command -v c++ >/dev/null || need="$need g++"
command -v pkg-config >/dev/null || need="$need pkg-config"
[ -e /usr/include/zmq.h ] || need="$need libzmq3-dev"
command -v systemd-analyze >/dev/null || need="$need systemd"
python3 -c 'import ensurepip, venv' 2>/dev/null || need="$need python3-venv"
[ -z "$need" ] && exit 0

command -v apt-get >/dev/null || {
    echo "missing:$need (names of Debian packages): install them with this system's package manager" >&2
    exit 1
}
if [ "$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null; then as="sudo"; else
    echo "missing: run as root: apt-get install$need" >&2
    exit 1
fi
$as apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends $need >/dev/null
