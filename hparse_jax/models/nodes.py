"""The three inference processes of CNIF (sections 3.2 and 3.3), for all nodes of a level at once.

A node's embedding h_v is the level's map times a channel gate, one number per sample and channel.
No h_v is ever stored: the gate goes into the weights of whatever reads h_v, and the nodes of a
level share one product. The message from parent or children, concatenated to h_v in the paper,
enters as a small convolution of its own, which is the same sum.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import BatchNorm
from hparse_jax.models.ops import column_taps, convolution, grouped_convolution, without_padding


class NodeAttention(nn.Module):
    """Squeeze-and-excitation per node (Eq. 10): the channel gate that makes h_v of the level map.

    mean: the level map's average over pixels. Returns gates in (0, 1) per node and channel.
    """

    nodes: int
    reduction: int

    @nn.compact
    def __call__(self, mean: Float[Array, "b c"]) -> Float[Array, "b nodes c"]:
        channels = mean.shape[-1]
        squeezed = max(4, channels // self.reduction)
        init = nn.initializers.he_normal(in_axis=-2, out_axis=-1, batch_axis=0)
        squeeze = self.param("squeeze_kernel", init, (self.nodes, channels, squeezed))
        excite = self.param("excite_kernel", init, (self.nodes, squeezed, channels))
        squeeze_bias = self.param("squeeze_bias", nn.initializers.zeros, (self.nodes, squeezed))
        excite_bias = self.param("excite_bias", nn.initializers.zeros, (self.nodes, channels))
        hidden = nn.relu(jnp.einsum("bc,vcr->bvr", mean, squeeze) + squeeze_bias)
        return nn.sigmoid(jnp.einsum("bvr,vrc->bvc", hidden, excite) + excite_bias)


class NodeHead(nn.Module):
    """Three convolutions per node, all nodes together: F (1x1) or F_down, F_up (3x3, 3x3, 1x1).

    The first reads h_v, given as the level map and the node's gate, and the message if there is
    one. config.node_heads: "shared" is one set of weights for all nodes of a level (the equations
    give F neither a node nor a level), "per_node" one for each. hidden: channels of a node. kernel:
    side of the first two convolutions.
    Returns float32 logits.
    """

    config: ModelConfig
    hidden: int
    kernel: int

    @nn.compact
    def __call__(
        self,
        level_map: Float[Array, "b h w c"],
        gate: Float[Array, "b nodes c"],
        message: Float[Array, "b h w nodes"] | None = None,
        train: bool = False,
        inside: Bool[Array, "b H W"] | None = None,
    ) -> Float[Array, "b h w nodes"]:
        nodes, channels, size = gate.shape[1], gate.shape[2], self.kernel
        copies = 1 if self.config.node_heads == "shared" else nodes
        inputs = channels + (message is not None)

        def kernel(name, side, features_in, features_out, fan_in):
            init = nn.initializers.normal((2.0 / fan_in) ** 0.5)
            return self.param(name, init, (side, side, features_in, copies, features_out))

        def spread(weights):  # [k, k, i, copies, o] -> [k, k, i, nodes, o]
            return jnp.broadcast_to(weights, (*weights.shape[:3], nodes, weights.shape[4]))

        weights = kernel("embedding_kernel", size, channels, self.hidden, size * size * inputs)
        x = gated_convolution(level_map, gate, weights, self.config.dtype)
        if message is not None:
            weights = kernel("message_kernel", size, 1, self.hidden, size * size * inputs)
            x = x + node_convolution(message.astype(self.config.dtype), spread(weights))
        x = without_padding(nn.relu(self._norm("norm1", x, nodes, train)), inside)
        weights = kernel("hidden_kernel", size, self.hidden, self.hidden, size * size * self.hidden)
        x = node_convolution(x, spread(weights))
        x = nn.relu(self._norm("norm2", x, nodes, train))
        weights = kernel("logit_kernel", 1, self.hidden, 1, self.hidden)
        bias = self.param("logit_bias", nn.initializers.zeros, (copies,))
        return node_convolution(x.astype(jnp.float32), spread(weights)) + bias

    def _norm(self, name, x, nodes, train):
        norm = BatchNorm(self.config.dtype, name=name)
        if self.config.node_heads == "shared":
            return norm(x.reshape(*x.shape[:3], nodes, self.hidden), train).reshape(x.shape)
        return norm(x, train)


def gated_convolution(
    x: Float[Array, "b h w c"],
    gate: Float[Array, "b nodes c"],
    kernel: Float[Array, "k k c copies o"],
    dtype: str = "float32",
) -> Float[Array, "b h w node_outputs"]:
    """Convolves every node's embedding `x * gate[:, v]` with the node's own kernel.

    The gate scales the kernel's input channels instead of the map, for each sample. One sample is
    then an ordinary convolution; a batch is one batched product per kernel row, which stays local
    to a device when the batch is sharded (a convolution with weights for each sample would not).
    """
    batch, height, _, channels = x.shape
    side, features = kernel.shape[0], gate.shape[1] * kernel.shape[4]
    kernel = jnp.broadcast_to(kernel, (*kernel.shape[:3], gate.shape[1], kernel.shape[4]))
    folded = jnp.einsum("bvc,ijcvo->bijcvo", gate, kernel)
    x, folded = x.astype(dtype), folded.astype(dtype)
    if batch == 1:
        return convolution(x, folded.reshape(side, side, channels, features))
    folded = folded.reshape(batch, side, side * channels, features)
    shifted = column_taps(x, side)
    return sum(
        jnp.einsum("bhwk,bkn->bhwn", shifted[:, row : row + height], folded[:, row])
        for row in range(side)
    )


def node_convolution(
    x: Float[Array, "b h w node_inputs"], kernel: Float[Array, "k k i nodes o"]
) -> Float[Array, "b h w node_outputs"]:
    """Convolves every node's own channels with its own kernel."""
    kernel = kernel.astype(x.dtype)
    side, features_in, nodes, features_out = kernel.shape[1:]
    if side == 1:  # on a CPU two to five times as fast as a convolution
        x = x.reshape(*x.shape[:3], nodes, features_in)
        x = jnp.einsum("bhwvi,ivo->bhwvo", x, kernel[0, 0])
        return x.reshape(*x.shape[:3], nodes * features_out)
    return grouped_convolution(x, kernel.reshape(*kernel.shape[:3], -1), kernel.shape[3])


def parent_message(
    parent_maps: Float[Array, "b h w parents"], parents: tuple[int, ...]
) -> Float[Array, "b h w nodes"]:
    """For every node but background its parent's map (Eq. 12)."""
    # A product with 0 and 1 instead of a gather: its gradient is a product too, not a scatter
    # whose order of additions a GPU does not fix.
    choose = np.zeros((parent_maps.shape[-1], len(parents) - 1), np.float32)
    choose[parents[1:], np.arange(len(parents) - 1)] = 1.0
    return jnp.einsum("bhwp,pv->bhwv", parent_maps, choose, precision=jax.lax.Precision.HIGHEST)


def child_message(
    child_maps: Float[Array, "b h w children"], parents: tuple[int, ...], nodes: int
) -> Float[Array, "b h w nodes"]:
    """For every node but background the position-wise maximum of its children's maps (Eq. 13).

    parents: for each child the index of its parent; nodes: how many nodes the parents' level has,
    background included (it has no children here and is left out of the result).
    """
    belongs = np.asarray(parents)[None, :] == np.arange(1, nodes)[:, None]
    return jnp.max(child_maps[..., None, :], axis=-1, where=belongs, initial=-jnp.inf)
