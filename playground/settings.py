"""Settings from the environment (`PLAYGROUND_*`), read at call time, so that tests can redirect them."""

from __future__ import annotations

import ipaddress
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from playground.errors import InvalidSettings

APP = "quantization-playground"
_PREFIXES = ("PLAYGROUND_", "GRADIO_SERVER_")


class Settings(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(env_prefix="PLAYGROUND_", extra="ignore", frozen=True)

    home: Path | None = Field(default=None, description="One folder for everything that is written (logs, cache).")
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL for jobs, variants and runs; default: SQLite in the home folder."
    )
    model: str = Field(default="smollm2", description="The model the page opens with.")
    host: str = Field(default="127.0.0.1", description="Address the page listens on.")
    port: int = Field(default=7860, description="Port the page listens on; 0 takes a free one.")
    memory_limit: int | None = Field(
        default=None, description="Bytes the loaded variants may use; default: all the device has."
    )
    threads: int | None = Field(default=None, description="CPU threads of an engine; default: all cores but one.")
    servers: int = Field(
        default=3, ge=1, description="Servers of one engine that may stay loaded; the least recently used one goes."
    )
    vllm_python: Path | None = Field(
        default=None, description="Python of the environment that has vLLM; default: .venv-vllm, made by `make vllm`."
    )
    vllm_max_model_len: int | None = Field(
        default=None, description="Longest sequence vLLM makes room for; default: the model's, 4096 at most."
    )
    vllm_memory_share: float = Field(default=0.85, gt=0, le=1, description="Share of a GPU's memory one vLLM takes.")
    vllm_tensor_parallel: int = Field(default=1, ge=1, description="GPUs over which vLLM splits each layer.")
    vllm_kv_cache: str = Field(default="auto", description="vLLM's KV-cache type: auto, fp8, fp8_e5m2 …")
    vllm_kv_cache_gb: int = Field(default=1, ge=1, description="GiB of KV cache of a vLLM on a CPU.")
    vllm_eager: bool = Field(default=False, description="Start vLLM without compiling: sooner ready, slower after.")
    vllm_arguments: str = Field(default="", description="More arguments for vLLM's server, as in a shell.")
    llamacpp_context: int = Field(default=4096, ge=64, description="Context llama.cpp makes room for; model's at most.")
    llamacpp_flash_attention: Literal["auto", "on", "off"] = Field(
        default="auto", description="llama.cpp's flash attention; a quantized V cache needs it."
    )
    llamacpp_cache_k: str = Field(default="f16", description="llama.cpp's type of the K cache: f16, q8_0, q4_0 …")
    llamacpp_cache_v: str = Field(default="f16", description="llama.cpp's type of the V cache.")
    llamacpp_gpu_layers: int = Field(default=-1, ge=-1, description="Layers on the GPU; -1: all that there are.")
    remote_timeout_s: float = Field(
        default=60, gt=0, description="Seconds a remote endpoint may say nothing before a run gives up."
    )
    zerogpu_seconds: int = Field(
        default=120, ge=1, description="GPU seconds that one call may ask a ZeroGPU Space for at most."
    )
    max_tokens: int = Field(default=4096, description="Upper limit of max tokens per generation.")
    max_prompt_chars: int = Field(default=200_000, description="Upper limit of the characters of one request.")
    max_generations: int = Field(default=16, description="Generations that may be active or queued in one engine.")
    prewarm: bool = Field(
        default=True, description="Start the engine process with the app instead of at the first run."
    )
    mcp: bool = Field(default=False, description="Offer the documented endpoints as MCP tools too, at /gradio_api/mcp.")
    offline: bool = Field(default=False, description="Never ask the hub; use what is cached.")
    datasets: Path | None = Field(
        default=None, description="Folder with the data of tasks, TASK/SPLIT.jsonl, instead of the hub's."
    )
    owner_token: SecretStr | None = Field(
        default=None, min_length=16, description="Whoever logs in with it owns a public page; `--share` makes one."
    )
    owners: str = Field(
        default="", description="Hub users, with commas, who own the page of a Space once they sign in there."
    )
    public: Literal["view", "generate"] | None = Field(
        default=None, description="What visitors of a public page may do; default: generate, with `--share` view."
    )
    public_models: str = Field(
        default="", description="Models or variants, with commas, that visitors may use; default: the page's model."
    )
    public_rate: str = Field(
        default="12/minute; 120/hour", description="Answers that one visitor may ask for, in the notation of `limits`."
    )
    public_generations: int = Field(
        default=4, ge=1, description="Runs of all visitors that may be active or queued at once."
    )
    public_max_tokens: int = Field(default=256, ge=1, description="Upper limit of max tokens for visitors.")
    public_max_prompt_chars: int = Field(
        default=8000, ge=1, description="Upper limit of a visitor's characters: prompt, system prompt and conversation."
    )
    public_disk_mb: int = Field(
        default=512, ge=0, description="MB of stored results from which on visitors' runs are not stored."
    )
    server: str | None = Field(
        default=None, description="Address of a running server that commands ask, as `--server` does."
    )
    token: SecretStr | None = Field(
        default=None, description="The owner's token at that server; commands send it, and no option takes it."
    )
    allowed_hosts: str = Field(
        default="", description="Names, with commas, by which a public page is reached; `*.example.org` is allowed too."
    )
    proxies: str | None = Field(
        default=None,
        description="Addresses or networks, with commas, of the proxies whose X-Forwarded-For is believed. Or a "
        "number: how many to trust, counted from the page outwards, on this machine or a private network. Default: "
        "none; on a Space 1.",
    )

    @field_validator("public_rate")
    @classmethod
    def _rate(cls, value: str) -> str:
        """Parse the rates here, so that a mistake is reported at the start and not to the first visitor."""
        from limits import parse_many

        parse_many(value)
        return value

    @field_validator("proxies")
    @classmethod
    def _proxies(cls, value: str | None) -> str | None:
        if value and not value.strip().isdecimal():
            for part in filter(None, map(str.strip, value.split(","))):
                ipaddress.ip_network(part)
        return value

    @property
    def data(self) -> Path:
        """The folder of what is kept: database, variants, runs, logs."""
        return self.home or Path(platformdirs.user_data_dir(APP))

    @property
    def cache(self) -> Path:
        """The folder of what can be made again: the restored bundled model, measurements of this machine."""
        return self.home / "cache" if self.home else Path(platformdirs.user_cache_dir(APP))

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def running(self) -> Path:
        """The folder with one file per engine process, by which the next start finds processes left by a crash."""
        return self.data / "running"


def settings() -> Settings:
    """The current settings. On a Space the platform sets host and port (`GRADIO_SERVER_*`). Raises InvalidSettings."""
    return _read(frozenset((name, value) for name, value in os.environ.items() if name.upper().startswith(_PREFIXES)))


@lru_cache(maxsize=8)
def _read(_environment: frozenset[tuple[str, str]]) -> Settings:
    """Cached by environment: reading takes 3 ms, and showing a job needs the settings a dozen times."""
    try:
        values = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"PLAYGROUND_{str(first['loc'][0]).upper()}"
        rejected = "not usable" if variable.endswith("_TOKEN") else repr(first["input"])
        raise InvalidSettings(f"{variable} is {rejected}: {first['msg']}.", hint="Correct or unset it.") from None
    updates: dict[str, object] = {}
    if "PLAYGROUND_HOST" not in os.environ and (name := os.environ.get("GRADIO_SERVER_NAME")):
        updates["host"] = name
    if "PLAYGROUND_PORT" not in os.environ and (port := os.environ.get("GRADIO_SERVER_PORT")):
        updates["port"] = int(port)
    return values.model_copy(update=updates)
