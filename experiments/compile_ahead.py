"""Compiles training and inference for a TPU slice that is not there, and counts what they need.

    pip install libtpu
    python experiments/compile_ahead.py --topology=v5e:2x4 --config=configs/lip.py
    python experiments/compile_ahead.py --topology=v5e:8x8 --config=configs/lip.py \\
        --config.batch_size=320 --programs=training --output=v5e_64.json

Prints for each program: seconds to compile; memory of a chip beside what it has; operations and
bytes by XLA's own count, and the seconds that they take at the chip's published peak and bandwidth,
which no program reaches; what goes between chips; and the operations of the program that move the
most bytes through a chip's main memory, counted from its text (experiments/hlo.py). Nothing is run:
the figures are estimates, not measurements.
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import sys
import time

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no machine in a cloud is asked what it is
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from hlo import collectives, instructions  # beside this script
from jax.experimental import topologies
from jax.sharding import Mesh
from runs import set_fields

from hparse_jax.config import Config, flat, validate
from hparse_jax.config_files import read_config
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.multiscale import parse_canvas, view_side
from hparse_jax.models.build import build_model, initial_variables
from hparse_jax.sharding import batch_sharding, data_mesh, replicated
from hparse_jax.storage import write_json
from hparse_jax.training.step import initial_state, make_train_step

PROGRAMS = ("training", "inference")
MOST = 20  # operations that are listed


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of one chip: operations a second in bfloat16, bytes a second, bytes."""

    peak: float
    bandwidth: float
    memory: float


# docs.cloud.google.com/tpu/docs: v4, v5e, v5p, v6e, "System architecture"
CHIPS = {
    "v4": Chip(275e12, 1228e9, 32e9),
    "v5e": Chip(197e12, 819e9, 16e9),
    "v5p": Chip(459e12, 2765e9, 95e9),
    "v6e": Chip(918e12, 1640e9, 32e9),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topology", required=True, help="e.g. v5e:2x4, v4:2x2x4, v5p:2x2x2")
    parser.add_argument("--config", required=True, help="a name of `hparse configs`, or a file")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="default: %(default)s")
    parser.add_argument("--output", metavar="JSON", help="a file for all figures")
    parser.add_argument("--hlo", metavar="FOLDER", help="for the text of the compiled programs")
    arguments, fields = parser.parse_known_args()
    names = arguments.programs.split(",")
    for name in names:
        if name not in PROGRAMS:
            raise InputError(f"--programs={name}: no such program; known are {', '.join(PROGRAMS)}")
    config = _config(arguments.config, fields)
    mesh, chip = topology(arguments.topology)
    if config.batch_size % mesh.size:
        raise InputError(
            f"config.batch_size={config.batch_size}: is no multiple of the {mesh.size} chips of "
            f"{arguments.topology}"
        )
    found = {"topology": arguments.topology, "config": flat(config), "jax": jax.__version__}
    for name in names:
        begin = time.perf_counter()
        lowered = {"training": lower_training, "inference": lower_inference}[name](config, mesh)
        lowering = time.perf_counter() - begin
        compiled = lowered.compile()
        seconds = {"lowering": lowering, "compiling": time.perf_counter() - begin - lowering}
        text = compiled.as_text()
        found[name] = {"seconds": seconds} | figures(compiled, text, chip)
        if arguments.hlo:
            pathlib.Path(arguments.hlo).mkdir(parents=True, exist_ok=True)
            (pathlib.Path(arguments.hlo) / f"{name}.hlo").write_text(text)
        print(f"\n{name} on {arguments.topology}, {mesh.size} chips, batch {config.batch_size}")
        print(table(found[name], chip), flush=True)
    if arguments.output:
        write_json(arguments.output, found)


def _config(name: str, arguments: list[str]) -> Config:
    """The config with the fields of --config.FIELD=VALUE, computing as on an accelerator."""
    config, fields = read_config(name), {"model.dtype": "bfloat16"}
    for argument in arguments:
        given = re.fullmatch(r"--config\.([\w.]+)=(.*)", argument)
        if not given or given[1] not in flat(config):
            raise InputError(f"{argument}: no such flag; --config.FIELD=VALUE sets a field")
        old = flat(config)[given[1]]
        fields[given[1]] = given[2] if isinstance(old, str) else _value(argument, given[2])
    validate(set_fields(config, fields))
    return config


def _value(argument: str, text: str) -> object:
    try:
        value = json.loads(f"[{text}]")
    except json.JSONDecodeError as error:
        raise InputError(f"{argument}: cannot be read; write numbers, true or false") from error
    return value[0] if len(value) == 1 else tuple(value)


def topology(name: str) -> tuple[Mesh, Chip]:
    """The mesh of the slice, and what one of its chips has. Raises InputError for an unknown one,
    and without libtpu."""
    kind, _, sides = name.partition(":")
    if kind not in CHIPS or not re.fullmatch(r"\d+(x\d+)+", sides):
        raise InputError(
            f"--topology={name}: give {', '.join(CHIPS)} and the sides of the slice, e.g. v5e:2x4"
        )
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    except Exception as error:
        reason = " ".join(str(error).split())
        if "libtpu" in reason or "TPU plugin" in reason:
            raise InputError(f"libtpu cannot be loaded ({reason}); pip install libtpu") from error
        raise InputError(f"--topology={name}: there is no such slice ({reason})") from error
    return data_mesh(devices), CHIPS[kind]


