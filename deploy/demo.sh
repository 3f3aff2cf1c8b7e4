#!/bin/sh
# The demo: a simulated pump-probe beamline, all daemons as processes, one graph, a live view.
# usage: demo.sh BIN_DIR SECONDS   (0 seconds: until Ctrl-C)
set -eu
bin=$1 duration=$2
here=$(cd "$(dirname "$0")/.." && pwd)
run=$(mktemp -d "${TMPDIR:-/tmp}/ami-demo.XXXXXX")
pid=""
finish() {
    trap '' INT TERM
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
    rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT TERM

"$here/$bin/ami-ctl" local --source 'sim:pump-probe?pace=realtime&loop=forever' --workers 2 \
    --graph "$here/examples/graphs/pump_probe.json" --run-dir "$run" >"$run/ready" 2>"$run/supervisor.log" &
pid=$!
tries=0
until [ -s "$run/ready" ]; do
    kill -0 "$pid" 2>/dev/null || { cat "$run/supervisor.log" >&2; exit 1; }
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "the system did not get ready within 30 s; see $run" >&2; exit 1; }
    sleep 0.1
done
cat "$run/ready"
cat <<TXT

  export AMI_RUN_DIR=$run      # then, in another terminal:
  $bin/ami-ctl features               what is published
  $bin/ami-ctl watch pump_probe/scan  one of them, live
  $bin/ami-ctl graph set pump_probe scan bins=25
  $bin/ami-ctl top

TXT
export AMI_RUN_DIR="$run"
if [ "$duration" -gt 0 ]; then
    "$here/$bin/ami-ctl" watch --duration "$duration" pump_probe/scan pump_probe/image pump_probe/energy
    "$here/$bin/ami-ctl" status
else
    "$here/$bin/ami-ctl" watch pump_probe/scan pump_probe/image pump_probe/energy
fi
