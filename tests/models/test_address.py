"""The grammar of an address: what each part is, and that an address is the same when it is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground import models
from playground.engines import base
from playground.errors import UnknownModel, UnsupportedModel
from playground.models import names
from playground.models.address import ENGINES, KV_FORMS, Address, KvForm
from tests.models.conftest import make_folder

# Written before there were adapters and KV forms: all of it is the model, or the model and an engine.
TODAY = [
    ("smollm2", ""),
    ("smollm2:nf4", "vllm"),
    ("owner/name", ""),
    ("owner/name@main", ""),
    ("owner/name@main", "transformers"),
    ("owner/name@refs/pr/1:int8", "llamacpp"),
    ("owner/name@refs/heads/vllm", ""),
    ("owner/name/sub/file.Q4_K_M.gguf", "llamacpp"),
    ("owner/name/a+b.gguf", ""),
    ("owner/name/a+b.gguf:nf4", "llamacpp"),
    ("@lab", ""),
    ("@vllm", ""),
    ("@lab/owner/name", "remote"),
    ("@lab/llama-3+tools:free?x", ""),
    ("@lab/llama?kv=int4", "remote"),
    ("/models/a:b", ""),
    ("/models/c++", ""),
    ("~/m:nf4", "vllm"),
    ("smollm2?x=1", ""),
    ("", ""),
]


@pytest.mark.parametrize(("model", "engine"), TODAY)
def test_addresses_of_today_stay_as_they_are(model: str, engine: str) -> None:
    text = f"{model}@{engine}" if engine else model
    assert Address.parse(text) == Address(model=model, engine=engine)
    assert str(Address.parse(text)) == text and Address.parse(f" {text} ") == Address.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("smollm2+lora", Address(model="smollm2", adapter="lora")),
        ("smollm2:nf4+me/lora@main@vllm", Address(model="smollm2:nf4", adapter="me/lora@main", engine="vllm")),
        ("owner/name+./lora", Address(model="owner/name", adapter="./lora")),
        ("smollm2?kv=int4", Address(model="smollm2", kv=KvForm("int4", "int4"))),
        ("smollm2?kv=q8_0/q4_0@llamacpp", Address(model="smollm2", kv=KvForm("q8_0", "q4_0"), engine="llamacpp")),
        ("m/n+a?kv=int4-g64/fp8&tail=128", Address(model="m/n", adapter="a", kv=KvForm("int4-g64", "fp8", 128))),
        ("owner/name/a+b.gguf+lora", Address(model="owner/name/a+b.gguf", adapter="lora")),
    ],
)
def test_each_part(text: str, address: Address) -> None:
    assert Address.parse(text) == address and str(address) == text
    assert address.variant == text.removesuffix(f"@{address.engine}")


def test_a_path_is_taken_whole_where_it_exists(tmp_path: Path) -> None:
    for name in ("a+b", "what?kv=int4", "c++"):
        folder = str(make_folder(tmp_path / name))
        for text in (folder, f"{folder}:nf4"):
            assert Address.parse(f"{text}@vllm") == Address(model=text, engine="vllm")
        assert Address.parse(f"{folder}+lora") == Address(model=folder, adapter="lora")
        assert Address.parse(f"{folder}?kv=fp8") == Address(model=folder, kv=KvForm("fp8", "fp8"))
        assert models.split(f"{folder}:nf4") == (folder, "nf4")
    assert Address.parse(f"{tmp_path}/gone+lora").adapter == "lora"


MODELS = st.sampled_from([model for model, _ in TODAY if model and not model.startswith("@") and "?" not in model])
FORMS = st.sampled_from(KV_FORMS)
ADDRESSES = st.builds(
    Address,
    model=MODELS,
    adapter=st.sampled_from(["", "lora", "me/lora", "./a/b", "/a/b.v2", "me/lora@main"]),
    kv=st.none() | st.builds(KvForm, FORMS, FORMS, st.none() | st.integers(0, 10**6)),
    engine=st.sampled_from(["", *ENGINES]),
)


@given(ADDRESSES)
def test_an_address_is_the_same_when_it_is_read_again(address: Address) -> None:
    if address.adapter and address.model.endswith("+"):
        return  # "c+++lora": nobody can tell
    assert Address.parse(str(address)) == address


@given(st.text(st.sampled_from("ab/:+?@=&~. kvint4fp8tailvllm\0"), max_size=40))
def test_every_text_is_an_address_and_says_the_same_when_written(text: str) -> None:
    address = Address.parse(text)
    assert Address.parse(str(address)) == address
    if address.kv is None:
        assert str(address) == text.strip()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("smollm2+lora", "lora is an adapter, and adapters cannot be loaded here. Use smollm2."),
        (
            "smollm2:nf4?kv=int8",
            "?kv=int8 asks for a form of the KV cache, which cannot be chosen here. Use smollm2",
        ),
        ("smollm2?kv=int5", "'int5' is no form of the KV cache, and none can be chosen here. Use smollm2:"),
    ],
)
def test_what_nothing_here_runs_is_refused_where_a_name_is_looked_up(text: str, says: str) -> None:
    for look_up in (models.split, models.variant, models.resolve, names.absolute):
        with pytest.raises(UnsupportedModel) as caught:
            look_up(text)
        assert str(caught.value).startswith(says)
    with pytest.raises(UnknownModel):
        names.parse(text)


def test_the_engines_are_those_of_the_table() -> None:
    assert tuple(row.name for row in base.TABLE) == ENGINES
