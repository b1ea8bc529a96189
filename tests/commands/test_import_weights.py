import numpy as np
import pytest
from command_line import hparse
from safetensors.numpy import save_file

from hparse_jax.checkpoint import load_backbone

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def test_a_file_becomes_a_workdir_and_is_counted(tmp_path):
    """VGG-16's 13 convolutions have 14,714,688 numbers."""
    weights, inputs = {}, 3
    for layer, channels in zip(LAYERS, CHANNELS, strict=True):
        weights[f"features.{layer}.weight"] = np.ones((channels, inputs, 3, 3), np.float32)
        weights[f"features.{layer}.bias"] = np.full(channels, layer, np.float32)
        inputs = channels
    save_file(weights, tmp_path / "vgg16.safetensors")
    file, workdir = str(tmp_path / "vgg16.safetensors"), tmp_path / "vgg16"
    done = hparse("import-weights", "--format=torchvision-vgg16", f"--workdir={workdir}", file)
    assert done.returncode == 0, done.stderr
    assert f"{workdir}: 26 arrays, 14,714,688 numbers of {file}" in done.stdout
    settings, variables = load_backbone(workdir)
    assert settings.name == "vgg"
    assert (variables["params"]["vgg"]["conv5_3"]["bias"] == 28).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--format=torchvision-vgg16",), 2, "give one file of weights"),
        (("--format=torchvision-vgg16", "a.pth", "b.pth"), 2, "give one file of weights"),
        (("--format=vgg", "a.pth"), 2, "--format=vgg"),
        (("a.pth",), 2, "missing --format=..."),
        (("--format=torchvision-vgg16", "gone.pth"), 1, "gone.pth: cannot be read"),
        (("--format=torchvision-resnet", "--depth=19", "a.pth"), 1, "depth=19"),
    ],
)
def test_wrong_calls_are_told_in_one_line(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    done = hparse("import-weights", "--workdir=run", *arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[0]
    assert not (tmp_path / "run").exists()
