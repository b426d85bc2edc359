#!/bin/sh
# PostgreSQL's server for the tests of the store: what is there, else Debian's package. The tests start one of their own,
# on a socket and with a folder that goes with it. Where there is none, they are skipped with that reason.
set -eu

for program in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$program" ] && exit 0
done
command -v postgres >/dev/null 2>&1 && exit 0

if [ -r /etc/os-release ] && grep -q '^ID=debian' /etc/os-release; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=$(command -v sudo || echo none)
    if [ "$as_root" != none ]; then
        $as_root apt-get update &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql &&
            exit 0
    fi
fi
echo "No PostgreSQL server, and none can be installed here: the tests with one are skipped." >&2
