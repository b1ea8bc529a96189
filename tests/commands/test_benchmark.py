"""The verb `benchmark`."""

import json

import pytest
from command_line import hparse

from hparse_jax.checkpoint import save_run
from hparse_jax.commands.benchmark import origin, table
from hparse_jax.config import Config, ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_model, initial_variables

TINY = ModelConfig(name="deeplab_largefov", width=0.02, dtype="float32")
CONFIG = Config(dataset="fashion_clothing", crop=(33, 33), model=TINY)
CLOTHES = get_hierarchy("fashion_clothing")
LINE = {
    "case": "inference",
    "images": 8,
    "repeats": 5,
    "warmup": 2,
    "seconds": [1.0] * 5,
    "ms_per_image": 12345.6,
    "ms_smallest": 0.01234,
    "ms_largest": 99.94,
    "images_per_second": 0.081,
    "first_call_seconds": 61.23,
    "process_mib": 1234.5,
    "device_mib": None,
    "conditions": {"size": (473, 473), "batch": 8, "precision": "bfloat16"},
    "hardware": {
        "cpu": "A processor with a long name of many words @ 2.00GHz",
        "cores": 96,
        "accelerator": None,
        "jax": "0.10.2",
        "python": "3.11.7",
        "hparse_jax": "0.1.0",
    },
}


def row(text: str, case: str) -> list[str]:
    (line,) = [x for x in text.splitlines() if x.startswith(f"{case} ")]
    return line.split()[1:]


def test_the_table_shows_what_the_lines_hold(tmp_path):
    save_run(tmp_path / "run", CONFIG, CLOTHES, initial_variables(build_model(TINY, CLOTHES), 0))
    done = hparse(
        "benchmark",
        f"--workdir={tmp_path / 'run'}",
        "--cases=predict,inference",
        "--repeats=2",
        f"--output={tmp_path / 'new' / 'lines.jsonl'}",
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(x) for x in (tmp_path / "new" / "lines.jsonl").read_text().splitlines()]
    assert [line["case"] for line in lines] == ["predict", "inference"]
    for line in lines:
        shown = [float(x) for x in row(done.stdout, line["case"])]
        median = 1000 * sum(line["seconds"]) / 2 / line["images"]  # of two it is the mean
        wanted = [
            median,
            1000 * min(line["seconds"]) / line["images"],
            1000 * max(line["seconds"]) / line["images"],
            1000 / median,
            line["first_call_seconds"],
            line["process_mib"],
        ]
        assert shown == pytest.approx(wanted, rel=2e-3)
        assert line["weights"] == "run"
        assert line["config"]["model.width"] == 0.02
    assert done.stdout.splitlines()[-1] == f"written to {tmp_path / 'new' / 'lines.jsonl'}"
    assert [x.split(": first call")[0] for x in done.stderr.splitlines()] == [
        "hparse benchmark: predict",
        "hparse benchmark: inference",
    ]


@pytest.mark.parametrize("accelerator", [None, "4 x TPU v5 lite"])
def test_the_table_fits_into_100_columns(accelerator):
    machine = LINE["hardware"] | {"accelerator": accelerator}
    line = LINE | {"hardware": machine, "device_mib": accelerator and 7654.3}
    line |= origin(None, Config(crop=(65, 33), model=ModelConfig(depth=18, width=0.25)))
    shown = table([line, line | {"case": "predict", "conditions": {"photographs": "16 drawn"}}])
    assert max(map(len, shown.splitlines())) <= 100
    numbers = ["12346", "0.01234", "99.94", "0.081", "61.23"]
    memory = ["1234", "7654"] if accelerator else ["1234"]
    assert row(shown, "inference") == numbers + memory
    text = " ".join(shown.split())
    for part in (
        "@ 2.00GHz, 96 cores; ",
        "; 4 x TPU v5 lite; jax 0.10.2" if accelerator else "; no accelerator; jax 0.10.2",
        "cnif, weights: random; crop=65,33 model.depth=18 model.width=0.25",
        "label maps of every level, at scale 1; size 473,473, batch 8, precision bfloat16",
        "2 to warm up, then 5 timed calls, " + ("one case after" if accelerator else "in turn;"),
    ):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--config=lip", "--cases=inference,speed"], 1, "no case speed; give inference, training"),
        (["--config=lip", "--engines=trt"], 1, "--engines=trt: give some of jax, onnxruntime"),
        (["--config=lip", "--engines="], 1, "--engines=: give some of jax"),
        (["--config=lip", "--cases="], 1, "--cases: none is given"),
        (["--config=lip", "--repeats=0"], 1, "--repeats=0: give a number above 0"),
        (["--config=lip", "--warmup=0"], 1, "--warmup=0: give a number above 0"),
        (["--config=lip", "--batch=-1"], 1, "--batch=-1: give a number above 0"),
        (["--config=lip", "--size=33"], 1, "--size=33: give HEIGHT,WIDTH"),
        (["--config=lip", "--output={tmp}"], 1, "{tmp}: is a folder; give the path of a file"),
        (["--config=lip", "--output={tmp}/file/x"], 1, "{tmp}/file: exists already and is a file"),
        (["--config=lip", "--photos={tmp}/none"], 1, "--photos={tmp}/none: no such folder"),
        (["--config=lip", "--config.model.depth=19"], 1, "config.model.depth=19: must be one of"),
        (["--config=none"], 1, "none: no such config"),
        (["--config=lip", "--workdir={tmp}"], 2, "--workdir or --config, not both"),
        (["--workdir={tmp}"], 1, "{tmp}: not a workdir"),
        (["--workdir={tmp}", "--config.seed=1"], 2, "give --config=NAME before --config.seed"),
        (["--config=lip", "photo.jpg"], 2, "no arguments but flags, not photo.jpg"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments, code, message, tmp_path):
    (tmp_path / "file").touch()
    done = hparse("benchmark", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == code
    assert message.format(tmp=tmp_path) in done.stderr
    assert done.stderr.count("\n") == code  # with wrong usage the usage follows
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
