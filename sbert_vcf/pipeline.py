"""Stages of a run that overlap: one thread ahead of the caller's, one behind it, items in their order between them."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_PATIENCE = 2.0
"""Seconds that a stage may take to notice that the run is given up. One that waits for a pipe ends with the process."""


class _LeftError(Exception):
    """The other end of a channel has stopped."""


class _Channel(Generic[_Item]):
    """A bounded line of items between two threads; either end may stop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._left = False
        self._error: BaseException | None = None

    def put(self, item: _Item) -> None:
        """Add an item, when there is room. Raises _LeftError, or the error with which the receiver left."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._items) < self._size)
            if self._left:
                raise self._error or _LeftError
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Add no more; the receiver meets the error behind the last item."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def leave(self, error: BaseException | None = None) -> None:
        """Take no more; what waits is dropped, and the sender meets the error."""
        with self._changed:
            self._left = True
            self._error = self._error or error
            self._items.clear()
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error with which the receiver left."""
        if self._left and self._error is not None:
            raise self._error

    def __iter__(self) -> Iterator[_Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._left)
                if not self._items:
                    if self._error is not None and not self._left:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


@contextlib.contextmanager
def made_ahead(items: Iterable[_Item], ahead: int) -> Iterator[Iterator[_Item]]:
    """Let a thread make items, at most `ahead` more than were taken; its error is raised where its item would come."""
    channel: _Channel[_Item] = _Channel(ahead)

    def make() -> None:
        try:
            for item in items:
                channel.put(item)
        except _LeftError:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that takes the items
            channel.end(error)
        else:
            channel.end()

    thread = _started(make, "reader")
    try:
        yield iter(channel)
    finally:
        channel.leave()
        thread.join(_PATIENCE)


@contextlib.contextmanager
def taken_behind(take: Callable[[_Item], object], behind: int) -> Iterator[Callable[[_Item], None]]:
    """Let a thread take what the function that is given is called with, in order; `behind` items may wait.

    An error of the thread is raised by the next call, or at the end. What waits at the end is taken, whether the
    context fails or not; it is dropped when the user interrupts it.
    """
    channel: _Channel[_Item] = _Channel(behind)

    def take_all() -> None:
        try:
            for item in channel:
                take(item)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that gives the items
            channel.leave(error)

    thread = _started(take_all, "writer")
    try:
        try:
            yield channel.put
        except Exception:
            channel.end()
            thread.join()
            raise
        channel.end()
        thread.join()
        channel.check()
    except BaseException:
        channel.leave()
        thread.join(_PATIENCE)
        raise


def _started(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
