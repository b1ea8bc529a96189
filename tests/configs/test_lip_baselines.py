"""The configs of LIP's baselines: the settings of LIP section 5.1."""

import pathlib
import runpy

import pytest

from hparse_jax.config import validate
from hparse_jax.errors import InputError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


# batch, crop, epochs of LIP section 5.1; rates of the networks' papers and of LIP's released code;
# multipliers of fc8 and of biases as in the released networks
@pytest.mark.parametrize("file", ["lip", "pascal_person_part"])
@pytest.mark.parametrize(
    ("name", "rate", "power", "new_layers", "biases"),
    [
        ("segnet", 0.1, 0, 1, 1),
        ("fcn8s", 1e-4, 0, 1, 2),
        ("deeplab_largefov", 1e-3, 0.9, 10, 2),
        ("deeplab_v2", 1e-3, 0.9, 10, 2),
        ("attention", 1e-4, 0, 10, 2),
    ],
)
@pytest.mark.parametrize(
    ("step", "epochs", "structure"),
    [("", 30, "none"), ("-ssl", 20, "product"), ("-more", 20, "none")],
)
def test_the_variants_of_the_baselines(
    file, name, rate, power, new_layers, biases, step, epochs, structure
):
    made = runpy.run_path(str(CONFIGS / f"{file}_baselines.py"))
    config = made["get_config"](name + step)
    validate(config)
    assert (config.dataset, config.model.name) == (file, name)
    assert (config.epochs, config.loss.structure) == (epochs, structure)
    assert (config.batch_size, config.crop) == (10, (321, 321))
    assert config.scale_choices == (0.6, 0.8, 1.0, 1.2, 1.4)
    optimizer = config.optimizer
    assert (optimizer.base_lr, optimizer.power) == (rate, power)
    assert optimizer.new_layers_multiplier == new_layers
    assert optimizer.bias_multiplier == biases
    assert (config.model.input_scales, config.model.attention_stride) == ((1.0, 0.75, 0.5), 1)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    assert config.loss.auxiliary_weight == 1.0


def test_other_variants_are_refused():
    made = runpy.run_path(str(CONFIGS / "lip_baselines.py"))
    for variant in ("", "unet", "attention-", "attention-x"):
        with pytest.raises(InputError, match="one of segnet, fcn8s, deeplab_largefov, deeplab_v2"):
            made["get_config"](variant)
