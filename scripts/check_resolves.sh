#!/bin/sh
# Resolve both requirement files under the pins, and requirements.txt without them, for every platform and Python we
# support; and for a Space beside what the hub installs there itself. Downloads metadata only. Wheels are required, but for three pure-Python
# packages of lm-eval that are published as source. uv is a tool of the maintainers: pip install uv
set -eu
uv=$(command -v uv || echo "$(dirname "${PYTHON:-.venv/bin/python}")/uv")
[ -x "$uv" ] || { echo "uv is needed: pip install uv" >&2; exit 1; }
export MACOSX_DEPLOYMENT_TARGET=14.0 # the oldest macOS that torch has wheels for

wheels="--only-binary :all: --no-binary rouge-score --no-binary sqlitedict --no-binary word2number"
failed=0
try() {
    label=$1
    shift
    # shellcheck disable=SC2086
    if answer=$("$uv" pip compile --quiet --no-header --no-annotate $wheels "$@" 2>&1); then
        echo "ok      $label: $(echo "$answer" | grep -c ==) packages, $(echo "$answer" | grep ^torch==)"
    else
        echo "FAILED  $label"
        echo "$answer"
        failed=1
    fi
}

for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin; do
    for version in 3.11 3.12 3.13; do
        on="--python-platform $platform --python-version $version"
        # shellcheck disable=SC2086
        try "$platform $version pinned" requirements.txt requirements-dev.txt -c constraints.txt $on
        # shellcheck disable=SC2086
        try "$platform $version ranges" requirements.txt $on
    done
done

front() { sed -n "s/^$1: *\"\{0,1\}\([0-9.]*\)\"\{0,1\}$/\1/p" README.md | head -1; }
space=$(mktemp)
trap 'rm -f "$space"' EXIT
printf 'gradio[oauth,mcp]==%s\nuvicorn>=0.14.0\nwebsockets>=10.4\nspaces\n' "$(front sdk_version)" > "$space"
# shellcheck disable=SC2086
try "a Space, Python $(front python_version)" requirements.txt "$space" \
    --python-platform x86_64-unknown-linux-gnu --python-version "$(front python_version)"
exit $failed
