"""The verb `serve`: its flags, and what stops it before it listens."""

import sys

import pytest
from command_line import hparse

from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.buckets import few_buckets
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.serving import run as serving
from hparse_jax.serving.run import Limits, listen
from hparse_jax.workdir import BackboneSettings

TINY = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder, lip = tmp_path_factory.mktemp("serve") / "run", get_hierarchy("lip")
    variables = initial_variables(build_model(TINY, lip), 0)
    save_run(folder, Config(dataset="lip", model=TINY), lip, variables)
    return folder


@pytest.fixture
def served(monkeypatch):
    """What the verb hands to the service, which does not start."""
    calls = []

    def serve(predictor, listener, limits, token, announce):
        calls.append((predictor, listener.getsockname(), limits, token))

    monkeypatch.setattr(serving, "serve", serve)
    return calls


def test_the_defaults_are_safe(workdir, served):
    done = hparse("serve", f"--workdir={workdir}", "--port=0")
    assert done.returncode == 0, done.stderr
    ((predictor, (host, port), limits, token),) = served
    assert (host, limits, token) == ("127.0.0.1", Limits(), None)
    assert predictor.buckets(700, 500)[1] == few_buckets((700, 500), (700, 500))[1]
    assert done.stderr == f"hparse serve: http://127.0.0.1:{port}\n"


def test_flags_reach_the_service(workdir, served, monkeypatch):
    monkeypatch.setenv("HPARSE_TOKEN", "from-the-environment")
    flags = ("--max_pixels=9", "--max_bytes=8", "--timeout=7", "--queue=6", "--consistent")
    done = hparse("serve", f"--workdir={workdir}", "--port=0", "--host=0.0.0.0", *flags)
    assert done.returncode == 0, done.stderr
    assert "--token" not in done.stderr
    assert hparse("serve", f"--workdir={workdir}", "--port=0", "--token=a").returncode == 0
    (predictor, (host, _), limits, token), (*_, given) = served
    assert predictor.consistent
    assert host == "0.0.0.0"
    assert limits == Limits(bytes=8, pixels=9, seconds=7, photographs=6)
    assert (token, given) == ("from-the-environment", "a")


def test_an_open_service_says_so(workdir, served):
    done = hparse("serve", f"--workdir={workdir}", "--port=0", "--host=0.0.0.0")
    assert "whoever reaches 0.0.0.0 can use it; --token=... keeps others out" in done.stderr


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--port=65536", "--port=65536: give 0..65535"),
        ("--queue=0", "--queue=0: give a number above 0"),
        ("--max_pixels=-1", "--max_pixels=-1: give a number above 0"),
        ("--timeout=0", "--timeout=0: give a number above 0"),
        ("--token=", "--token: a token is made of"),
        ("--token=two words", "--token: a token is made of"),
        ("--host=no.such.host.invalid", "--host=no.such.host.invalid --port=8000: cannot listen"),
    ],
)
def test_a_wrong_value_is_one_line(workdir, served, flag, reason):
    done = hparse("serve", f"--workdir={workdir}", flag)
    assert done.returncode == 1
    assert done.stderr.startswith(f"hparse serve: {reason}")
    assert done.stderr.count("\n") == 1
    assert served == []


def test_a_taken_port_is_one_line(workdir, served):
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        done = hparse("serve", f"--workdir={workdir}", f"--port={port}")
    assert done.returncode == 1
    assert f"--port={port}: cannot listen there (Address already in use)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_extra_is_named(workdir, monkeypatch):
    monkeypatch.delitem(sys.modules, "hparse_jax.serving.run")
    monkeypatch.delattr("hparse_jax.serving.run")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = hparse("serve", f"--workdir={workdir}", "--port=0")
    assert done.returncode == 1
    assert done.stderr == (
        "hparse serve: uvicorn is not installed; pip install 'hparse_jax[serve]'\n"
    )


def test_a_backbone_cannot_be_served(tmp_path, served):
    model = ModelConfig(depth=18, width=0.1, dtype="float32")
    settings = BackboneSettings("resnet", model, (0.0,) * 3, (1.0,) * 3, "rgb")
    variables = initial_variables(build_backbone("resnet", model), 0)
    save_backbone(tmp_path / "backbone", settings, variables)
    done = hparse("serve", f"--workdir={tmp_path / 'backbone'}", "--port=0")
    assert done.returncode == 1
    assert "an imported backbone parses nothing by itself" in done.stderr
    assert served == []
