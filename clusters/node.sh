#!/usr/bin/env bash
# A Ray node on a host that others use, too: it stops what it started and nothing else, where `ray stop` would end
# every Ray of this user.
#
#   clusters/node.sh ray start [options]
#   clusters/node.sh stop
set -euo pipefail
cd "$(dirname "$0")/.."

# Local to the host: the folder of the project is the same on all of them. Short: a socket's path has 107 bytes.
own="${TMPDIR:-/tmp}/gapsearch-$(id -un)"
(umask 077 && mkdir -p "$own")
[ -O "$own" ] || { echo "$own must be yours: remove it, or set TMPDIR" >&2; exit 2; }
log="$own/ray.txt" pid="$own/ray.pid"

running() {
    [ -s "$pid" ] && grep -qs "$own" "/proc/$(cat "$pid")/cmdline"
}

stop() {
    if running; then
        kill "$(cat "$pid")"
        while running; do sleep 0.2; done
    fi
    rm -f "$pid"
}

start() {
    stop
    ulimit -n "$(ulimit -Hn)"
    # Told to stop, Ray would wait 30 s for a helper of the last run that never ends.
    export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
    setsid nohup .venv/bin/ray start --block --temp-dir="$own" "${@:3}" > "$log" 2>&1 < /dev/null &
    echo $! > "$pid"
    until grep -q "Ray runtime started" "$log"; do
        sleep 0.2
        running || { cat "$log"; exit 1; }
    done
}

case "$*" in
    "ray start "*) start "$@" ;;
    stop) stop ;;
    *) grep '^#  ' "$0" >&2; exit 2 ;;
esac