def lower_training(config: Config, mesh: Mesh) -> jax.stages.Lowered:
    """The optimiser step of `hparse train`."""
    model = build_model(config.model, get_hierarchy(config.hierarchy or config.dataset))
    state = jax.eval_shape(functools.partial(initial_state, model, config, 1000))
    images, labels = _batch(config, (*config.crop, 3), mesh), _batch(config, config.crop, mesh)
    return make_train_step(model, config, mesh, 1000).lower(_on(state, mesh), images, labels)


def lower_inference(config: Config, mesh: Mesh) -> jax.stages.Lowered:
    """Photographs of the crop's size to label maps of every level, at scale 1."""
    model = build_model(config.model, get_hierarchy(config.hierarchy or config.dataset))
    variables = jax.eval_shape(lambda: initial_variables(model, config.seed))
    preprocessing = (tuple(config.mean), tuple(config.std), config.channels)
    side = tuple(view_side(x, 1.0) for x in config.crop)
    batch = batch_sharding(mesh)
    sizes = jax.ShapeDtypeStruct((config.batch_size, 2), jnp.int32, sharding=batch)
    parse = jax.jit(lambda *given: parse_canvas(model, *given, preprocessing)[0])
    return parse.lower(_on(variables, mesh), _batch(config, (*side, 3), mesh), sizes)


def _batch(config: Config, shape: tuple[int, ...], mesh: Mesh) -> jax.ShapeDtypeStruct:
    whole = (config.batch_size, *shape)
    return jax.ShapeDtypeStruct(whole, jnp.uint8, sharding=batch_sharding(mesh))


def _on(tree, mesh: Mesh):
    everywhere = replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), tree)


def figures(compiled: jax.stages.Compiled, text: str, chip: Chip) -> dict:
    """Of one chip and one run of the program; ready for JSON."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    peak = held + memory.temp_size_in_bytes - memory.alias_size_in_bytes
    found = instructions(text)
    largest = sorted(found, key=lambda one: -one.bytes)[:MOST]
    rooms = collections.Counter()
    for one in found:
        rooms[_room(one.source)] += one.bytes
    return {
        "memory_bytes": peak,
        "temporary_bytes": memory.temp_size_in_bytes,
        "program_bytes": memory.generated_code_size_in_bytes,
        "operations": cost["flops"],
        "bytes_accessed": cost["bytes accessed"],
        "seconds_of_operations": cost["flops"] / chip.peak,
        "seconds_of_bytes": cost["bytes accessed"] / chip.bandwidth,
        "bytes_of_text": sum(one.bytes for one in found),
        "collectives": collectives(found),
        "largest": [dataclasses.asdict(one) for one in largest],
        "by_module": dict(rooms.most_common(MOST)),
    }


def _room(source: str) -> str:
    """The network's module, or the function, that an operation comes from, and its direction."""
    direction = "backward" if "transpose(" in source else "forward"
    names = re.sub(r"\w+\(|\)", "", source).split("/")
    named = [name for name in names if re.match(r"[a-z_]+\w*$", name) and "jit" not in name]
    inner = named[1:3] if len(named) > 2 else named[:1]
    return f"{'/'.join(inner) or 'other'}, {direction}"


def table(found: dict, chip: Chip) -> str:
    gib = 2**30
    lines = [
        f"lowering {found['seconds']['lowering']:.0f} s, compiling "
        f"{found['seconds']['compiling']:.0f} s, program {found['program_bytes'] / 2**20:.0f} MiB",
        f"memory of a chip {found['memory_bytes'] / gib:.1f} GiB of {chip.memory / gib:.1f}",
        f"operations {found['operations'] / 1e12:.2f} T: "
        f"{1e3 * found['seconds_of_operations']:.0f} ms at {chip.peak / 1e12:.0f} TFLOP/s",
        f"bytes {found['bytes_accessed'] / gib:.1f} GiB: "
        f"{1e3 * found['seconds_of_bytes']:.0f} ms at {chip.bandwidth / 1e9:.0f} GB/s "
        f"(counted from the text: {found['bytes_of_text'] / gib:.1f} GiB)",
        *(
            f"{count} {operation}, {size / 2**20:.1f} MiB"
            for operation, (count, size) in found["collectives"].items()
        ),
        "",
        "GiB by module:",
        *(f"{size / gib:8.2f}  {name}" for name, size in found["by_module"].items()),
        "",
        "MiB of the largest:",
        *(
            f"{one['bytes'] / 2**20:8.0f}  {one['operation']:12} {one['source'][-76:]}"
            for one in found["largest"]
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        with contextlib.suppress(BrokenPipeError):
            main()
    except InputError as error:
        sys.exit(f"compile_ahead: {error}")
