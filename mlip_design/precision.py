"""Floating-point types by the names that configurations and command lines use."""

import torch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def floating_point(dtype: str | torch.dtype) -> torch.dtype:
    """The torch type of a name. Raises ValueError for another than 'float32' and 'float64'."""
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise ValueError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[dtype] if isinstance(dtype, str) else dtype
