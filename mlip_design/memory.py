"""Memory that tensors gave up, kept for the next ones.

glibc gives large blocks back to the system as soon as they are free, and fetching them again page by page took a
fifth of the time of a potential's energies and forces. Other allocators are left as they are.
"""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names and numbers of <malloc.h>."""
LARGEST_BLOCK = 1 << 30
"""Bytes; larger ones still come from and go to the system one by one."""
GROWTH = 64 << 20
"""Bytes fetched from the system at a time."""


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees, up to its peak."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, GROWTH)
