"""Batches -> logits. `build_model(config.model, hierarchy)` is the one entrance."""

from hparse_jax.models.build import build_model
from hparse_jax.models.output import LevelOutput, ParserOutput

__all__ = ["LevelOutput", "ParserOutput", "build_model"]
