"""The wheel and the sdist, and what accompanies them.

The wheel is built from the unpacked sdist, so that the sdist is known to hold what that takes.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile

import pytest

import hparse_jax
from hparse_jax.__main__ import VERBS

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = (".ci", "configs", "docs", "experiments", "hparse_jax", "tests")
# Runs outside the checkout, in one process: help of every verb, the configs, and a training that
# gets as far as its missing dataset.
SCRIPT = """
import sys
sys.path.append({tests!r})
from command_line import hparse
import hparse_jax
from hparse_jax.__main__ import VERBS
assert hparse_jax.__file__.startswith({place!r}), hparse_jax.__file__
for verb in VERBS:
    done = hparse(verb, "--help")
    assert done.returncode == 0 and f"`hparse {{verb}}" in done.stdout, (verb, done)
print(hparse("configs").stdout)
done = hparse("train", "--config=synthetic", "--workdir=run")
print(done.returncode, done.stderr)
"""


def files(folder: pathlib.Path) -> set[str]:
    """Paths of a checkout's files, without what Python compiled."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix() for path in paths}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A folder that holds the sdist, unpacked too, and the wheel."""
    folder = tmp_path_factory.mktemp("distributions")
    source = folder / "source"
    source.mkdir()
    for path in ROOT.iterdir():  # links: what setuptools leaves beside them stays out of the way
        if path.suffix != ".egg-info" and path.name not in ("build", "dist"):
            (source / path.name).symlink_to(path)
    build("build_sdist", source)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    build("build_wheel", folder / archive.name.removesuffix(".tar.gz"))
    return folder


def build(kind: str, source: pathlib.Path) -> None:
    """Calls a hook of setuptools as pip does; the result is written beside `source`."""
    call = f"from setuptools import build_meta; build_meta.{kind}('..')"
    done = subprocess.run([sys.executable, "-c", call], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "would be ignored" not in done.stderr


@pytest.fixture(scope="module")
def wheel(distributions):
    (wheel,) = distributions.glob("*.whl")
    return wheel


def test_the_sdist_holds_the_tests_and_what_they_read(distributions):
    (folder,) = distributions.glob("hparse_jax-*/")
    for name in FOLDERS:
        assert files(folder / name) == files(ROOT / name), name
    assert {path.name for path in folder.iterdir()} >= {
        *(".dockerignore", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md"),
        *("CITATION.cff", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "MANIFEST.in", "Makefile"),
        *("README.md", "SECURITY.md", "mkdocs.yml", "pyproject.toml", "requirements.txt"),
    }


def test_the_wheel_holds_the_package_with_its_configs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
        (typed,) = (name for name in held if name.endswith("py.typed"))
    assert typed == "hparse_jax/py.typed"
    package = {f"hparse_jax/{name}" for name in files(ROOT / "hparse_jax")}
    assert held == package | {f"hparse_jax/configs/{name}" for name in files(ROOT / "configs")}


def test_the_unpacked_wheel_works_in_another_folder(wheel, tmp_path):
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(place)
    (tmp_path / "elsewhere").mkdir()
    script = SCRIPT.format(tests=str(ROOT / "tests"), place=str(place))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "elsewhere",
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for config in (ROOT / "configs").glob("*.py"):
        assert re.search(rf"^{config.stem} +\w", done.stdout, re.MULTILINE)
    assert f"{place}/hparse_jax/configs" in done.stdout
    assert "1 hparse train: data_dir=data: no built dataset 'synthetic' in" in done.stdout


@pytest.mark.slow
def test_the_installed_wheel_trains_and_parses_in_an_empty_environment(wheel, tmp_path):
    """Downloads all dependencies. Every verb runs there, on synthetic people, for two steps."""
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str, code: int = 0) -> str:
        done = subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    run("python", "-m", "pip", "install", "--quiet", str(wheel))
    assert "No broken requirements" in run("python", "-m", "pip", "check")
    for verb in VERBS:
        assert f"`hparse {verb}" in run("hparse", verb, "--help")
    assert "synthetic " in run("hparse", "configs")
    run("hparse", "build", "synthetic", "--data_dir=data")
    small = {
        "steps": "2",
        "batch_size": "2",
        "crop": "65,65",
        "data_dir": "data",
        "model.depth": "18",
        "model.width": "0.1",
        "model.stem": "conv7",
    }
    overrides = [f"--config.{field}={value}" for field, value in small.items()]
    run("hparse", "train", "--config=synthetic", "--workdir=run", *overrides)
    run("hparse", "evaluate", "--workdir=run", "--side=65")
    run("hparse", "pack", "--workdir=run", "--output=parser.safetensors")
    assert "mean IoU parts" in run("hparse", "info", "--workdir=run")
    assert "ResNet-18" in run("hparse", "info", "--workdir=parser.safetensors")
    photo = "from PIL import Image; Image.new('RGB', (60, 80), 'red').save('photo.png')"
    run("python", "-c", photo)
    run("hparse", "predict", "--workdir=parser.safetensors", "--output=parsed", "photo.png")
    assert (tmp_path / "parsed" / "photo.json").is_file()
    assert "No such file" in run(
        "hparse",
        "import-weights",
        "--format=torchvision-vgg16",
        "--workdir=w",
        "none.pth",
        code=1,
    ).replace("no such file", "No such file")


def test_the_version_is_the_same_everywhere():
    version = hparse_jax.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == version


def test_the_extra_all_holds_every_extra_of_users():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (everything,) = extras["all"]
    named = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    # left out: accelerators, of which one has one, and what serves development and clusters
    assert named == extras.keys() - {"all", "cuda", "tpu", "beam", "parity", "docs", "test"}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="pip install '.[docs]'")
def test_the_documentation_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={tmp_path / 'site'}"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    assert 'id="hparse_jax.load_parser"' in reference
    assert "0.1.0" in (tmp_path / "site" / "changelog" / "index.html").read_text()
