"""The whole CNIF parser, built from a hierarchy and a config (sections 3.2 to 3.4)."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.context import ImageEmbedding
from hparse_jax.models.fusion import FusionNetwork, Gates, StaticFusion
from hparse_jax.models.layers import ConvNorm
from hparse_jax.models.nodes import NodeAttention, NodeHead, child_message, parent_message
from hparse_jax.models.ops import pixel_mean, without_padding
from hparse_jax.models.output import LevelOutput, ParserOutput
from hparse_jax.models.resnet import ResNet


class CNIF(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput.

    The paper's logits are >= 0 (Eq. 11 to 17); here, as in the released network, the last layer of
    every head is linear: a softmax over the nodes follows, and a ReLU before it would stop the
    gradient of every node that is rightly ruled out. See `ModelConfig` for the switches.

    inside: the pixels of the photos, where the images hold padding too. It then has no influence:
    averages over the image (Eq. 10 and 15, the context) leave it out, and every convolution sees
    zeros there, as it does beyond the images. A photo gets the logits that it has by itself.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.resnet = ResNet(self.config)
        self.embedding = ImageEmbedding(self.config)

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        blocks = self.resnet(images, train, inside)
        embedding = self.embedding(blocks, train, inside)
        channels, dtype = embedding.shape[-1], self.config.dtype
        head = functools.partial(
            NodeHead, self.config, min(self.config.head_width, max(8, channels // 4))
        )

        # Step 1, direct inference: an initial estimate for every node.
        maps, attention, level_means, means, direct = [], [], [], [], []
        for level in self.hierarchy.levels:
            to_level = ConvNorm(channels, dtype=dtype, name=f"{level.name}_embedding")
            level_map = to_level(embedding, train, inside)
            mean = pixel_mean(level_map.astype(jnp.float32), inside)
            gate = NodeAttention(
                len(level.nodes), self.config.reduction, name=f"{level.name}_attention"
            )(mean)
            maps.append(level_map)
            attention.append(gate)
            level_means.append(mean)
            means.append(gate * mean[:, None, :])
            direct.append(head(1, name=f"{level.name}_direct")(level_map, gate, None, train))
        sent = [without_padding(self._message(logits), inside) for logits in direct]

        outputs = []
        for depth, level in enumerate(self.hierarchy.levels):
            # Step 2, from the neighbours' initial estimates. Background takes no part: its direct
            # logit completes the softmax.
            sources = {"direct": direct[depth]}
            for source, message in self._received(sent, depth).items():
                infer = head(3, name=f"{level.name}_{source}")
                logits = infer(maps[depth], attention[depth][:, 1:], message, train, inside)
                sources[source] = jnp.concatenate([direct[depth][..., :1], logits], -1)

            # Step 3, fusion.
            fused, gates = self._fuse(sources, level_means[depth], means, depth)
            outputs.append(
                LevelOutput(
                    direct=direct[depth],
                    top_down=sources.get("top_down"),
                    bottom_up=sources.get("bottom_up"),
                    fused=fused,
                    gates=gates,
                )
            )
        return ParserOutput(tuple(outputs), self._auxiliary(blocks[2], train))

    def _message(self, logits):
        """What the nodes of a level send to their parents and children."""
        if self.config.messages == "probabilities":
            logits = jax.nn.softmax(logits)
        return jax.lax.stop_gradient(logits) if self.config.stop_gradient else logits

    def _received(self, sent, depth):
        """source -> the messages to a level's nodes but background; none where it is absent."""
        levels = self.hierarchy.levels
        messages = {}
        if self.config.top_down and depth + 1 < len(levels):
            messages["top_down"] = parent_message(sent[depth + 1], levels[depth].parents)
        if self.config.bottom_up and depth > 0:
            parents, nodes = levels[depth - 1].parents, len(levels[depth].nodes)
            messages["bottom_up"] = child_message(sent[depth - 1], parents, nodes)
        return messages

    def _fuse(self, sources, level_mean, means, depth):
        """(logits, gates by source) of a level."""
        level = self.hierarchy.levels[depth]
        if len(sources) == 1:
            return sources["direct"], {}
        if self.config.fusion not in ("conditional", "unconditional"):
            fusion = StaticFusion(self.config.fusion, name=f"{level.name}_fusion")
            return fusion(sources, level_mean), {}
        gates = {}
        if self.config.fusion == "conditional":
            child_parents = self.hierarchy.levels[depth - 1].parents if depth else ()
            gates = Gates(level.parents, child_parents, name=f"{level.name}_gates")(
                means[depth],
                means[depth + 1] if "top_down" in sources else None,
                means[depth - 1] if "bottom_up" in sources else None,
            )
        shared = self.config.node_heads == "shared"
        width = self.config.fusion_width
        fusion = FusionNetwork(shared, width, name=f"{level.name}_fusion")
        return fusion(sources, gates), gates

    def _auxiliary(self, block, train):
        if not self.config.auxiliary:
            return {}
        conv = ConvNorm(block.shape[-1] // 4, dtype=self.config.dtype, name="auxiliary_conv")
        leaves = len(self.hierarchy.levels[0].nodes)
        dense = nn.Dense(leaves, dtype=jnp.float32, name="auxiliary_logits")
        return {"auxiliary": dense(conv(block, train).astype(jnp.float32))}
