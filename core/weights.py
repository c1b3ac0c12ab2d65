"""Which trained weights there are, where they are, and that they are what they should be.

`weights/index.json` names each file with its size and SHA-256; a file that does not match is not loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch
    from torch import nn

FOLDER: Final = Path(__file__).resolve().parent.parent / "weights"
INDEX: Final = "index.json"


def known(folder: Path = FOLDER) -> dict[str, dict]:
    """Name -> {"file", "sha256", "bytes", "card"} of the weights that the project has."""
    index = folder / INDEX
    return json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}


def load_weights(name: str, folder: Path = FOLDER) -> dict[str, torch.Tensor]:
    """The tensors of `name`, single precision, for `load_state_dict`.

    Raises:
        ValueError: there are none of this name, they are missing, or they are not the ones that the index names.
    """
    from safetensors.torch import load

    entry = known(folder).get(name)
    if entry is None:
        raise ValueError(f"There are no weights named '{name}' in this installation.")
    path = folder / entry["file"]
    if not path.exists():
        raise ValueError(f"The weights of '{name}' are missing: {path.name} should be in {path.parent.name}. "
                         "Install the extension again.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError(f"The weights of '{name}' are damaged or were changed ({path.name}): install the extension "
                         "again.")
    return {key: value.float() if value.is_floating_point() else value for key, value in load(content).items()}


def store_weights(name: str, module: nn.Module, folder: Path = FOLDER) -> Path:
    """Writes a network in half precision and enters it in the index."""
    import torch
    from safetensors.torch import save

    from core.files import save_text, whole

    path = folder / name / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({key: (value.half() if value.dtype == torch.float32 else value).contiguous().cpu()
                    for key, value in module.state_dict().items()})
    with whole(path) as stream:
        stream.write(content)
    index = known(folder)
    index[name] = {"file": path.relative_to(folder).as_posix(), "sha256": hashlib.sha256(content).hexdigest(),
                   "bytes": len(content), "card": f"{name}/README.md"}
    save_text(folder / INDEX, json.dumps(dict(sorted(index.items())), indent=1) + "\n")
    return path
