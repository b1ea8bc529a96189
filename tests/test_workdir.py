import dataclasses
import json
import pathlib

import pytest

from hparse_jax import workdir
from hparse_jax.config import Config, LossConfig, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.integrity import SEAL
from hparse_jax.storage import write_json
from hparse_jax.workdir import (
    BackboneSettings,
    check_new,
    claim,
    located,
    read_backbone,
    read_settings,
    saved_steps,
    write_backbone,
    write_settings,
)

LIP = get_hierarchy("lip")


@pytest.fixture
def run(tmp_path):
    """A workdir of LIP's default config with a checkpoint of step 40."""
    write_settings(tmp_path, Config(), LIP)
    (tmp_path / "checkpoints" / "40").mkdir(parents=True)
    return tmp_path


def test_settings_are_read_as_they_were_written(tmp_path):
    config = Config(data_dir="/data", crop=(129, 97), model=ModelConfig(depth=18))
    write_settings(tmp_path, config, LIP)
    assert read_settings(tmp_path) == (config, LIP)


def test_a_relative_data_dir_is_stored_as_an_absolute_one(tmp_path, monkeypatch):
    """A run can be evaluated from any folder."""
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "run", Config(data_dir="data"), LIP)
    monkeypatch.chdir("/")
    assert pathlib.Path(read_settings(tmp_path / "run")[0].data_dir) == tmp_path / "data"


def test_a_backbone_is_read_as_it_was_written_and_is_no_run(tmp_path):
    settings = BackboneSettings(
        "resnet", ModelConfig(depth=50), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), "bgr"
    )
    write_backbone(tmp_path, settings)
    assert read_backbone(tmp_path) == settings
    with pytest.raises(InputError, match="an imported backbone, which parses nothing"):
        read_settings(tmp_path)
    with pytest.raises(InputError, match="an imported backbone; give another folder"):
        claim(tmp_path, Config(), LIP)


def test_a_backbone_from_before_classifiers_has_none(tmp_path):
    settings = BackboneSettings("vgg", ModelConfig(), (1.0,) * 3, (1.0,) * 3, "rgb", True)
    write_backbone(tmp_path, settings)
    tree = json.loads((tmp_path / "backbone.json").read_text())
    del tree["classifier"], tree["model"]["input_scales"], tree["model"]["attention_stride"]
    (tmp_path / "backbone.json").write_text(json.dumps(tree))
    (tmp_path / SEAL).unlink()
    assert read_backbone(tmp_path) == dataclasses.replace(settings, classifier=False)


@pytest.mark.parametrize(("field", "value"), [("name", "vit"), ("model", {"depth": 19})])
def test_a_backbone_that_cannot_be_built_is_named(tmp_path, field, value):
    settings = BackboneSettings("resnet", ModelConfig(), (1.0,) * 3, (1.0,) * 3, "rgb")
    write_backbone(tmp_path, settings)
    tree = json.loads((tmp_path / "backbone.json").read_text())
    (tmp_path / "backbone.json").write_text(json.dumps(tree | {field: value}))
    (tmp_path / SEAL).unlink()
    with pytest.raises(InputError, match=r"backbone\.json is damaged.*(vit|depth=19)"):
        read_backbone(tmp_path)


