# What the commands of this folder, and deploy/build, share; they source it. Goes to the repository's folder, and ends what was started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d) pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

# Prints the comment at the top of the command, and ends it.
usage() {
    sed -n '2,/^set\|^\./{/^#/s/^# \{0,1\}//p}' "$0"
    exit "$1"
}

# Installs Debian packages, each given as tool:package, unless the tool is there.
needs() {
    local missing=() pair
    for pair; do command -v "${pair%:*}" >/dev/null || missing+=("${pair#*:}"); done
    [ ${#missing[@]} = 0 ] && return
    echo "installing ${missing[*]}" >&2
    local as_root
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
}

# Makes sure that $python has the tools of requirements.txt, and uvicorn.
needs_python() {
    local wanted
    python=tests/conformance/.venv/bin/python
    wanted=$(sha256sum tests/conformance/requirements.txt)
    [ "$(cat tests/conformance/.venv/installed 2>/dev/null || true)" = "$wanted" ] && return
    echo "installing the tools of tests/conformance/requirements.txt" >&2
    rm -rf tests/conformance/.venv
    python3 -m venv tests/conformance/.venv
    "$python" -m pip install --quiet --requirement tests/conformance/requirements.txt
    echo "$wanted" >tests/conformance/.venv/installed
}

# What is tested: BINARY, or a release build.
needs_antifreeze() {
    [ -n "${BINARY:-}" ] || cargo build --release --quiet
    binary=${BINARY:-target/release/antifreeze}
}

# Starts antifreeze with these words and waits until it serves; sets $antifreeze, its process, and $port.
start_antifreeze() {
    # That of one before it says of that one that it serves.
    rm -f "$work/log"
    TMPDIR=$work "$binary" run --listen 127.0.0.1:0 --admin off --log-format text "$@" >"$work/log" 2>&1 &
    antifreeze=$!
    pids+=("$antifreeze")
    wait_for "$work/log" 'now="serving"' "$antifreeze"
    port=$(sed -n 's/.*listening on .*127.0.0.1:\([0-9]*\).*/\1/p' "$work/log")
}

# Waits until a log has a line, as long as its process runs, and for a minute at most.
wait_for() {
    local deadline=$((SECONDS + 60))
    until grep -qs -- "$2" "$1"; do
        { kill -0 "$3" 2>/dev/null && [ "$SECONDS" -le "$deadline" ]; } || { cat "$1" >&2; exit 1; }
        sleep 0.1
    done
}

# A port that is free now.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# CPU time of a process and, for nginx, its children, in clock ticks.
ticks() {
    for pid in $1 $(pgrep -P "$1" -x nginx || true); do awk '{ print $14 + $15 }' "/proc/$pid/stat"; done | awk '{ sum += $1 } END { print sum }'
}
