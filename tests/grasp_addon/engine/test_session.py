"""What Check Engine answers of the engine's packages."""

from __future__ import annotations

from grasp_addon.engine.session import EngineInfo


def test_packages_of_other_versions_are_told_and_only_those():
    same = EngineInfo(version="0.2.0", python="3.11.1", torch="2.13.0")
    other = EngineInfo(version="0.2.0", python="3.11.1", torch="2.13.0", differing=("mujoco 4.0.0, not 3.3.7",))
    assert "packages" not in same.sentence
    assert "(mujoco 4.0.0, not 3.3.7): grasps may differ" in other.sentence
    assert other.sentence.endswith("or those versions.")
