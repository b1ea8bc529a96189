"""What a program that XLA compiled moves through memory and between chips, read from its text.

A line of the text is an instruction: `%name = SHAPE operation(%operand, ...), attributes`. SHAPE is
an array, `bf16[8,128]{1,0:T(8,128)(2,1)S(1)}`, or a tuple of arrays: type, sides, the order of the
sides from the fastest, the tile that memory is filled with, and the memory: S(1) is on the chip.
"""

import collections
import dataclasses
import math
import re

_BITS = {"pred": 8, "c64": 64, "c128": 128} | {
    f"{kind}{bits}": bits for kind in "fsu" for bits in (4, 8, 16, 32, 64)
}
_BITS |= {"bf16": 16, "f8e4m3fn": 8, "f8e5m2": 8}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """Read and written in one run of the program on one chip, through the chip's main memory.

    operation: with what it computes, for a fusion. source: the operation in JAX that it comes from.
    bytes: tiles filled up, as they lie in memory, times the runs of the loop that it stands in.
    payload: the same of its result without filling.
    """

    name: str
    operation: str
    source: str
    bytes: int
    payload: int


def instructions(text: str) -> list[Instruction]:
    """Every instruction that moves something, of the entry and of the loops that it runs."""
    computations, entry = _computations(text)
    found, waiting = [], [(entry, 1)]
    while waiting:
        name, runs = waiting.pop()
        shapes = {one: shape for one, shape, *_ in computations[name]}
        for one, shape, operation, rest in computations[name]:
            if operation in ("while", "call"):
                count = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', rest)
                body = re.search(r"(?:body|to_apply)=%?([\w.-]+)", rest)[1]
                waiting.append((body, runs * int(count[1]) if count else runs))
            if operation in _FREE or operation.endswith("-done"):
                continue
            operands = re.findall(r"%([\w.-]+)", _arguments(rest))
            read = [shapes.get(operand, "") for operand in operands]
            moved, result = sum(map(in_memory, read)) + in_memory(shape), payload(shape)
            if operation.endswith("-start") and shape.startswith("("):
                # its result is a tuple that names the operands once more
                moved -= sum(map(in_memory, read))
                result -= sum(map(payload, read))
            if operation == "slice-start":
                # ((operand), slice, flag): of its operand it reads as much as the slice has
                part = [array[0] for array in _ARRAY.finditer(shape)][1]
                moved = in_memory(part) + in_memory(re.sub(r"S\(1\)", "", part)) * bool(
                    sum(map(in_memory, read))
                )
            source = re.search(r'op_name="([^"]*)"', rest)
            found.append(
                Instruction(
                    one,
                    operation,
                    source[1] if source else "",
                    runs * moved,
                    runs * result,
                )
            )
    return found


def collectives(found: list[Instruction]) -> dict[str, tuple[int, int]]:
    """Operation between chips -> (how many, bytes of their results)."""
    sums = collections.defaultdict(lambda: [0, 0])
    for instruction in found:
        operation = instruction.operation.removesuffix("-start")
        if operation in COLLECTIVES:
            sums[operation][0] += 1
            sums[operation][1] += instruction.payload
    return {operation: tuple(pair) for operation, pair in sums.items()}


def in_memory(shape: str) -> int:
    """Bytes of the arrays of a shape in main memory, with what fills up their tiles."""
    return sum(
        math.prod(_filled(sides, order, layout)) * _BITS.get(kind, 0) // 8
        for kind, sides, order, layout in _ARRAY.findall(shape)
        if "S(" not in layout
    )


def payload(shape: str) -> int:
    """Bytes of the arrays of a shape themselves."""
    return sum(
        math.prod(map(int, filter(None, sides.split(",")))) * _BITS.get(kind, 0) // 8
        for kind, sides, *_ in _ARRAY.findall(shape)
    )


def _filled(sides: str, order: str, layout: str) -> list[int]:
    """The sides from the fastest, those that the first tile covers rounded up to it."""
    numbers = [int(side) for side in sides.split(",") if side]
    fastest_first = [numbers[int(i)] for i in order.split(",") if i] or numbers[::-1]
    tile = re.search(r"T\(([\d,]+)\)", layout)
    for i, length in enumerate(reversed(tile[1].split(",")) if tile else ()):
        if i < len(fastest_first):
            fastest_first[i] = math.ceil(fastest_first[i] / int(length)) * int(length)
    return fastest_first


def _computations(text: str) -> tuple[dict[str, list[tuple[str, str, str, str]]], str]:
    """Name -> its instructions as (name, shape, operation, rest of the line); and the entry."""
    computations, entry, name = {}, "", None
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            name = start[2]
            computations[name] = []
            entry = name if start[1] else entry
        elif line.startswith("}"):
            name = None
        elif name is not None and (instruction := _INSTRUCTION.match(line)):
            computations[name].append(instruction.groups())
    return computations, entry


def _arguments(rest: str) -> str:
    """What stands before the bracket that closes the operation's own."""
    depth = 1
    for i, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return rest[:i]
    return rest
