"""Batches -> logits. `build_model(config.model, hierarchy)` is the one entrance."""

from hparse_jax.models.parser import LevelOutput, Parser, ParserOutput, build_model

__all__ = ["LevelOutput", "Parser", "ParserOutput", "build_model"]
