"""Parts of the hand shown kept, the others proposed anew."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine
from scene import evaluated, generate, select

from grasp_addon.engine import session
from grasp_addon.naming import PARTS
from grasp_addon.operators.more_like_this import why_not
from grasp_addon.rig.hands import rigs, shown_candidate


@pytest.fixture
def shown(engine: FakeEngine, mug: bpy.types.Object) -> bpy.types.Object:
    """A hand with three candidates, of which the second is shown, and a method that keeps parts."""
    select(mug)
    rig = generate(3)
    bpy.ops.grasp.show(candidate=2)
    bpy.context.scene.grasp.method = "dvqvae"
    bpy.context.scene.grasp.keep = {"thumb", "palm"}
    return rig


def test_more_like_this_asks_for_the_hand_shown_and_adds_what_comes(engine: FakeEngine, mug: bpy.types.Object,
                                                                    shown: bpy.types.Object) -> None:
    before = evaluated(shown)
    bpy.context.scene.grasp.intent, bpy.context.scene.grasp.fit = "lift", False
    select(mug)
    assert bpy.ops.grasp.more_like_this() == {"FINISHED"}
    message, arrays = engine.sent[-1]
    told = [message[name] for name in ("type", "method", "intent", "fit")]
    assert told == ["generate", "dvqvae", "lift", False]
    assert message["keep"] == [True, False, False, False, False, True]
    assert (arrays["rotations"].shape, arrays["translation"].shape) == ((16, 4), (3,))
    assert rigs() == [shown]
    assert [c.own for c in shown.grasp.candidates] == [True, False, False, False]
    assert shown_candidate(shown) == 2
    bpy.ops.grasp.show(candidate=1)
    assert np.abs(evaluated(shown) - before).max() < 1e-5


def test_what_it_says_names_what_was_kept(engine: FakeEngine, mug: bpy.types.Object, shown: bpy.types.Object,
                                          capfd: pytest.CaptureFixture[str]) -> None:
    bpy.ops.grasp.more_like_this()
    assert "3 more grasps of Mug, thumb and palm kept" in capfd.readouterr().out
    bpy.context.scene.grasp.keep = set()
    bpy.ops.grasp.more_like_this()
    assert engine.sent[-1][0]["keep"] == [False] * 6
    assert "3 more grasps of Mug, nothing kept" in capfd.readouterr().out


def test_it_waits_for_a_method_that_keeps_parts_and_for_a_part_to_be_left_out(
        engine: FakeEngine, mug: bpy.types.Object, shown: bpy.types.Object) -> None:
    assert bpy.ops.grasp.more_like_this.poll()
    bpy.context.scene.grasp.keep = set(PARTS)
    assert not bpy.ops.grasp.more_like_this.poll()
    assert "leave out at least one part" in why_not("dvqvae", PARTS)
    bpy.context.scene.grasp.keep = {"thumb"}
    bpy.context.scene.grasp.method = "jointdiffusion"
    assert not bpy.ops.grasp.more_like_this.poll()
    assert why_not("jointdiffusion", {"thumb"}) == "Only DVQ-VAE keeps parts of a hand: choose that method"
    assert not why_not("dvqvae", {"thumb"})


def test_an_engine_that_keeps_nothing_is_told_of(engine: FakeEngine, shown: bpy.types.Object,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """One of an earlier version names no method that keeps parts."""
    monkeypatch.setattr(session, "_info", replace(session.info(), keeping=frozenset()))
    assert why_not("dvqvae", {"thumb"}) == "This engine has no method that keeps parts of a hand"
    assert not bpy.ops.grasp.more_like_this.poll()


def test_where_nothing_comes_the_hand_is_left_as_it_is(engine: FakeEngine, shown: bpy.types.Object) -> None:
    before = [(c.key, c.channels) for c in shown.grasp.candidates]
    engine.count = 0
    with pytest.raises(RuntimeError, match="No other grasp of Mug was found here: keep fewer parts"):
        bpy.ops.grasp.more_like_this()
    assert [(c.key, c.channels) for c in shown.grasp.candidates] == before
    assert shown_candidate(shown) == 2
