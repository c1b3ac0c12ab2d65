"""Files that 0.1.0 made: opened, they show what it showed, and the work goes on in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import TOLERANCE, evaluated, names, select

from grasp_addon.rig import contact
from grasp_addon.rig.animation import fcurves
from grasp_addon.rig.drivers import drivers
from grasp_addon.rig.hands import rig_of, rigs, shown_candidate

DATA = Path(__file__).with_name("data")
EVERY = 70  # vertices between two that were written down
SHOWN = json.loads((DATA / "made_by_0_1_0.json").read_text(encoding="utf-8"))


def opened(name: str, tmp_path: Path) -> bpy.types.Object:
    """The hand of a copy of one file."""
    path = shutil.copy(DATA / f"made_by_0_1_0_{name}.blend", tmp_path)
    bpy.ops.wm.open_mainfile(filepath=str(path))
    (rig,) = rigs()
    return rig


def apart(rig: bpy.types.Object, told: list[list[float]]) -> float:
    """How far the hand is from where 0.1.0 showed it."""
    return float(np.abs(evaluated(rig)[::EVERY] - told).max())


def test_candidates_are_scrubbed_as_they_were(tmp_path: Path) -> None:
    rig = opened("candidates", tmp_path)
    assert shown_candidate(rig) == 2
    settings = bpy.context.scene.grasp
    assert (settings.method, settings.count, settings.seed, settings.side) == ("synthesis", 4, 7, "right")
    assert [c.key for c in rig.grasp.candidates] == ["01 Large Diameter", "02 Precision Disk", "03 Prismatic Four",
                                                     "04 Large Diameter"]
    for place, told in SHOWN["candidates"].items():
        bpy.ops.grasp.show(candidate=int(place))
        assert apart(rig, told) < TOLERANCE
    assert all(d.driver.is_simple_expression for d in drivers(rig))


def test_candidates_are_baked_and_shown_with_their_contact(tmp_path: Path) -> None:
    rig, scene = opened("candidates", tmp_path), bpy.context.scene
    for frame, place in ((1, 3), (10, 1)):
        scene.frame_set(frame)
        bpy.ops.grasp.show(candidate=place)
        assert bpy.ops.grasp.bake() == {"FINISHED"}
    scene.grasp.show_contact = True
    assert rig.grasp.contact.parent == rig.grasp.target
    for frame, place in ((1, "3"), (10, "1")):
        scene.frame_set(frame)
        assert apart(rig, SHOWN["candidates"][place]) < TOLERANCE
        assert len(rig.grasp.contact.data.polygons) > 0
    scene.grasp.show_contact = False
    assert rig.grasp.contact is None


@pytest.mark.parametrize("name", ["candidates", "baked"])
def test_remove_takes_all_that_was_made(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path)
    bpy.ops.grasp.remove()
    left = {"candidates": {"Can"}, "baked": {"Can", "Tray"}}[name]
    assert {o.name for o in bpy.data.objects} == left
    assert {n for n in names() if not n.startswith("objects/")} <= {"meshes/Cylinder", "actions/TrayAction"}


def test_settings_and_keys_are_those_that_were_saved(tmp_path: Path) -> None:
    rig, scene = opened("baked", tmp_path), bpy.context.scene
    settings = scene.grasp
    assert (settings.count, settings.seed, settings.side, settings.intent, settings.fit, settings.device) == (
        3, 5, "left", "lift", False, "cpu")
    assert settings.hand_length == pytest.approx(1.9)
    assert settings.show_contact
    assert [(c.baked, c.own) for c in rig.grasp.candidates] == [(True, False), (True, False), (True, True),
                                                               (False, False)]
    for frame, told in SHOWN["baked"]["frames"].items():
        scene.frame_set(int(frame))
        assert apart(rig, told) < 10 * TOLERANCE


def test_a_look_at_a_baked_hand_ends_with_back_to_animation(tmp_path: Path) -> None:
    rig, scene = opened("baked", tmp_path), bpy.context.scene
    scene.grasp.show_contact = False
    scene.frame_set(12)
    keys = [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]
    assert keys
    scene.frame_set(10)
    for place, told in SHOWN["baked"]["candidates"].items():
        bpy.ops.grasp.show(candidate=int(place))
        assert apart(rig, told) < 10 * TOLERANCE
    scene.frame_set(12)
    bpy.ops.grasp.show(candidate=2)
    assert apart(rig, SHOWN["baked"]["frames"]["12"]) > 0.01
    assert bpy.ops.grasp.end_look() == {"FINISHED"}
    assert apart(rig, SHOWN["baked"]["frames"]["12"]) < 10 * TOLERANCE
    assert keys == [tuple(p.co) for c in fcurves(rig) for p in c.keyframe_points]


def test_a_baked_hand_is_baked_further_and_its_film_follows(tmp_path: Path) -> None:
    rig, scene = opened("baked", tmp_path), bpy.context.scene
    scene.frame_set(28)
    bpy.ops.grasp.show(candidate=4)
    bpy.ops.grasp.bake()
    assert rig.grasp.candidates[3].baked
    shown = evaluated(rig)
    scene.frame_set(1)
    assert apart(rig, SHOWN["baked"]["frames"]["1"]) < 10 * TOLERANCE
    scene.frame_set(28)
    assert np.abs(evaluated(rig) - shown).max() < 10 * TOLERANCE
    assert contact.ATTRIBUTE in rig.grasp.contact.data.color_attributes
    assert len([o for o in bpy.data.objects if o.grasp.role == "CONTACT"]) == 1


def test_generating_again_replaces_and_keeps(tmp_path: Path, engine: FakeEngine) -> None:
    """The made-up engine's hand has another mesh: what is baked stays on its own hand beside the new one."""
    rig = opened("candidates", tmp_path)
    select(rig.grasp.target)
    bpy.ops.grasp.generate()
    assert len(rigs()) == 1
    assert rig_of(bpy.context).grasp.target.name == "Can"
    old = opened("baked", tmp_path)
    select(old.grasp.target)
    bpy.context.scene.grasp.method = "synthesis"
    bpy.ops.grasp.generate()
    assert len(rigs()) == 2
    assert [c.baked for c in old.grasp.candidates] == [True, True, True, False]
    new = next(rig for rig in rigs() if rig != old)
    assert (new.grasp.side, len(new.grasp.candidates)) == ("left", 3)
