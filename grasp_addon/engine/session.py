"""The one engine that runs for this Blender, and what it said of itself. Knows nothing of bpy."""

from __future__ import annotations

import contextlib
import threading
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..errors import GraspError
from .client import FOLDER, EngineClient
from .replies import FORM


@dataclass(frozen=True)
class EngineInfo:
    """What the engine said in its last handshake.

    Attributes:
        form: the number of its messages' form, 0 where it names none, as 0.1.0.
        version: the engine's.
        python: the version of its Python.
        torch: the version of its PyTorch.
        differing: its packages of other versions than it was made with, each "NAME FOUND, not WANTED".
        devices: what it can compute on.
        methods: name -> label of each method it has.
        good_for: name -> when it is the one to take.
        types: the types of grasp it can be asked for.
        type_labels: type -> what an animator reads for it.
        fitting: the methods whose grasps are fitted to the surface already.
        keeping: the methods that keep parts of a hand while they propose others.
    """

    form: int = 0
    version: str = ""
    python: str = ""
    torch: str = ""
    differing: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    methods: dict[str, str] = field(default_factory=dict)
    good_for: dict[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ()
    type_labels: dict[str, str] = field(default_factory=dict)
    fitting: frozenset[str] = frozenset()
    keeping: frozenset[str] = frozenset()

    @property
    def sentence(self) -> str:
        """What Check Engine answers."""
        other = own_version() and self.version and self.version != own_version()
        return (f"Engine {self.version} is ready: Python {self.python}, PyTorch {self.torch}, "
                f"{', '.join(self.devices) or 'CPU'}."
                + (f" The add-on is {own_version()}: with an engine of that version all of it works." if other else "")
                + (f" Its Python has other packages than it was made with ({'; '.join(self.differing)}): "
                   "grasps may differ, and some may fail. Install the engine in the preferences, or those versions."
                   if self.differing else ""))


_info = EngineInfo()
_client: EngineClient | None = None
_spare: EngineClient | None = None  # started while the other does not stop, so that the next click finds it warm
_started: tuple[tuple[str, ...], dict[str, str] | None] = ((), None)  # how the client was
_lock = threading.RLock()  # the spare is started by another thread


@lru_cache(maxsize=1)
def own_version() -> str:
    """The add-on's version, as its manifest says; "" where that cannot be read."""
    try:
        return str(tomllib.loads((FOLDER / "blender_manifest.toml").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return ""


def info() -> EngineInfo:
    """What the last handshake told; empty before the first."""
    return _info


def learn(message: dict[str, Any]) -> EngineInfo:
    """Remembers what the handshake's result says.

    Raises:
        GraspError: the engine speaks another language, and nothing was remembered.
    """
    global _info  # noqa: PLW0603
    form, version = message.get("form"), str(message.get("version") or "")
    if form not in (None, FORM) or _age(version) > _age(own_version()):
        other = version or f"form {str(form)[:40]}"
        raise GraspError(f"The engine is of another version than the add-on ({other}, not {own_version()}): install "
                         "one of the same version in the preferences.", "preferences")
    methods = message.get("methods") or []
    _info = EngineInfo(
        form=form or 0, version=version, python=str(message.get("python") or ""),
        torch=str(message.get("torch") or ""), differing=tuple(map(str, message.get("differing") or [])),
        devices=tuple(map(str, message.get("devices") or [])),
        methods={m["name"]: m.get("label", m["name"]) for m in methods},
        good_for={m["name"]: str(m.get("good_for") or "") for m in methods}, types=tuple(message.get("types") or []),
        type_labels={str(name): str(label) for name, label in (message.get("type_labels") or {}).items()},
        fitting=frozenset(m["name"] for m in methods if m.get("fits")),
        keeping=frozenset(m["name"] for m in methods if m.get("keeps")),
    )
    return _info


def client(command: list[str], environment: dict[str, str] | None = None) -> EngineClient:
    """The running engine of this command, started when it is not running; weights stay loaded between requests."""
    global _client, _started
    with _lock:
        asked = (tuple(command), environment)
        if asked != _started:
            stop()
        elif _client is not None and (not _client.alive or _client.stopping):
            _replace()
        if _client is None:
            _client, _started = EngineClient(command, environment, _late), asked
        return _client


def stop() -> None:
    """Ends the engine, if one runs."""
    global _client, _spare  # noqa: PLW0603
    with _lock:
        for one in (_client, _spare):
            if one is not None:
                one.close()
        _client = _spare = None


def _late(engine: EngineClient) -> None:
    """Has a spare start beside an engine that does not stop; takes it where the engine was ended, else ends it."""
    global _spare  # noqa: PLW0603
    with _lock:
        if engine is not _client:
            return
        if not engine.alive:
            _replace()
        elif not engine.stopping:
            if _spare is not None:
                _spare.close()
            _spare = None
        elif _spare is None:
            with contextlib.suppress(GraspError):  # the next click says so
                _spare = EngineClient(list(_started[0]), _started[1], _late)


def _replace() -> None:
    """Ends the engine; the spare, where there is one, takes its place."""
    global _client, _spare
    if _client is not None:
        _client.close()
    _client, _spare = _spare if _spare is not None and _spare.alive else None, None


def _age(version: str) -> int:
    """The version's first number, in which what cannot speak to each other differs; 0 for none."""
    first = version.partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 0
