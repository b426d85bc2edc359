"""The log of rows, who reads it, and its stream."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import TooMany
from playground.web import stream
from playground.web.stream import Readers, Row, Rows, last_seen
from tests.fakes.rows import Clock

APPEND = st.tuples(st.just("append"), st.integers(0, 2))
RESET = st.tuples(st.just("reset"), st.integers(0, 2))
READ = st.tuples(st.just("read"), st.integers(0, 3))


@given(st.lists(st.one_of(APPEND, RESET, READ), max_size=60))
def test_each_reader_gets_every_row_that_counts_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    rows, seen = Rows(), {reader: [] for reader in range(4)}  # type: dict[int, list[int]]
    alive: list[tuple[int, int]] = []  # number and group of what counts
    read_to = dict.fromkeys(range(4), 0)
    for what, which in [*steps, *[("read", reader) for reader in range(4)]]:
        if what == "read":
            got = [row.number for row in rows.after(read_to[which])]
            assert got == [number for number, _ in alive if number > read_to[which]]
            seen[which] += got
            read_to[which] = got[-1] if got else read_to[which]
            continue
        if what == "reset":
            alive = [row for row in alive if row[1] != which]
        number = rows.append([which, what], which, restart=what == "reset")
        assert number == rows.last
        alive.append((number, which))
    for numbers in seen.values():
        assert numbers == sorted(set(numbers)), "none twice, none out of order"
        assert {number for number, _ in alive} <= set(numbers), "and none that counts is missing"


def test_many_threads_lose_nothing() -> None:
    rows = Rows()

    def write(group: int) -> None:
        for n in range(300):
            rows.append([group, n], group)

    threads = [threading.Thread(target=write, args=(group,)) for group in range(4)]
    for thread in threads:
        thread.start()
    read: list[Row] = []
    while any(thread.is_alive() for thread in threads) or rows.after(read[-1].number if read else 0):
        read += rows.after(read[-1].number if read else 0)
    assert [row.number for row in read] == list(range(1, 1201))
    assert [json.loads(row.text) for row in read if row.group == 2] == [[2, n] for n in range(300)]


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Rows().append([float("nan")])


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: this one may have a loop already, that of a browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _gather(batches: AsyncIterator[list[Row]], count: int) -> list[list[str]]:
    got: list[list[str]] = []
    async with aclosing(batches) as reading:  # type: ignore[type-var]
        async for batch in reading:
            got.append([row.text for row in batch])
            if len(got) == count:
                break
    return got


def test_rows_that_come_fast_share_a_chunk_and_the_last_one_is_read() -> None:
    rows, over = Rows(), threading.Event()

    def write() -> None:
        for n in range(200):
            rows.append([n])
            time.sleep(0.001)
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    began = time.monotonic()
    batches = _run(_gather(rows.read(0, over.is_set), -1))
    assert len(batches) <= 20 * (time.monotonic() - began) + 2
    assert [json.loads(text)[0] for batch in batches for text in batch] == list(range(200))
    thread.join()


def test_silence_is_interrupted_by_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "COMMENT_S", 0.1)
    assert _run(_gather(Rows().read(0, lambda: False), 2)) == [[], []]


def test_a_reader_holds_off_the_end_until_it_was_away_for_too_long() -> None:
    clock = Clock()
    readers = Readers(clock)
    assert not readers.abandoned, "there is no work yet"
    readers.renew()
    first, second = readers.join("one"), readers.join("two")
    clock.now += 1000
    assert not readers.abandoned
    readers.part(first)
    clock.now += 1000
    assert not readers.abandoned, "one is still there"
    readers.part(second)
    clock.now += stream.DROPPED_S - 0.1
    assert not readers.abandoned
    clock.now += 0.2
    assert readers.abandoned
    readers.join("three")
    assert not readers.abandoned


def test_a_page_that_leaves_counts_no_more_though_its_connection_is_open() -> None:
    clock = Clock()
    readers = Readers(clock)
    readers.renew()
    gone, here = readers.join("gone"), readers.join("here")
    readers.leave("gone")
    clock.now += 100
    assert not readers.abandoned
    readers.leave("here")
    clock.now += stream.LEFT_S - 0.1
    assert not readers.abandoned
    clock.now += 0.2
    assert readers.abandoned
    readers.part(gone)
    readers.part(here)
    assert readers.abandoned, "that its connections end now changes nothing"


def test_there_are_only_so_many_streams() -> None:
    readers = Readers()
    opened = []
    for _ in range(stream.MAX_STREAMS):
        readers.check()
        opened.append(readers.join())
    with pytest.raises(TooMany, match="8 streams"):
        readers.check()
    readers.part(opened[0])
    readers.check()


@pytest.mark.parametrize(
    ("after", "header", "seen"), [(0, "", 0), (3, "", 3), (3, "7", 7), (3, "-7", 3), (3, "x", 3), (3, "9" * 30, 3)]
)
def test_where_a_client_goes_on(after: int, header: str, seen: int) -> None:
    assert last_seen(after, header) == seen