def test_the_steps_of_a_folder_are_those_of_its_complete_checkpoints(tmp_path):
    assert saved_steps(tmp_path) == []
    for name in ("900", "1200", "1500.unfinished"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert saved_steps(tmp_path) == [900, 1200]


def test_a_run_without_a_checkpoint_does_not_bind_the_workdir(tmp_path):
    write_settings(tmp_path, Config(), LIP)
    claim(tmp_path, Config(batch_size=3), LIP)
    (tmp_path / "checkpoints" / "40").mkdir(parents=True)
    with pytest.raises(InputError, match="batch_size=40, not 3"):
        claim(tmp_path, Config(batch_size=3), LIP)


def test_the_same_settings_may_be_resumed_with_other_free_ones(run):
    free = Config(data_dir="elsewhere", workers=4, log_every=7)
    claim(run, free, LIP)
    with pytest.raises(InputError, match=r"holds a run with config\.seed=0, not 1; use"):
        claim(run, dataclasses.replace(free, seed=1), LIP)


def test_every_setting_that_differs_is_named(run):
    config = Config(batch_size=3)
    config.optimizer.momentum = 0.5
    with pytest.raises(InputError) as caught:
        claim(run, config, get_hierarchy("atr"))
    for difference in (
        "config.batch_size=40, not 3",
        "config.optimizer.momentum=0.9, not 0.5",
        "hierarchy lip with other nodes, not atr",
    ):
        assert difference in str(caught.value)


def test_a_run_without_structure_loss_resumes_whatever_its_constants_were(tmp_path):
    """Their default changed; where the loss is on, they decide what is learned."""
    (tmp_path / "checkpoints" / "2").mkdir(parents=True)
    for structure in ("none", "product"):
        loss = LossConfig(structure=structure, structure_constants="released", structure_stride=4)
        write_settings(tmp_path, Config(loss=loss), LIP)
        now = Config(loss=LossConfig(structure=structure))
        if structure == "none":
            claim(tmp_path, now, LIP)
        else:
            with pytest.raises(InputError, match=r"structure_constants='released', not 'paper'"):
                claim(tmp_path, now, LIP)


def test_baselines_of_earlier_versions_stay_as_they_were_trained(tmp_path):
    """Attention weighed every fourth point, DeepLabV2 saw one scale; config.json said neither."""
    for name, scales, stride in (("attention", (1.0, 0.75, 0.5), 4), ("deeplab_v2", (1.0,), 1)):
        write_settings(tmp_path, Config(model=ModelConfig(name=name)), LIP)
        tree = json.loads((tmp_path / "config.json").read_text())
        del tree["model"]["input_scales"], tree["model"]["attention_stride"]
        (tmp_path / "config.json").write_text(json.dumps(tree))
        (tmp_path / SEAL).unlink()
        model = read_settings(tmp_path)[0].model
        assert (model.input_scales, model.attention_stride) == (scales, stride)


def test_damaged_settings_are_named(tmp_path):
    write_settings(tmp_path, Config(), LIP)
    (tmp_path / "hierarchy.json").write_text("{}")
    (tmp_path / SEAL).unlink()
    with pytest.raises(InputError, match=r"hierarchy\.json is damaged"):
        read_settings(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: not JSON"):
        read_settings(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "hierarchy.json"])
def test_settings_that_still_parse_but_say_something_else_are_refused(tmp_path, name):
    """What a user edited is read without its seal, as the message says."""
    write_settings(tmp_path, Config(seed=3), LIP)
    digit = {"config.json": ('"seed": 3', '"seed": 7'), "hierarchy.json": ("hair", "hahr")}[name]
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace(*digit))
    with pytest.raises(InputError, match=rf"{name}: damaged.*you edited it yourself, remove .*"):
        read_settings(tmp_path)
    (tmp_path / SEAL).unlink()
    read_settings(tmp_path)
    write_settings(tmp_path, Config(seed=4), LIP)  # sealed again, as by a run that is resumed
    assert (tmp_path / SEAL).is_file()
    assert read_settings(tmp_path)[0].seed == 4


def test_a_backbone_that_still_parses_but_says_something_else_is_refused(tmp_path):
    settings = BackboneSettings("resnet", ModelConfig(), (1.0,) * 3, (1.0,) * 3, "rgb")
    write_backbone(tmp_path, settings)
    text = (tmp_path / "backbone.json").read_text()
    (tmp_path / "backbone.json").write_text(text.replace("1.0", "9.0", 1))
    with pytest.raises(InputError, match=r"backbone\.json: damaged"):
        read_backbone(tmp_path)


def test_settings_of_a_writer_that_was_killed_are_not_called_damaged(tmp_path, monkeypatch):
    """Between config.json and hierarchy.json, of a run that resumes with another data_dir."""
    write_settings(tmp_path, Config(data_dir="/before"), LIP)

    def killed(path, tree):
        if path.name == "hierarchy.json":
            raise KeyboardInterrupt
        write_json(path, tree)

    monkeypatch.setattr(workdir, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        write_settings(tmp_path, Config(data_dir="/after"), LIP)
    assert read_settings(tmp_path)[0].data_dir == "/after"


def test_writing_the_same_settings_again_leaves_the_files_to_their_readers(tmp_path):
    hierarchy = get_hierarchy("lip")
    write_settings(tmp_path, Config(), hierarchy)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    write_settings(tmp_path, Config(), hierarchy)
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before
    write_settings(tmp_path, Config(workers=3), hierarchy)
    assert read_settings(tmp_path)[0].workers == 3


def test_a_backbone_of_an_earlier_version_is_to_be_imported_again(tmp_path):
    """Earlier versions stored a backbone as a network of LIP."""
    write_settings(tmp_path, Config(model=ModelConfig(name="resnet")), LIP)
    with pytest.raises(InputError, match=r"config\.model\.name=resnet.*import again"):
        read_settings(tmp_path)


def test_weights_are_not_imported_beside_the_settings_of_a_run(tmp_path):
    write_settings(tmp_path, Config(), LIP)
    with pytest.raises(InputError, match="has settings of a run or a backbone; give a new folder"):
        check_new(tmp_path)


@pytest.mark.parametrize("name", ["mine.json", "mine.json/run"])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, name):
    (tmp_path / "mine.json").write_text("{}")
    for check in (lambda folder: claim(folder, Config(), LIP), check_new):
        with pytest.raises(InputError, match=r"mine\.json is a file; give the path of a folder"):
            check(tmp_path / name)


def test_the_shipped_parser_is_a_file_of_the_package_or_is_said_to_be_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(workdir, "_SHIPPED_FILE", tmp_path / "street.safetensors")
    with pytest.raises(InputError, match="no trained parser comes with this installation"):
        read_settings("shipped")
    (tmp_path / "street.safetensors").touch()
    assert located("shipped") == tmp_path / "street.safetensors"
    assert located("./shipped") == pathlib.Path("shipped")
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        read_settings(tmp_path / "gone.safetensors")
    with pytest.raises(InputError, match="names the parser of the package"):
        claim("shipped", Config(), LIP)
