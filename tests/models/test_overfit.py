"""Every baseline can learn four real photographs by heart."""

import pathlib

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.config import Config, LossConfig, ModelConfig, OptimizerConfig
from hparse_jax.data.raw import clothing_co_parsing
from hparse_jax.data.raw.encode import encode
from hparse_jax.data.raw.files import Files
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.ops import normalise, resize
from hparse_jax.sharding import data_mesh
from hparse_jax.training.step import create_state, make_train_step

RAW = pathlib.Path(__file__).parents[3] / "shared" / "data" / "clothing-co-parsing"
SIZE = (129, 97)
# (steps, learning rate): a batch norm network takes larger steps, DeepLabV2 a quarter of those of
# LargeFOV, as its four losses add up
PLANS = {
    "segnet": (600, 0.3),
    "fcn8s": (300, 0.01),
    "deeplab_largefov": (600, 0.01),
    "deeplab_v2": (600, 0.0025),
    "attention": (600, 0.01),
}


@pytest.fixture(scope="module")
def photos():
    """(images, labels) of four photos, made small."""
    if not RAW.is_dir():
        pytest.skip("needs shared/data/clothing-co-parsing beside the checkout")
    source = clothing_co_parsing.find(Files(RAW), {})
    images, labels = [], []
    for sample in source.samples[:4]:
        made = encode(source, sample)
        image, label = (
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            for data in (made.image, made.label)
        )
        images.append(cv2.resize(image[..., ::-1], SIZE[::-1], interpolation=cv2.INTER_AREA))
        labels.append(cv2.resize(label, SIZE[::-1], interpolation=cv2.INTER_NEAREST))
    return np.stack(images), np.stack(labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_four_photos_are_learned_by_heart(photos, name):
    images, labels = photos
    steps, rate = PLANS[name]
    config = Config(
        dataset="fashion_clothing",
        model=ModelConfig(name=name, width=0.125 if name == "fcn8s" else 0.25, dtype="float32"),
        optimizer=OptimizerConfig(base_lr=rate, warmup_steps=20, weight_decay=0.0),
        loss=LossConfig(auxiliary_weight=1.0),
    )
    hierarchy = get_hierarchy("fashion_clothing").leaves_only()
    model = build_model(config.model, hierarchy)
    mesh = data_mesh(jax.devices()[:1])
    state = create_state(model, config, mesh, steps)
    step = make_train_step(model, config, mesh, steps)
    for _ in range(steps):
        state, _ = step(state, images, labels)
    shown = normalise(jnp.asarray(images), config.mean, config.std)
    logits = jax.jit(model.apply)(state.variables, shown).levels[0].fused
    accuracy = (np.asarray(resize(logits, SIZE).argmax(-1)) == labels).mean()
    print(f"{name}: pixel accuracy {accuracy:.4f} after {steps} steps")
    assert accuracy > 0.9
    assert accuracy > (labels == 0).mean() + 0.05  # more than background everywhere
