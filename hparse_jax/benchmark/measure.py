"""Cases -> lines of results."""

import contextlib
import statistics
from collections.abc import Callable, Mapping

from hparse_jax.benchmark.cases import Case
from hparse_jax.benchmark.process import CaseProcess


def measure(
    cases: Mapping[str, Callable[[], Case]],
    repeats: int,
    warmup: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> list[dict]:
    """A line of results, see `line_of`, for each case: name -> what prepares it.

    Every case has `warmup` calls (at least one: it compiles) and then `repeats` timed ones. On a
    CPU all timed calls take turns, so that what else goes on there meets all cases alike. An
    accelerator belongs to one process at a time: there a case ends before the next one starts.
    announce: called with a line when a case is warm. Raises InputError as the cases do.
    """
    lines, warm = [], {}
    with contextlib.ExitStack() as stack:
        for name, prepare in cases.items():
            process = stack.enter_context(CaseProcess(name, prepare))
            first, *_ = [process.time() for _ in range(warmup)]
            announce(f"{name}: first call {first:.1f} s")
            warm[name] = process, {"warmup": warmup, "first_call_seconds": first}
            if process.hardware["accelerator"] is not None:
                lines += _timed(warm, repeats)
                warm = {}
        return lines + _timed(warm, repeats)


def _timed(warm: Mapping[str, tuple[CaseProcess, dict]], repeats: int) -> list[dict]:
    seconds = time_in_turn({name: process.time for name, (process, _) in warm.items()}, repeats)
    return [
        line_of(name, process.images, seconds[name], calls | process.finish())
        | {"conditions": process.conditions, "hardware": process.hardware}
        for name, (process, calls) in warm.items()
    ]


def time_in_turn(calls: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each call returned, `repeats` times: one of each, then one of each again."""
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(call())
    return seconds


def line_of(case: str, images: int, seconds: list[float], others: dict) -> dict:
    """The results of a case, ready for JSON, with four digits of every number.

    images: of one call. seconds: of every timed call. ms_per_image, images_per_second: of the
    median call; ms_smallest, ms_largest: an image of the quickest and of the slowest call.
    others: further results.
    """
    median = statistics.median(seconds)
    results = {
        "images": images,
        "repeats": len(seconds),
        "seconds": seconds,
        "ms_per_image": 1000 * median / images,
        "ms_smallest": 1000 * min(seconds) / images,
        "ms_largest": 1000 * max(seconds) / images,
        "images_per_second": images / median,
    }
    return {name: _rounded(value) for name, value in ({"case": case} | results | others).items()}


def _rounded(value):
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
