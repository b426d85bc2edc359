#!/bin/sh
# A Chromium for the browser tests: the system's, else Debian's package, else the build that Playwright downloads.
set -eu
PYTHON=${PYTHON:-.venv/bin/python}

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

if [ -r /etc/os-release ] && grep -q '^ID=debian' /etc/os-release; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=$(command -v sudo || echo none)
    if [ "$as_root" != none ]; then
        $as_root apt-get update
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core
        exit 0
    fi
    echo "Not root and no sudo: falling back to Playwright's own Chromium." >&2
fi

# Needs no root; where system libraries are missing, Playwright names the command that installs them.
"$PYTHON" -m playwright install chromium
