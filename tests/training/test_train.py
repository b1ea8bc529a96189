"""What a run leaves behind when it is stopped, killed, wrong or finished."""

import os
import signal
import socket
import time

import jax
import numpy as np
import pytest

from hparse_jax.checkpoint import load_run
from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.lock import sole_writer
from hparse_jax.training.train import _end_with_the_job, train


def arrays_of(workdir, step):
    return [np.asarray(x) for x in jax.tree.leaves(load_run(workdir, step).variables)]


def assert_same_bits(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def uninterrupted(tmp_path, start, finish):
    workdir = tmp_path / "whole"
    finish(start(workdir, steps=40, checkpoint_every=10))
    return workdir


def test_resumed_runs_have_the_same_bits(tmp_path, start, finish, metrics, uninterrupted):
    killed, asked = tmp_path / "killed", tmp_path / "asked"
    for workdir, kind, code in ((killed, signal.SIGKILL, -9), (asked, signal.SIGTERM, 143)):
        process = start(workdir, steps=40, checkpoint_every=10)
        reached = workdir / "checkpoints" / "10"
        wait_for(reached.exists, process)
        os.kill(process.pid, kind)
        finish(process, code)
        assert not (workdir / "checkpoints" / "40").exists()  # stopped before its end
        output = finish(start(workdir, steps=40, checkpoint_every=10))
        assert "resumes after step" in output
        assert_same_bits(arrays_of(workdir, 40), arrays_of(uninterrupted, 40))
        assert [line["step"] for line in metrics(workdir)] == list(range(1, 41))
        losses = [line["train/loss"] for line in metrics(workdir)]
        assert losses == [line["train/loss"] for line in metrics(uninterrupted)]

    output = finish(start(uninterrupted, steps=40, checkpoint_every=10))
    assert "finished" in output
    assert len(metrics(uninterrupted)) == 40


def test_four_devices_and_two_processes_have_the_losses_of_one(tmp_path, start, finish, metrics):
    one, four, two = tmp_path / "one", tmp_path / "four", tmp_path / "two"
    # A small rate: later steps then show the gradients' sums, not how rounding grows.
    fields = {"steps": 3, "optimizer__base_lr": 1e-5}
    finish(start(one, **fields))
    finish(start(four, **fields, devices=4))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = (f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    pair = [start(two, *job, f"--process_id={i}", **fields, eval_every=3) for i in range(2)]
    for process in pair:
        finish(process)
    expected = metrics(one)
    assert len(expected) == 3
    for other in (four, two):
        actual = [line for line in metrics(other) if "train/loss" in line]
        losses = [[line["train/loss"] for line in lines] for lines in (actual, expected)]
        np.testing.assert_allclose(*losses, rtol=2e-4)
        # The gradient's sum over devices; later ones follow weights that differ by rounding.
        norms = [lines[0]["train/gradient_norm"] for lines in (actual, expected)]
        np.testing.assert_allclose(*norms, rtol=1e-4)
    assert 0 <= metrics(two)[-1]["val/parts/mean_iou"] <= 1


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path, start, finish
):
    process = start(tmp_path, steps=20, checkpoint_every=1, optimizer__base_lr=1e18)
    output = finish(process, code=1)
    message = output.splitlines()[-1]
    assert message.startswith("hparse train: step ")
    assert "records 000" in message
    assert "Traceback" not in output
    latest = max(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    assert f"step {latest} is kept" in message


def test_a_run_with_every_option_says_where_it_starts_and_keeps_its_best(
    tmp_path, start, finish, metrics
):
    options = {
        "ema": 0.9,
        "jitter": "0.1,0.5,0.5,0.1",
        "rotation": 20,
        "scale_choices": "0.8,1.0,1.2",
        "keep_best": True,
        "keep_checkpoints": 1,
        "loss.class_weights": "median_frequency",
        "optimizer.clip_norm": 1.0,
        "optimizer.decay_all": True,
        "optimizer.reference_batch_size": 8,
        "optimizer.power": 0,
    }
    output = finish(start(tmp_path, steps=4, eval_every=1, **options))
    assert "starts from random weights; the published score presumes trained ones" in output
    scores = {x["step"]: x["val/parts/mean_iou"] for x in metrics(tmp_path) if len(x) == 2}
    best = max(scores, key=lambda step: (scores[step], step))
    run = load_run(tmp_path, "best")
    assert (run.step, run.config.ema) == (best, 0.9)
    assert load_run(tmp_path).step == 4
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {best, 4}
    rates = {x["train/learning_rate"] for x in metrics(tmp_path) if "train/loss" in x}
    assert rates == {np.float32(0.001 * 4 / 8)}


def test_a_run_ends_when_its_minutes_are_over_and_resumes(tmp_path, start, finish, metrics):
    output = finish(start(tmp_path, "--max_minutes=0.0001", steps=3), 143)
    assert "terminated, step 1 of 3 is saved" in output
    output = finish(start(tmp_path, steps=3, checkpoint_minutes=0.0001, keep_checkpoints=9))
    assert "resumes after step 1" in output
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2", "3"]
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3]


def test_a_second_training_in_the_folder_is_refused_and_the_first_is_untouched(
    tmp_path, start, finish
):
    with sole_writer(tmp_path / "run"):
        before = sorted(path.name for path in (tmp_path / "run").iterdir())
        output = finish(start(tmp_path / "run", steps=1), 1)
        assert f"process {os.getpid()} on" in output.splitlines()[-1]
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_a_structure_loss_without_joints_is_refused_before_anything_is_written(
    tmp_path, start, finish
):
    output = finish(start(tmp_path / "run", loss__structure="product"), code=1)
    assert "hierarchy fashion_clothing defines no joints" in output.splitlines()[-1]
    assert "config.loss.structure=none" in output
    assert not (tmp_path / "run").exists()


def test_evaluations_without_their_split_are_refused_with_the_remedy(tmp_path, built):
    config = Config(dataset="fashion_clothing", data_dir=str(built), val_split="dev", eval_every=2)
    with pytest.raises(InputError, match=r"val_split=dev: .* has train, val alone; .*eval_every=0"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_lost_peer_ends_the_process_in_one_line(monkeypatch, capsys):
    """Not by closing what is open, which waits for the peer."""
    ended = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(os, "_exit", ended.append)
    with _end_with_the_job():
        raise jax.errors.JaxRuntimeError("connection closed by peer\nmore\n")
    assert ended == [1]
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("hparse train: process 0 of 2: ")
    assert "(connection closed by peer); start all of them again" in message
