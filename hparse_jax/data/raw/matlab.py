"""One variable of a MATLAB file (version 4 to 7)."""

import io

import numpy as np
import scipy.io

from hparse_jax.data.raw.labels import what_is_wrong
from hparse_jax.errors import InputError


def load(data: bytes, key: str, where: str, dataset: str) -> np.ndarray:
    """The variable. Raises InputError naming the file `where` and the dataset it should be of."""
    try:
        return scipy.io.loadmat(io.BytesIO(data), variable_names=[key])[key]
    except KeyError:
        raise InputError(f"{where}: holds no {key}; is this {dataset}'s file?") from None
    except Exception as error:  # scipy answers a broken file with errors of many types
        raise InputError(
            f"{where}: not a readable MATLAB file ({what_is_wrong(data, error)}); "
            f"unpack {dataset} again"
        ) from error
