"""What the panel says of the candidate that is shown."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest
from fake_engine import FakeEngine, random_candidates
from scene import generate

from grasp_addon.operators.mixins import status
from grasp_addon.panel import GRASP_PT_candidates, GRASP_PT_generate
from grasp_addon.properties import METHODS
from grasp_addon.rig import contact, contact_surfaces
from grasp_addon.rig.scrub import show


class Written:
    """A layout that remembers its labels."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.scale_y = 1.0

    def label(self, text: str = "", **_: object) -> None:
        self.labels.append(text)

    def row(self, **_: object) -> Written:
        return self

    column = split = box = row

    def prop(self, *_: object, **__: object) -> None:
        """A setting is no label."""

    def operator(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace()


def labels() -> list[str]:
    layout = Written()
    GRASP_PT_candidates.draw(SimpleNamespace(layout=layout), bpy.context)
    return layout.labels


@pytest.fixture
def doubtful(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the candidates that do not hold; the others of the engine's do, but for the last, of which it is not
    known."""
    loose = [2]

    def found(*given: object) -> list:
        made = random_candidates(*given)
        for number, one in enumerate(made[:-1], 1):
            one.measures["holds"] = float(number not in loose)
        return made

    monkeypatch.setattr("fake_engine.random_candidates", found)
    return loose


def test_a_candidate_that_does_not_hold_says_so(doubtful: list[int], mug: bpy.types.Object) -> None:
    rig = generate(count=4)
    told = {}
    for number in (1, 2, 3, 4):
        show(rig, number)
        told[number] = "does not hold" in labels()
    assert told == {1: False, 2: True, 3: False, 4: False}
    assert status.message == "4 grasps on Mug, 1 of which does not hold"


def test_the_sentence_counts_those_that_do_not_hold(doubtful: list[int], mug: bpy.types.Object) -> None:
    doubtful[:] = [1, 3]
    generate(count=4)
    assert status.message == "4 grasps on Mug, 2 of which do not hold"
    doubtful[:] = []
    generate(count=4)
    assert status.message == "4 grasps on Mug"


def test_a_surface_that_is_made_ready_is_said(engine: FakeEngine, mug: bpy.types.Object,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    generate()
    dense = mug.modifiers.new("Finer", "SUBSURF")
    dense.subdivision_type, dense.levels = "SIMPLE", 6
    bpy.context.view_layer.update()
    monkeypatch.setattr(contact_surfaces.surfaces, "patient", False)
    bpy.context.scene.grasp.show_contact = True
    assert "Making the surface ready ..." in labels()
    contact_surfaces.surfaces.stop()
    contact.look()
    bpy.context.scene.grasp.show_contact = False
    assert "Making the surface ready ..." not in labels()


def test_keep_is_shown_where_the_method_keeps_parts(engine: FakeEngine, mug: bpy.types.Object) -> None:
    bpy.context.scene.grasp.method = "synthesis"
    rig = generate(2)
    assert "Keep" not in labels()
    bpy.context.scene.grasp.method = "dvqvae"
    assert "Keep" in labels()
    show(rig, 0)  # the open hand is no candidate
    assert "Keep" not in labels()


def test_the_panel_says_what_the_method_is_good_for(engine: FakeEngine, mug: bpy.types.Object) -> None:
    generate()  # what the engine offers is known
    for name in ("jointdiffusion", "synthesis"):
        bpy.context.scene.grasp.method = name
        layout = Written()
        GRASP_PT_generate.draw(SimpleNamespace(layout=layout), bpy.context)
        assert METHODS[name][1] in " ".join(layout.labels)


def test_the_sentence_says_how_many_do_what_is_asked(engine: FakeEngine, mug: bpy.types.Object) -> None:
    engine.note = "3 of 4 do all that 'use' asks"
    generate(count=4)
    assert status.message == "4 grasps on Mug; 3 of 4 do all that 'use' asks"


def test_a_candidate_that_does_not_do_what_is_asked_says_so(engine: FakeEngine, mug: bpy.types.Object,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*given: object) -> list:
        made = random_candidates(*given)
        for one, grade in zip(made, (1.0, 0.5, 0.0), strict=True):
            one.measures["intent"] = grade
        return made

    monkeypatch.setattr("fake_engine.random_candidates", found)
    rig, told = generate(count=3), []
    for number in (1, 2, 3):
        show(rig, number)
        told.append([text for text in labels() if text in ("held otherwise", "not on its part")])
    assert sorted(told) == [[], ["held otherwise"], ["not on its part"]]
