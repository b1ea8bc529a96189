"""Fusion of the direct, top-down and bottom-up maps of a level.

Conditional fusion (CNIF Eq. 15-17) learns a confidence per source; the static rules are those of
section 3.1, which read every source as a distribution over the nodes of the level.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.models.nodes import node_convolution


class Gates(nn.Module):
    """The confidence of each source (Eq. 15 and 16), in (0, 1), from pixel averages of h.

    own, parent_level, child_level: CAP(h) of the nodes of this level and its neighbours, each
    [b, nodes of that level, c]; None for a source that is absent. A parent has one confidence for
    all its children; the children of a node have one together. Background has no parent and no
    children: those gates are 0.
    """

    parents: tuple[int, ...]  # of this level's nodes
    child_parents: tuple[int, ...]  # of the finer level's nodes

    @nn.compact
    def __call__(
        self,
        own: Float[Array, "b nodes c"],
        parent_level: Float[Array, "b parents c"] | None,
        child_level: Float[Array, "b children c"] | None,
    ) -> dict[str, Float[Array, "b nodes"]]:
        def score(name, means):
            init = nn.initializers.lecun_normal(in_axis=-1, out_axis=(), batch_axis=0)
            kernel = self.param(name, init, means.shape[1:])
            return jnp.einsum("bvc,vc->bv", means, kernel)

        foreground = np.arange(own.shape[1]) > 0
        gates = {"direct": nn.sigmoid(score("direct_kernel", own))}
        if parent_level is not None:
            confidence = nn.sigmoid(score("top_down_kernel", parent_level))
            gates["top_down"] = confidence[:, np.asarray(self.parents)] * foreground
        if child_level is not None:
            belongs = np.asarray(self.child_parents)[:, None] == np.arange(own.shape[1])
            together = score("bottom_up_kernel", child_level) @ belongs.astype(np.float32)
            gates["bottom_up"] = nn.sigmoid(together) * foreground
        return gates


class FusionNetwork(nn.Module):
    """F_fuse (Eq. 17): per node three 1x1 convolutions with ReLU over its gated sources.

    gates: none of them makes it unconditional. Sources that a node does not have (background: all
    but the direct one) enter as 0.
    """

    shared: bool  # one set of weights for all nodes, or one each
    hidden: int  # channels per node

    @nn.compact
    def __call__(
        self,
        maps: dict[str, Float[Array, "b h w nodes"]],
        gates: dict[str, Float[Array, "b nodes"]],
    ) -> Float[Array, "b h w nodes"]:
        nodes = maps["direct"].shape[-1]
        copies = 1 if self.shared else nodes
        foreground = np.arange(nodes) > 0
        sources = []
        for source in maps:
            gate = gates.get(source)
            if gate is None:
                gate = jnp.ones(()) if source == "direct" else jnp.asarray(foreground, jnp.float32)
            else:
                gate = gate[:, None, None, :]
            sources.append(maps[source] * gate)
        x = jnp.stack(sources, -1)
        x = x.reshape(*x.shape[:3], nodes * len(sources))
        widths = (len(sources), self.hidden, self.hidden, 1)
        for layer, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
            init = nn.initializers.normal((2.0 / width_in) ** 0.5)
            kernel = self.param(f"kernel{layer}", init, (1, 1, width_in, copies, width_out))
            bias = self.param(f"bias{layer}", nn.initializers.zeros, (copies, width_out))
            kernel = jnp.broadcast_to(kernel, (1, 1, width_in, nodes, width_out))
            bias = jnp.broadcast_to(bias, (nodes, width_out)).reshape(-1)
            x = node_convolution(x if layer == 0 else nn.relu(x), kernel) + bias
        return x


class StaticFusion(nn.Module):
    """Fixed rules of section 3.1 on p(y | z), the softmax of each source's maps over the level.

    product_of_experts (Eq. 1): the product of the distributions.
    bayesian (Eq. 2 and 3 with sources independent given y): the product over p(y)^(n - 1), with
    p(y) a learned prior, initialised as uniform.
    ensemble (Eq. 4): the mean with weights p(z | x), a softmax over the sources of a linear layer
    on the level's map averaged over the image; initialised as equal.
    Returns log-probabilities up to a constant per pixel, which the softmax of the loss removes.
    """

    rule: str

    @nn.compact
    def __call__(
        self, maps: dict[str, Float[Array, "b h w nodes"]], level_mean: Float[Array, "b c"]
    ) -> Float[Array, "b h w nodes"]:
        sources = jnp.stack([jax.nn.log_softmax(m) for m in maps.values()])
        if self.rule == "product_of_experts":
            return sources.sum(0)
        if self.rule == "bayesian":
            prior = self.param("log_prior", nn.initializers.zeros, sources.shape[-1:])
            return sources.sum(0) - (len(sources) - 1) * jax.nn.log_softmax(prior)
        init = nn.initializers.zeros
        to_weights = nn.Dense(len(sources), kernel_init=init, name="source_weights")
        weights = jax.nn.log_softmax(to_weights(level_mean))
        return jax.nn.logsumexp(sources + weights.T[:, :, None, None, None], axis=0)
