"""What every network returns."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float


@flax.struct.dataclass
class LevelOutput:
    """Float32 logits of one level, nodes in id order, on a grid whose corners are the image's.

    top_down is None at the root, bottom_up at the leaves; fused is direct where it is alone.
    gates: source -> confidence per image and node; empty without conditional fusion.
    """

    direct: Float[Array, "b h w nodes"]
    top_down: Float[Array, "b h w nodes"] | None
    bottom_up: Float[Array, "b h w nodes"] | None
    fused: Float[Array, "b h w nodes"]
    gates: dict[str, Float[Array, "b nodes"]]


@flax.struct.dataclass
class ParserOutput:
    """levels: finest first. auxiliary: further leaf logits, trained but not used, by name.

    None and {} mean that there are none.
    """

    levels: tuple[LevelOutput, ...]
    auxiliary: dict[str, Float[Array, "b _ _ nodes"]] | None


def parts_alone(
    logits: Float[Array, "b h w nodes"],
    auxiliary: dict[str, Float[Array, "b _ _ nodes"]] | None = None,
) -> ParserOutput:
    """The output of a network that knows the leaves alone."""
    logits = logits.astype(jnp.float32)
    level = LevelOutput(direct=logits, top_down=None, bottom_up=None, fused=logits, gates={})
    return ParserOutput((level,), auxiliary or {})
