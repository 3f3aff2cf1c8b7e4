#!/bin/sh
# Checks the units with systemd's own verifier. It insists that commands exist, so it is shown
# copies whose commands are the built ones.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v systemd-analyze >/dev/null || {
    echo "skipped: systemd-analyze is not here (apt-get install systemd)"
    exit 0
}
work=$(mktemp -d "${TMPDIR:-/tmp}/ami-units.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
for daemon in ventilator worker collector manager store gateway; do
    printf '#!/bin/sh\n' >"$work/bin/ami-$daemon"
    chmod +x "$work/bin/ami-$daemon"
done
for unit in "$here"/*.service "$here"/*.target; do
    sed "s#/usr/bin/ami-#$work/bin/ami-#g" "$unit" >"$work/$(basename "$unit")"
done
cd "$work"
SYSTEMD_UNIT_PATH="$work:" systemd-analyze verify --man=no ami.target ami-manager.service ami-store.service \
    ami-gateway.service ami-collector@host.service ami-collector@root.service ami-ventilator@ami.service ami-worker@1.service
echo "systemd units: verified"
