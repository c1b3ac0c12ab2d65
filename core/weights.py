"""Which trained weights there are, where they are, and that they are what they should be.

`weights/index.json` names each file with its size and SHA-256; a file that does not match is not loaded. What is
fetched from the hub (core/hub.py) is in a folder of the user's, with an index of its own for names that the project
does not have. Fetched weights of a name that the project has are those that its index names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.files import save_bytes, save_text, user_data

if TYPE_CHECKING:
    import torch
    from torch import nn

#: the project's folder
FOLDER: Final = Path(__file__).resolve().parent.parent / "weights"
INDEX: Final = "index.json"
#: environment variable that names the user's folder; the add-on sets it to one in the extension's own
VARIABLE: Final = "GRASP_WEIGHTS"
#: of one file
MOST_BYTES: Final = 1 << 29
#: what a name of weights may be
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Weights:
    """One entry of the indices.

    Attributes:
        name: of the weights.
        entry: {"file", "sha256", "bytes", "card"} and perhaps "hub", checked.
        index: the folder whose index names it.
        paths: where the file may be, first the project's folder.
    """

    name: str
    entry: dict[str, Any]
    index: Path
    paths: tuple[Path, ...]

    def whole(self) -> Path | None:
        """The first path that holds exactly the bytes of the entry; None where none does."""
        return next((path for path in self.paths if _content(path, self.entry) is not None), None)

    @property
    def state(self) -> str:
        """"here", "damaged" or "not here"."""
        if self.whole() is not None:
            return "here"
        return "damaged" if any(path.exists() for path in self.paths) else "not here"

    @property
    def card(self) -> Path:
        """The model card's file."""
        return self.index / self.entry["card"]


def user_folder() -> Path:
    """Where fetched weights go and are looked for; not made yet."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else user_data("weights")


def known(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The entries of a folder's index, name to entry (`Weights.entry`); none where there is no index.

    Raises:
        ValueError: the index is damaged.
    """
    index = folder / INDEX
    return read_index(index.read_bytes(), str(index)) if index.exists() else {}


def read_index(content: bytes, where: str) -> dict[str, dict[str, Any]]:
    """The checked entries of an index, whoever wrote it.

    Args:
        content: JSON.
        where: what to call the index in an error message.

    Returns:
        Name to entry (`Weights.entry`).

    Raises:
        ValueError: it is damaged, or names what is no weights file inside a folder.
    """
    try:
        index = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The index of weights {where} is damaged: it is no JSON.") from error
    if not isinstance(index, dict):
        raise ValueError(f"The index of weights {where} is damaged: it is no table of names.")
    for name, entry in index.items():
        if fault := _fault(name, entry):
            raise ValueError(f"The index of weights {where} cannot be used: {name[:64]!r} {fault}.")
    return index


def find(name: str, folder: Path = FOLDER, user: Path | None = None) -> Weights:
    """The weights of a name: the project's, or else those that the user fetched.

    Args:
        name: of the weights.
        folder: the project's.
        user: the user's folder; None: `user_folder()`.

    Raises:
        ValueError: there are none of this name, or an index is damaged.
    """
    if (found := look_up(name, folder, user)) is None:
        raise ValueError(f"There are no weights named '{name}' in this installation: train them with scripts/train.py, "
                         "or fetch them with `python -m core weights fetch`.")
    return found


def look_up(name: str, folder: Path = FOLDER, user: Path | None = None) -> Weights | None:
    """`find`, but None where there are no weights of this name.

    Raises:
        ValueError: an index is damaged.
    """
    user = user or user_folder()
    for index in (folder, user):
        if (entry := known(index).get(name)) is not None:
            folders = (folder, user) if index == folder else (user,)
            return Weights(name, entry, index, tuple(path / entry["file"] for path in folders))
    return None


def all_weights(folder: Path = FOLDER, user: Path | None = None) -> list[Weights]:
    """All weights that the indices name, the project's first.

    Raises:
        ValueError: an index is damaged.
    """
    user = user or user_folder()
    return [find(name, folder, user) for name in dict.fromkeys([*known(folder), *known(user)])]


