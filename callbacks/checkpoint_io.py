"""How checkpoint files come to be: whole or not at all."""

from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mlip_design.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old file, then replaces it.

    Lightning's own writes to the system's temporary folder; from there, if that is another file system, the file is
    copied over the old one, and a run killed in the meantime has lost both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        """Save to a path on a local or mounted file system; there are no storage options."""
        with replacing(path, "wb") as file:
            torch.save(checkpoint, file)
