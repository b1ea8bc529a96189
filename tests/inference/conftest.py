"""A network with known answers: its logits are a linear function of the colours under its grid."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hparse_jax.config import Config
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.inference.predictor import Predictor
from hparse_jax.models import LevelOutput, ParserOutput
from hparse_jax.models.ops import pixel_mean

HIERARCHY = Hierarchy(
    name="three",
    levels=(
        Level("parts", ("background", "left", "right"), (0, 1, 1)),
        Level("body", ("background", "person"), ()),
    ),
    flip_pairs=((1, 2),),
    palette=((0, 0, 0), (200, 30, 30), (30, 30, 200)),
)


class Pixels(nn.Module):
    """Logits = the normalised colours at every 8th pixel times a fixed matrix; counts traces."""

    traces: tuple = ()  # none, or one `Traces`

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        if self.traces:
            self.traces[0].seen.append(images.shape)
        gain = self.param("gain", nn.initializers.ones, ())
        x = images[:, ::8, ::8] * gain
        # background: 0, left: red, right: blue
        parts = jnp.stack([jnp.zeros_like(x[..., 0]), x[..., 0], x[..., 2]], -1)
        body = jnp.stack([jnp.zeros_like(x[..., 0]), x[..., 0] + x[..., 2]], -1)
        mean = pixel_mean(x, inside)
        levels = [
            LevelOutput(
                direct=fused, top_down=None, bottom_up=None, fused=fused, gates={"direct": gate}
            )
            for fused, gate in ((parts, mean), (body, mean[:, :2]))
        ]
        return ParserOutput(tuple(levels), None)

    def resnet(self, images):
        return tuple(images[:, ::s, ::s] for s in (4, 8, 16, 16))


class Traces:
    """Shapes of the images that the network was compiled for."""

    def __init__(self):
        self.seen = []


@pytest.fixture
def hierarchy():
    return HIERARCHY


@pytest.fixture
def config():
    return Config(mean=(100.0, 100.0, 100.0), std=(50.0, 50.0, 50.0), dataset="three")


@pytest.fixture
def variables():
    return {"params": {"gain": np.float32(1)}}


@pytest.fixture
def traces():
    return Traces()


@pytest.fixture
def network(traces):
    return Pixels((traces,))


@pytest.fixture
def parser(config, variables, network):
    return Predictor(network, variables, config, HIERARCHY, step=7)


@pytest.fixture
def make_parser(config, variables, network):
    def make(**options):
        return Predictor(network, variables, config, HIERARCHY, step=7, **options)

    return make


@pytest.fixture
def people():
    """people(h, w): a picture with a red left and a blue right half, on a dark frame."""

    def draw(height, width):
        image = np.full((height, width, 3), 40, np.uint8)
        middle = width // 2
        image[height // 8 :, width // 8 : middle] = (250, 40, 40)
        image[height // 8 :, middle : width - width // 8] = (40, 40, 250)
        return image

    return draw
