import dataclasses
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.checkpoint import Checkpoints, TrainState, load_run, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_model, initial_variables
from hparse_jax.workdir import write_settings

LIP = get_hierarchy("lip")


def state_of(step):
    weights = jnp.arange(6.0).reshape(2, 3) + step
    variables = {"params": {"kernel": weights}, "batch_stats": {"mean": 2 * weights}}
    return TrainState(jnp.int32(step), variables, {"trace": -weights})


def test_the_newest_checkpoint_is_restored_whole(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest is None
        for step in (3, 5, 8):
            checkpoints.save(state_of(step), step)
            checkpoints.wait()
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
    assert kept == [5, 8]
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest == 8
        restored = checkpoints.restore(state_of(0))
    for there, saved in zip(*map(jax.tree.leaves, (restored, state_of(8))), strict=True):
        np.testing.assert_array_equal(there, saved)


def steps_in(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())


def parts_of(workdir, step):
    return {p.name for p in (workdir / "checkpoints" / str(step)).iterdir() if p.is_dir()}


def test_an_average_is_one_more_part_of_the_checkpoint_and_comes_back(tmp_path):
    average = jax.tree.map(lambda x: x + 100.0, state_of(4).variables)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state_of(3), 3)
        checkpoints.save(state_of(4).replace(average=average), 4)
        checkpoints.wait()
        restored = checkpoints.restore(state_of(0).replace(average=average))
    assert parts_of(tmp_path, 3) >= {"variables", "optimizer"}
    assert parts_of(tmp_path, 4) - parts_of(tmp_path, 3) == {"average"}
    jax.tree.map(np.testing.assert_array_equal, restored.average, average)
    jax.tree.map(np.testing.assert_array_equal, restored.variables, state_of(4).variables)


def test_the_best_is_kept_besides_the_newest_and_resuming_starts_from_the_newest(tmp_path):
    with Checkpoints(tmp_path, keep=1, keep_best=True) as checkpoints:
        for step, score in ((1, 0.2), (2, 0.6), (3, None), (4, 0.5), (5, None)):
            checkpoints.save(state_of(step), step, score)
            checkpoints.wait()
    assert steps_in(tmp_path) == [2, 5]
    with Checkpoints(tmp_path, keep=1, keep_best=True) as checkpoints:
        assert checkpoints.latest == 5
        assert int(checkpoints.restore(state_of(0)).step) == 5
        checkpoints.save(state_of(6), 6, 0.7)  # better than all before
        checkpoints.save(state_of(7), 7, 0.1)
        checkpoints.wait()
    assert steps_in(tmp_path) == [6, 7]


def test_multiples_of_a_step_are_kept_besides_the_newest(tmp_path):
    with Checkpoints(tmp_path, keep=2, keep_every=10) as checkpoints:
        for step in (5, 10, 15, 20, 25, 30, 35):
            checkpoints.save(state_of(step), step)
            checkpoints.wait()
    assert steps_in(tmp_path) == [10, 20, 30, 35]


@pytest.fixture(scope="module")
def tiny():
    """(config, hierarchy, variables) of a tiny network."""
    model = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
    leaves = LIP.leaves_only()
    variables = jax.jit(initial_variables, static_argnums=(0, 1))(build_model(model, LIP), 0)
    return Config(model=model), leaves, variables


def test_a_run_is_loaded_with_its_average_at_its_newest_or_best_step(tmp_path, tiny):
    config, leaves, variables = tiny
    write_settings(tmp_path, config, leaves)

    def scaled(factor):
        return jax.tree.map(lambda x: factor * x, variables)

    with Checkpoints(tmp_path, keep=2, keep_best=True) as checkpoints:
        for step, score in ((1, 0.6), (2, None), (3, 0.5)):
            state = TrainState(jnp.int32(step), variables, {}, scaled(float(step)))
            checkpoints.save(state, step, score)
            checkpoints.wait()
    for step, loaded in ((None, 3), (2, 2), ("best", 1)):
        run = load_run(tmp_path, step)
        assert run.step == loaded
        jax.tree.map(np.testing.assert_array_equal, run.variables, scaled(float(loaded)))


def test_without_scores_there_is_no_best(tmp_path, tiny):
    save_run(tmp_path, *tiny)
    assert load_run(tmp_path).step == 0
    with pytest.raises(InputError, match=r"config\.keep_best.*name one of the steps \[0\]"):
        load_run(tmp_path, "best")


def test_a_step_is_saved_once(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state_of(3), 3)
        checkpoints.wait()
        checkpoints.save(state_of(4), 3)
        checkpoints.wait()
        assert int(checkpoints.restore(state_of(0)).step) == 3