def load_weights(name: str, folder: Path = FOLDER, user: Path | None = None) -> dict[str, torch.Tensor]:
    """The tensors of weights, single precision, for `load_state_dict`.

    Args:
        name: of the weights.
        folder: the project's.
        user: the user's folder; None: `user_folder()`.

    Raises:
        ValueError: there are none of this name, they are missing, or they are not the ones that the index names.
    """
    from safetensors.torch import load

    found = find(name, folder, user)
    content = next((read for path in found.paths if (read := _content(path, found.entry)) is not None), None)
    if content is None:
        path = next((path for path in found.paths if path.exists()), None)
        advice = ("fetch them with Fetch Weights in the preferences of Generate Grasps, or with "
                  f"python -m core weights fetch {name}" if "hub" in found.entry else "install the extension again")
        if path is None:
            first = found.paths[0]
            raise ValueError(f"The weights of '{name}' are missing: {first.name} should be in {first.parent.name}; "
                             f"{advice}.")
        raise ValueError(f"The weights of '{name}' are damaged or were changed ({path.name}): {advice}.")
    return {key: value.float() if value.is_floating_point() else value for key, value in load(content).items()}


def store_weights(name: str, module: nn.Module, folder: Path = FOLDER) -> Path:
    """Writes a network's weights in half precision and enters them in the folder's index.

    Args:
        name: of the weights.
        module: the network.
        folder: whose index is meant.

    Returns:
        The file.
    """
    import torch
    from safetensors.torch import save

    content = save({key: (value.half() if value.dtype == torch.float32 else value).contiguous().cpu()
                    for key, value in module.state_dict().items()})
    return keep_weights(name, content, folder)


def keep_weights(name: str, content: bytes, folder: Path, hub: dict[str, str] | None = None) -> Path:
    """Writes a weights file, whole or not at all, and enters it in the folder's index.

    Args:
        name: of the weights.
        content: of the safetensors file.
        folder: whose index is meant.
        hub: {"repo", "revision", "file"}, from where it can be fetched; None: from nowhere.

    Returns:
        The file.

    Raises:
        ValueError: they cannot be entered in an index; the sentence says why.
    """
    entry: dict[str, Any] = {"file": f"{name}/{name}.safetensors", "sha256": hashlib.sha256(content).hexdigest(),
                             "bytes": len(content), "card": f"{name}/README.md"}
    if hub is not None:
        entry["hub"] = hub
    if fault := _fault(name, entry):
        raise ValueError(f"These weights cannot be kept: {name[:64]!r} {fault}.")
    index = known(folder)
    path = folder / entry["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_bytes(path, content)
    index[name] = entry
    save_text(folder / INDEX, json.dumps(dict(sorted(index.items())), indent=1) + "\n")
    return path


def _fault(name: str, entry: object) -> str:
    """What is wrong with an index's entry, to follow its name in a sentence; "" for nothing."""
    if not NAME.fullmatch(name):
        return "is no name (letters, digits, - and _)"
    if not isinstance(entry, dict):
        return "has no entry"
    for key, ending in (("file", ".safetensors"), ("card", ".md")):
        if not is_inside(entry.get(key), ending):
            return f"has a {key} that is no {ending} inside the folder"
    if not isinstance(entry.get("sha256"), str) or not _SHA256.fullmatch(entry["sha256"]):
        return "has no SHA-256"
    size = entry.get("bytes")
    if type(size) is not int or not 0 < size <= MOST_BYTES:
        return f"has a size that is none, or more than {MOST_BYTES >> 20} MB"
    hub = entry.get("hub")
    if hub is not None and not (isinstance(hub, dict) and is_inside(hub.get("file"), ".safetensors")
                                and all(isinstance(hub.get(key), str) for key in ("repo", "revision"))):
        return "has a hub that does not say repo, revision and file"
    return ""


def is_inside(file: object, ending: str) -> bool:
    """Whether it is a plain relative path with forward slashes and this ending that stays in its folder."""
    return isinstance(file, str) and file.endswith(ending) and all(map(_PART.fullmatch, file.split("/")))


def _content(path: Path, entry: dict[str, Any]) -> bytes | None:
    """A file's bytes, None unless they are those of the entry."""
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        return None
    content = path.read_bytes()
    return content if hashlib.sha256(content).hexdigest() == entry["sha256"] else None
