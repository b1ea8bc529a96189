"""The config: what is written comes back, and every wrong value names its field."""

import dataclasses
import json

import pytest

from hparse_jax import config as config_lib
from hparse_jax.config import Config, flat, from_json, settings, validate
from hparse_jax.errors import InputError
from hparse_jax.models.build import NETWORKS


def changed(field: str, value) -> Config:
    """The default config with one dotted field set."""
    config = Config()
    *parents, last = field.split(".")
    holder = config
    for parent in parents:
        holder = getattr(holder, parent)
    assert hasattr(holder, last)
    setattr(holder, last, value)
    return config


def test_defaults_are_the_papers_and_valid():
    config = Config()
    validate(config)
    assert (config.batch_size, config.epochs, config.crop) == (40, 150, (473, 473))
    optimizer = config.optimizer
    assert (optimizer.base_lr, optimizer.momentum, optimizer.weight_decay, optimizer.power) == (
        0.007, 0.9, 5e-4, 0.9
    )  # fmt: skip


def test_json_round_trip_keeps_every_field_and_type():
    config = changed("crop", (257, 129))
    config.model.fusion = "bayesian"
    config.loss.level_weights = (1.0, 0.5, 0.25)
    again = from_json(json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config
    assert isinstance(again.crop, tuple)


def test_a_config_of_an_older_version_takes_the_defaults_of_missing_fields():
    assert from_json({"seed": 7, "model": {"depth": 18}}) == dataclasses.replace(
        Config(), seed=7, model=config_lib.ModelConfig(depth=18)
    )


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"colour": 1}, "config.colour"),
        ({"model": {"colour": 1}}, "config.model.colour"),
        ({"optimizer": {"lr": 1}}, "config.optimizer.lr"),
    ],
)
def test_an_unknown_field_is_named(tree, field):
    with pytest.raises(InputError, match=field):
        from_json(tree)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("accumulate", 0),
        ("accumulate", 3),  # does not divide 40
        ("crop", (257,)),
        ("crop", (257, 0)),
        ("scale", (0.5,)),
        ("scale", (0.0, 1.0)),
        ("scale", (2.0, 0.5)),
        ("scale_choices", (1.0, 0.0)),
        ("jitter", (0.1, 0.5, 0.5)),
        ("jitter", (0.1, 0.5, 0.5, 1.1)),
        ("rotation", -20.0),
        ("rotation", 181.0),
        ("ema", 1.0),
        ("ema", -0.1),
        ("keep_best", True),  # without evaluations
        ("mean", (1.0, 2.0)),
        ("std", (1.0, 2.0, 0.0)),
        ("eval_scales", ()),
        ("loss.structure_stride", 0),
        ("eval_scales", (1.0, 0.0)),
        ("eval_scales", (0.001,)),
        ("eval_scales", (1.0, 10.5)),
        ("eval_batch_size", 0),
        ("keep_checkpoints", 0),
        ("seed", -1),
        ("seed", True),
        ("batch_size", 2.5),
        ("batch_size", "many"),
        ("crop", (257.0, 129.0)),
        ("flip", 1),
        ("dataset", None),
        ("channels", "grey"),
        ("mean", (0.0, 0.0, float("nan"))),
        ("model", None),
        ("steps", -1),
        ("epochs", -1),
        ("workers", -1),
        ("log_every", -1),
        ("eval_every", -1),
        ("checkpoint_every", -1),
        ("model.name", "unet"),
        ("model.depth", 152),
        ("model.output_stride", 32),
        ("model.stem", "wide"),
        ("model.width", 0.0),
        ("model.fusion", "sum"),
        ("model.node_heads", "one"),
        ("model.messages", "letters"),
        ("model.dtype", "float16"),
        ("optimizer.base_lr", 0.0),
        ("optimizer.base_lr", float("nan")),
        ("optimizer.base_lr", float("inf")),
        ("scale", (0.5, float("inf"))),
        ("optimizer.momentum", -0.1),
        ("optimizer.weight_decay", -1e-4),
        ("optimizer.power", -0.9),
        ("optimizer.warmup_steps", -1),
        ("optimizer.clip_norm", -1.0),
        ("optimizer.reference_batch_size", -8),
        ("optimizer.new_layers_multiplier", 0.0),
        ("loss.level_weights", (1.0, -1.0)),
        ("loss.auxiliary_weight", -0.4),
        ("loss.lovasz_weight", -0.4),
        ("loss.structure", "ssl"),
        ("loss.class_weights", "inverse"),
        ("loss.structure_constants", "ours"),
        ("model.aspp_rates", (0,)),
        ("eval_side", 16),
        ("freeze_batch_norm", True),
    ],
)
def test_a_wrong_value_is_one_line_naming_its_field(field, value):
    with pytest.raises(InputError, match=rf"^config\.{field}=") as error:
        validate(changed(field, value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", settings())
def test_an_object_is_refused_in_every_field(field):
    with pytest.raises(InputError, match=rf"^config\.{field}=.*: must be "):
        validate(changed(field, object()))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crop", (257,), "257: must be two whole numbers above 0, e.g. 473,473"),
        ("crop", [257, 129], "[257, 129]: must be a tuple: (257, 129)"),
        ("batch_size", "8", "'8': must be a whole number above 0"),
        ("std", (1.0, 2.0), "1.0,2.0: must be three numbers above 0, e.g. 58.395,57.12,57.375"),
        ("jitter", (0.1,), "0.1: must be four numbers from 0 to 1, e.g. 0.0,0.0,0.0,0.0"),
        ("ema", 1, "1: must be a number from 0, below 1"),
        ("keep_best", True, "true: must be false when config.eval_every is 0"),
        ("eval_scales", (), "(): must be numbers from 0.1 to 10, e.g. 1,0.5"),
        ("optimizer.momentum", -1, "-1: must be a number from 0 up"),
        ("model.bottom_up", "yes", "yes: must be true or false"),
        ("model.depth", 19, "19: must be one of 18, 34, 50, 101"),
        ("data_dir", 7, "7: must be text"),
    ],
)
def test_a_message_says_what_the_field_takes(field, value, message):
    with pytest.raises(InputError) as error:
        validate(changed(field, value))
    assert str(error.value) == f"config.{field}={message}"


