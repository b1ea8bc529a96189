"""The chart of results of `hparse benchmark`."""

import json
import pathlib
import subprocess
import sys

import pytest
from load_script import load_script
from PIL import Image

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "speed_chart.py"


@pytest.fixture
def chart():
    return load_script("speed_chart.py")


def test_calls_are_read_as_milliseconds_an_image(chart, tmp_path):
    lines = [
        {"case": "inference", "images": 1, "seconds": [0.25, 0.5]},
        {"case": "stream", "images": 100, "seconds": [2.0]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    read = chart.read(tmp_path / "a.jsonl")
    assert read == {"inference": [250.0, 500.0], "stream": [20.0]}


def test_files_are_drawn_and_another_file_is_one_line(tmp_path):
    good, bad, out = (tmp_path / name for name in ("good.jsonl", "bad.jsonl", "chart.png"))
    good.write_text('{"case": "predict", "images": 4, "seconds": [1.0, 1.5]}\n')
    bad.write_text('{"case": "predict"}\n')
    command = [sys.executable, SCRIPT, f"--output={out}"]
    failed = subprocess.run([*command, good, bad], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert f"{bad}: no output of `hparse benchmark`" in failed.stderr
    assert not out.exists()
    subprocess.run([*command, good], check=True)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
