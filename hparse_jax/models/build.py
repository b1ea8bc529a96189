"""The table of networks: what each name of `config.model.name` is and can do."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.baselines.deeplab import Attention, DeepLabLargeFOV, DeepLabV2
from hparse_jax.models.baselines.fcn import FCN8s
from hparse_jax.models.baselines.segnet import SegNet
from hparse_jax.models.cnif import CNIF
from hparse_jax.models.released import ReleasedCNIF
from hparse_jax.models.resnet import ResNet
from hparse_jax.models.vgg import VGG


@dataclasses.dataclass(frozen=True)
class Network:
    """What one name of `config.model.name` stands for.

    module: called as `module(config, hierarchy)`. backbone: its name in the module and in the
    variables, which another network's weights can initialise. trains: whether it can be trained.
    all_levels: whether it predicts every level of the hierarchy, or the leaves alone. outputs:
    names of its levels' logits, finest first; () for the levels' own names. new_layers: names of
    the layers that learn at `config.optimizer.new_layers_multiplier` times the rate; (): all but
    the backbone. hides_padding: whether padding can be without influence (`without_padding`).
    earlier: fields of `config.model` as runs had them whose config.json lacks them.
    """

    module: type[nn.Module]
    backbone: str
    trains: bool = True
    all_levels: bool = False
    outputs: tuple[str, ...] = ()
    new_layers: tuple[str, ...] = ()
    hides_padding: bool = False
    earlier: Mapping[str, object] = dataclasses.field(default_factory=dict)


NETWORKS = {
    "cnif": Network(CNIF, "resnet", all_levels=True, hides_padding=True),
    "segnet": Network(SegNet, "vgg"),
    "fcn8s": Network(FCN8s, "vgg"),
    # As released: fc8 alone learns faster; the layers that weigh scales do not.
    "deeplab_largefov": Network(DeepLabLargeFOV, "vgg", new_layers=("fc8",)),
    "deeplab_v2": Network(DeepLabV2, "vgg", new_layers=("fc8",), earlier={"input_scales": (1.0,)}),
    "attention": Network(Attention, "vgg", new_layers=("fc8",), earlier={"attention_stride": 4}),
    "cnif_official": Network(
        ReleasedCNIF,
        "resnet",
        trains=False,
        all_levels=True,
        outputs=("level1", "level2", "level3"),
        hides_padding=True,
    ),
}

# As imported: torchvision's VGG rounds odd sides down.
BACKBONES = {"resnet": ResNet, "vgg": functools.partial(VGG, round_down=True)}


class Backbone(nn.Module):
    """A backbone by itself, as `config.init_from` takes it: normalised images -> its blocks.

    backbone: a name in `BACKBONES`; its variables have the same name as in a network. classifier:
    it has the weights of VGG-16's fc6 and fc7, too.
    """

    config: ModelConfig
    backbone: str
    classifier: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        more = {"classifier": True} if self.classifier else {}
        return BACKBONES[self.backbone](self.config, name=self.backbone, **more)(images, train)


def levels_of(config: ModelConfig, hierarchy: Hierarchy) -> Hierarchy:
    """The levels of a hierarchy that the network of this config predicts."""
    all_levels = config.hierarchy and NETWORKS[config.name].all_levels
    return hierarchy if all_levels else hierarchy.leaves_only()


def build_model(config: ModelConfig, hierarchy: Hierarchy) -> nn.Module:
    """The linen module of `config.name`, for a hierarchy of any depth >= 1.

    Its attribute `hierarchy` holds the levels that it predicts, `config` a copy of the config with
    "auto" resolved.
    """
    if config.name not in NETWORKS:
        raise InputError(f"config.model.name={config.name}: must be one of {', '.join(NETWORKS)}")
    return NETWORKS[config.name].module(_resolved(config), levels_of(config, hierarchy))


def build_backbone(name: str, config: ModelConfig, classifier: bool = False) -> nn.Module:
    """The module of a name in `BACKBONES`; classifier: as in `Backbone`."""
    return Backbone(_resolved(config), name, classifier)


def initial_variables(model: nn.Module, seed: int) -> dict:
    """Random variables {"params", "batch_stats"}: a pure function of the model and the seed."""
    # No variable's shape depends on the image's size.
    images = jnp.zeros((1, 33, 33, 3), jnp.float32)
    # The rbg generator compiles several times faster than the default one.
    variables = model.init(jax.random.key(seed, impl="rbg"), images, train=False)
    return {"batch_stats": {}, **variables}  # a network without batch norm has none


def compute_dtype(config: ModelConfig) -> str:
    """What the network of this config computes in: "float32" or "bfloat16"."""
    if config.dtype != "auto":
        return config.dtype
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def _resolved(config: ModelConfig) -> ModelConfig:
    # On a CPU a loop is no faster to compile than units are, and slower to run.
    chosen = "off" if jax.default_backend() == "cpu" else "on"
    scan = chosen if config.scan == "auto" else config.scan
    return dataclasses.replace(config, dtype=compute_dtype(config), scan=scan)
