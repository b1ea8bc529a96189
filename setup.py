"""The packages of the wheel: the folders of hparse_jax/, and configs/ as hparse_jax/configs."""

from setuptools import find_namespace_packages, setup

FOLDERS = find_namespace_packages(include=["hparse_jax*"], exclude=["*.__pycache__"])

setup(
    packages=[*FOLDERS, "hparse_jax.configs"],
    package_dir={"hparse_jax.configs": "configs"},
)
