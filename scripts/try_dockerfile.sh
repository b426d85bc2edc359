#!/bin/sh
# Build the Dockerfile and start its image without a container engine and without a registry:
#
#   sh scripts/try_dockerfile.sh BASE [--build-arg NAME=VALUE ...]
#
# As root on Linux, with buildah. BASE is a folder with a root file system that stands in for the base image: a Debian 12
# with the Python of the build argument PYTHON in /usr/local. Every instruction is then carried out as an engine would,
# with what git tracks as its context; CMD is started as the image's user, the HEALTHCHECK's command is run beside it
# until it succeeds, and one question is asked. Heavy: it installs everything.
#
#   BUILDAH  the program, where it is not on the PATH        STORE  where images go; removed afterwards
set -eu
cd "$(dirname "$0")/.."
base=${1:?a root file system that stands in for the base image}
shift
store=${STORE:-/var/tmp/try-dockerfile}
python=$(sed -n 's/^ARG PYTHON=//p' Dockerfile)
for argument in "$@"; do
    case $argument in PYTHON=*) python=${argument#PYTHON=} ;; esac
done
name=$(sed -n "s/^FROM \(python:.*\) AS base$/\1/p" Dockerfile | sed "s/\${PYTHON}/$python/")

build() {
    "${BUILDAH:-buildah}" --root "$store/root" --runroot "$store/run" --storage-driver "${DRIVER:-overlay}" "$@"
}
say() { echo "== $*"; }

app=
clean() {
    # buildah hands no signal on to what runs inside, and falls over when its own child goes
    [ -z "$app" ] || { pkill -f "^/home/user/venv/bin/python -m playground run" || true; wait "$app" || true; }
    build rm --all >/dev/null 2>&1 || true
    build rmi --all --force >/dev/null 2>&1 || true
    rm -rf "$store"
}
trap clean EXIT
trap 'exit 1' INT TERM
mkdir -p "$store/context"
git ls-files -z | xargs -0 cp --parents -t "$store/context"

say "$base as $name"
scratch=$(build from scratch)
build add --quiet "$scratch" "$base" / >/dev/null
build commit --quiet --format docker "$scratch" "docker.io/library/$name" >/dev/null
build rm "$scratch" >/dev/null

say "build $*"
build bud --isolation chroot --pull-never --format docker --tag tried "$@" "$store/context"

look() { build inspect --type image --format "$1" tried; }
say "user $(look '{{.Docker.Config.User}}'), port $(look '{{.Docker.Config.ExposedPorts}}')"
say "volume $(look '{{.Docker.Config.Volumes}}')"
say "health $(look '{{.Docker.Config.Healthcheck}}')"
container=$(build from --pull-never tried)
inside() { build run --isolation chroot "$container" -- "$@"; }
say "files not owned by the user in its home: $(inside sh -c 'find /home/user ! -uid 1000 | wc -l')"

say "start"
began=$(date +%s)
inside python -m playground run &
app=$!
check=$(sed -n '/^HEALTHCHECK/,$ s/^ *CMD \["python", "-c", "\(.*\)"\]$/\1/p' Dockerfile)
until inside python -c "$check" 2>/dev/null; do
    kill -0 "$app" || exit 1
    [ $(($(date +%s) - began)) -lt 300 ] || { echo "not healthy after 300 s" >&2; exit 1; }
    sleep 1
done
say "healthy after $(($(date +%s) - began)) s"
inside python -m playground generate smollm2 --prompt "What is gravity?" --max-tokens 16 --json | head -c 600
say "vLLM: $(inside python -c 'from playground.engines.base import missing_vllm; print(missing_vllm() or "there")')"
