"""What every network returns."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float


@flax.struct.dataclass
class LevelOutput:
    """Float32 logits of one level, nodes in id order, on a grid whose corners are the image's.

    top_down is None at the root, bottom_up at the leaves, and each where the config switches it
    off; fused is direct where there is no other source.
    gates: source -> confidence per image and node; empty without conditional fusion.
    """

    direct: Float[Array, "b h w nodes"]
    top_down: Float[Array, "b h w nodes"] | None
    bottom_up: Float[Array, "b h w nodes"] | None
    fused: Float[Array, "b h w nodes"]
    gates: dict[str, Float[Array, "b nodes"]]


@flax.struct.dataclass
class ParserOutput:
    """levels: finest first. auxiliary: further leaf logits by name, for the loss alone; None or {}
    where there are none."""

    levels: tuple[LevelOutput, ...]
    auxiliary: dict[str, Float[Array, "b _ _ nodes"]] | None


def direct_level(logits: Float[Array, "b h w nodes"]) -> LevelOutput:
    """A level with direct inference alone."""
    logits = logits.astype(jnp.float32)
    return LevelOutput(direct=logits, top_down=None, bottom_up=None, fused=logits, gates={})


def leaf_output(
    logits: Float[Array, "b h w nodes"],
    auxiliary: dict[str, Float[Array, "b _ _ nodes"]] | None = None,
) -> ParserOutput:
    """The output of a network whose only level is the leaves."""
    return ParserOutput((direct_level(logits),), auxiliary or {})