def test_the_networks_of_the_config_are_those_that_can_be_built():
    assert set(settings()["model.name"].metadata["choices"]) == set(NETWORKS)


def test_every_field_says_what_it_means():
    for name, field in settings().items():
        assert len(field.metadata["meaning"]) > 8, name


def test_a_misspelled_attribute_is_refused():
    with pytest.raises(AttributeError, match="bach_size"):
        Config().bach_size = 8


def test_steps_and_epochs_cannot_both_be_zero():
    config = changed("epochs", 0)
    with pytest.raises(InputError, match=r"config\.epochs"):
        validate(config)
    config.steps = 1
    validate(config)


def test_static_fusion_without_messages_is_refused():
    config = changed("model.fusion", "bayesian")
    validate(config)
    config.model.bottom_up = config.model.top_down = False
    with pytest.raises(InputError, match=r"config\.model\.fusion"):
        validate(config)


def test_flat_names_every_leaf_once():
    leaves = flat(Config())
    assert leaves["model.depth"] == 101
    assert leaves["loss.level_weights"] == ()
    assert not any(dataclasses.is_dataclass(value) for value in leaves.values())
    for field, value in leaves.items():
        assert flat(changed(field, value)) == leaves


@pytest.mark.parametrize(
    ("steps", "epochs", "photos", "batch_size", "total"),
    [(7, 150, 1000, 40, 7), (0, 150, 30462, 40, 114232), (0, 1, 3, 40, 1), (0, 2, 40, 40, 2)],
)
def test_total_steps(steps, epochs, photos, batch_size, total):
    config = dataclasses.replace(Config(), steps=steps, epochs=epochs, batch_size=batch_size)
    assert config.total_steps(photos) == total


def test_the_grid_of_the_structure_loss_must_fit_into_the_crop():
    config = Config(crop=(8, 300))
    validate(config)
    config.loss.structure = "product"
    with pytest.raises(InputError, match=r"config\.loss\.structure_stride=8: .*config\.crop"):
        validate(config)
