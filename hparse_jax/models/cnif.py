"""The whole CNIF parser, built from a hierarchy and a config (sections 3.2 to 3.4)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.backbone import ImageEmbedding
from hparse_jax.models.fusion import FusionNetwork, Gates, StaticFusion
from hparse_jax.models.layers import ConvNorm, pixel_mean
from hparse_jax.models.nodes import NodeAttention, NodeHead, child_message, parent_message
from hparse_jax.models.output import LevelOutput, ParserOutput
from hparse_jax.models.resnet import ResNet


class CNIF(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput. See `ModelConfig` for the switches."""

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.resnet = ResNet(self.config)
        self.embedding = ImageEmbedding(self.config)

    def features(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the four blocks of the ResNet."""
        return self.resnet(images.astype(self.config.dtype), train)

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        blocks = self.features(images, train)
        embedding = self.embedding(blocks, train)
        levels = self.hierarchy.levels
        channels = embedding.shape[-1]
        hidden = min(64, max(8, channels // 4))
        shared = self.config.node_heads == "shared"

        # Step 1, direct inference: an initial estimate for every node.
        maps, gates, means, direct = [], [], [], []
        for level in levels:
            level_map = ConvNorm(channels, dtype=self.config.dtype, name=f"{level.name}_embedding")(
                embedding, train
            )
            mean = pixel_mean(level_map.astype(jnp.float32))
            gate = NodeAttention(len(level.nodes), 16, name=f"{level.name}_attention")(mean)
            head = NodeHead(1, hidden, shared, self.config.dtype, name=f"{level.name}_direct")
            maps.append(level_map)
            gates.append(gate)
            means.append(gate * mean[:, None, :])
            direct.append(head(level_map, gate, train=train))
        sent = [self._message(logits) for logits in direct]

        outputs = []
        for depth, level in enumerate(levels):
            # Step 2, from the neighbours' initial estimates. Background takes no part: its direct
            # logit completes the softmax.
            sources = {"direct": direct[depth]}
            neighbours: dict[str, Float[Array, "b h w nodes"]] = {}
            if self.config.top_down and depth + 1 < len(levels):
                neighbours["top_down"] = parent_message(sent[depth + 1], level.parents)
            if self.config.bottom_up and depth > 0:
                neighbours["bottom_up"] = child_message(
                    sent[depth - 1], levels[depth - 1].parents, len(level.nodes)
                )
            for source, message in neighbours.items():
                head = NodeHead(3, hidden, shared, self.config.dtype, name=f"{level.name}_{source}")
                logits = head(maps[depth], gates[depth][:, 1:], message, train)
                sources[source] = jnp.concatenate([direct[depth][..., :1], logits], -1)

            # Step 3, fusion.
            confidence = {}
            if len(sources) == 1:
                fused = direct[depth]
            elif self.config.fusion in ("conditional", "unconditional"):
                if self.config.fusion == "conditional":
                    up, down = "bottom_up" in sources, "top_down" in sources
                    confidence = Gates(
                        parents=level.parents if down else (),
                        child_parents=levels[depth - 1].parents if up else (),
                        name=f"{level.name}_gates",
                    )(
                        means[depth],
                        means[depth + 1] if down else None,
                        means[depth - 1] if up else None,
                    )
                fuse = FusionNetwork(16, shared, name=f"{level.name}_fusion")
                fused = fuse(sources, confidence)
            else:
                fused = StaticFusion(self.config.fusion, name=f"{level.name}_fusion")(sources)
            outputs.append(
                LevelOutput(
                    direct=direct[depth],
                    top_down=sources.get("top_down"),
                    bottom_up=sources.get("bottom_up"),
                    fused=fused,
                    gates=confidence,
                )
            )
        return ParserOutput(tuple(outputs), self._auxiliary(blocks[2], train))

    def _message(self, logits):
        if self.config.messages == "probabilities":
            logits = jax.nn.softmax(logits)
        return jax.lax.stop_gradient(logits) if self.config.stop_gradient else logits

    def _auxiliary(self, block, train):
        if not self.config.auxiliary:
            return {}
        x = ConvNorm(block.shape[-1] // 4, dtype=self.config.dtype, name="auxiliary_conv")(
            block, train
        )
        leaves = len(self.hierarchy.levels[0].nodes)
        dense = nn.Dense(leaves, dtype=jnp.float32, name="auxiliary_logits")
        return {"auxiliary": dense(x.astype(jnp.float32))}
