"""The one engine that runs for this Blender, and what it said of itself. Knows nothing of bpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .client import EngineClient


@dataclass(frozen=True)
class EngineInfo:
    """What the engine said in its last handshake.

    Attributes:
        version: the engine's.
        python: the version of its Python.
        torch: the version of its PyTorch.
        devices: what it can compute on.
        methods: name -> label of each method it has.
        types: the types of grasp it can be asked for.
        type_labels: type -> what an animator reads for it.
        fitting: the methods whose grasps are fitted to the surface already.
    """

    version: str = ""
    python: str = ""
    torch: str = ""
    devices: tuple[str, ...] = ()
    methods: dict[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ()
    type_labels: dict[str, str] = field(default_factory=dict)
    fitting: frozenset[str] = frozenset()

    @property
    def sentence(self) -> str:
        """What Check Engine answers."""
        return (f"Engine {self.version} is ready: Python {self.python}, PyTorch {self.torch}, "
                f"{', '.join(self.devices) or 'CPU'}.")


_info = EngineInfo()
_client: EngineClient | None = None
_client_command: tuple[str, ...] = ()


def info() -> EngineInfo:
    """What the last handshake told; empty before the first."""
    return _info


def learn(message: dict[str, Any]) -> EngineInfo:
    """Remembers what the handshake's result says."""
    global _info  # noqa: PLW0603
    methods = message.get("methods", [])
    _info = EngineInfo(
        version=str(message.get("version", "")), python=str(message.get("python", "")),
        torch=str(message.get("torch", "")), devices=tuple(map(str, message.get("devices", []))),
        methods={m["name"]: m.get("label", m["name"]) for m in methods}, types=tuple(message.get("types", [])),
        type_labels={str(name): str(label) for name, label in message.get("type_labels", {}).items()},
        fitting=frozenset(m["name"] for m in methods if m.get("fits")),
    )
    return _info


def client(command: list[str], environment: dict[str, str] | None = None) -> EngineClient:
    """The running engine of this command, started when it is not running; weights stay loaded between requests."""
    global _client, _client_command
    if _client is not None and (tuple(command) != _client_command or not _client.alive):
        stop()
    if _client is None:
        _client, _client_command = EngineClient(command, environment), tuple(command)
    return _client


def stop() -> None:
    """Ends the engine, if one runs."""
    global _client  # noqa: PLW0603
    if _client is not None:
        _client.close()
    _client = None
