"""Work in threads whose results come in order, with a bounded number of them in memory."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


def ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, calls: int
) -> Iterator[object]:
    """`map(function, items)` in a pool of threads, in order, at most `calls` calls in advance."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > calls:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
