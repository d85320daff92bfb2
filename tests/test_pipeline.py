"""Stages that overlap: order, bounds, errors in either thread, and an end without waiting."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from sbert_vcf.pipeline import made_ahead, taken_behind


def counted(made: list[int], count: int) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        yield number


def run(items: Iterable[int], take: Callable[[int], object]) -> None:
    with made_ahead(items, 3) as made, taken_behind(take, 3) as put:
        for item in made:
            put(item)


def comes_to(made: list[int], expected: int) -> bool:
    """Whether so many were made in the end, and no more."""
    deadline = time.monotonic() + 10
    while len(made) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    return len(made) == expected


def test_items_go_through_in_order() -> None:
    taken: list[int] = []
    with made_ahead(range(1000), 3) as items, taken_behind(taken.append, 2) as put:
        for item in items:
            put(item)
    assert taken == list(range(1000))


def test_nothing_at_all() -> None:
    nothing: list[int] = []
    with made_ahead(nothing, 1) as items, taken_behind(nothing.append, 1):
        assert list(items) == []


def test_no_more_is_made_than_fits() -> None:
    made: list[int] = []
    with made_ahead(counted(made, 1000), 3) as items:
        assert comes_to(made, 4)  # three wait, one more is in the maker's hands
        next(items)
        assert comes_to(made, 5)
    assert comes_to(made, 5)


def test_no_more_is_given_than_fits() -> None:
    go = threading.Event()
    given: list[int] = []

    def wait(_: int) -> None:
        go.wait(10)

    def give() -> None:
        with taken_behind(wait, 2) as put:
            for number in range(10):
                put(number)
                given.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    assert comes_to(given, 3)
    go.set()
    giver.join(10)
    assert len(given) == 10


def test_an_error_of_the_maker_comes_behind_its_items() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("line 3")

    taken: list[int] = []
    with pytest.raises(ValueError, match="line 3"):
        run(broken(), taken.append)
    assert taken == [1, 2]


@pytest.mark.parametrize("given", [1, 100])
def test_an_error_of_the_taker_ends_the_run(given: int) -> None:
    def refuse(_: int) -> None:
        raise BrokenPipeError("closed")

    with pytest.raises(BrokenPipeError, match="closed"):
        run(range(given), refuse)


def test_an_interrupt_drops_what_waits() -> None:
    begun, go = threading.Event(), threading.Event()
    taken: list[int] = []

    def take(number: int) -> None:
        begun.set()
        go.wait(10)
        taken.append(number)

    def interrupted() -> Iterator[int]:
        yield from range(3)
        begun.wait(10)
        threading.Timer(0.2, go.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted(), take)
    assert taken == [0]


def test_a_run_that_is_given_up_stops_making() -> None:
    made: list[int] = []
    with made_ahead(counted(made, 1000), 2) as items:
        next(items)
    assert len(made) < 10


def test_a_maker_that_waits_for_ever_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbert_vcf.pipeline._PATIENCE", 0.1)
    never = threading.Event()

    def stalled() -> Iterator[int]:
        yield 1
        never.wait()

    with made_ahead(stalled(), 1) as items:
        assert next(items) == 1
    never.set()