def test_arrays_that_do_not_fit_are_named_with_the_remedy(tmp_path):
    """In a process of its own: orbax leaves coroutines of a failed restore behind."""
    model = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
    leaves = LIP.leaves_only()
    save_run(tmp_path, Config(model=model), leaves, initial_variables(build_model(model, LIP), 0))
    write_settings(tmp_path, Config(model=dataclasses.replace(model, width=0.1)), leaves)
    done = subprocess.run(
        [sys.executable, "-m", "hparse_jax", "evaluate", f"--workdir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    lines = [x for x in done.stderr.splitlines() if x.startswith("hparse evaluate: ")]
    assert (len(lines), "Traceback" in done.stderr) == (1, False), done.stderr
    line = lines[0]
    assert re.search(r"params/rate\d+/fc6/bias is \[20\], \[102\] is wanted", line)
    assert f"{tmp_path / 'checkpoints' / '0'}: cannot be restored (" in line
    assert "remove that step's folder" in line


def test_a_run_without_checkpoints_or_that_step_is_named(tmp_path):
    config = Config(model=ModelConfig(name="deeplab_v2", width=0.02, dtype="float32"))
    write_settings(tmp_path, config, LIP.leaves_only())
    with pytest.raises(InputError, match="no checkpoints yet; train the run first"):
        load_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="no complete checkpoint"):
        load_run(tmp_path)


def test_weights_are_not_saved_over_a_run(tmp_path):
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    with pytest.raises(InputError, match="has checkpoints already"):
        save_run(tmp_path, Config(), LIP, {"params": {}})
    assert not (tmp_path / "config.json").exists()


def restored(workdir):
    """The state of the newest checkpoint that is whole, and what was said on the way to it."""
    said = []
    with Checkpoints(workdir, keep=2) as checkpoints:
        return checkpoints.restore(state_of(0), said.append), said


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("two_steps")
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step in (5, 8):
            checkpoints.save(state_of(step), step)
            checkpoints.wait()
    return workdir


def test_no_flipped_bit_of_a_checkpoint_gives_other_numbers(two_steps, tmp_path):
    """In whatever file: the checkpoint comes back as it was, or the one before it does."""
    rng = np.random.default_rng(0)
    files = [p for p in (two_steps / "checkpoints" / "8").rglob("*") if p.stat().st_size]
    files = [p for p in files if p.is_file()]
    noticed = 0
    for number, file in enumerate(3 * files):
        workdir = tmp_path / str(number)
        shutil.copytree(two_steps, workdir)
        broken = workdir / file.relative_to(two_steps)
        data = bytearray(broken.read_bytes())
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        broken.write_bytes(data)
        state, said = restored(workdir)
        step = int(state.step)
        assert step == (5 if said else 8), file
        for there, saved in zip(*map(jax.tree.leaves, (state, state_of(step))), strict=True):
            np.testing.assert_array_equal(there, saved)
        assert (workdir / "damaged" / "8").exists() == bool(said)
        noticed += bool(said)
    assert noticed > len(files)


def test_a_damaged_checkpoint_without_another_is_an_error_and_stays(two_steps, tmp_path):
    shutil.copytree(two_steps, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "5")
    files = (tmp_path / "run" / "checkpoints" / "8" / "variables").glob("**/d/*")
    for file in files:
        file.write_bytes(bytes(file.stat().st_size))
    with Checkpoints(tmp_path / "run", keep=2) as checkpoints:
        with pytest.raises(InputError, match=r"8/variables/d/.*: damaged, .* remove that step's"):
            checkpoints.restore(state_of(0))
        assert checkpoints.latest == 8


def test_damage_of_a_run_is_found_before_its_weights_are_used(tmp_path, tiny):
    config, leaves, variables = tiny
    save_run(tmp_path, config, leaves, variables)
    (file,) = (tmp_path / "checkpoints" / "0" / "variables").glob("_METADATA")
    file.write_bytes(file.read_bytes().replace(b"bias", b"bias "))
    with pytest.raises(InputError, match=r"0/variables/_METADATA: damaged"):
        load_run(tmp_path)


def test_a_disk_without_room_stops_the_save_before_it_begins(tmp_path, monkeypatch):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state_of(3), 3)
        checkpoints.wait()
        usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(InputError, match=r"checkpoints: 0\.5 MB are free, a checkpoint takes"):
            checkpoints.save(state_of(4), 4)
        assert checkpoints.latest == 3
    assert steps_in(tmp_path) == [3]
