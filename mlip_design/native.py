"""C sources of this package, compiled for this machine when they are first needed."""

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from mlip_design.files import cache_folder, replacing

OPTIONS = ("-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC")


def compiled(source: Path, *options: str) -> ctypes.CDLL | None:
    """The functions of a source, compiled by `$CC` (cc) with more options and kept in the cache folder.

    source: may include headers (*.h) that stand beside it.

    None where there is no compiler that takes it, as on other systems than Linux with gcc.
    """
    command = [os.environ.get("CC", "cc"), *OPTIONS, *options]
    texts = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    key = hashlib.sha256(repr((command, processor(), texts)).encode()).hexdigest()
    library = cache_folder() / "compiled" / f"{key[:32]}.so"
    try:
        if not library.exists():
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder) / library.name
                subprocess.run([*command, "-o", made, source, "-lm"], check=True, capture_output=True)
                with replacing(library, "wb", shared=True) as file:
                    file.write(made.read_bytes())
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """What code for this processor may rely on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return repr(platform.uname())
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
