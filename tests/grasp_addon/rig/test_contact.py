"""The colours that show where a grasp touches, and that nothing of the animator's is coloured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import bpy
import numpy as np
import pytest
from fake_engine import FakeEngine, tube_hand
from mathutils import Matrix, Vector
from scene import bake_at, evaluated, generate, names

from grasp_addon.engine.types import Candidate
from grasp_addon.rig import contact, contact_surfaces
from grasp_addon.rig.hands import rigs
from grasp_addon.rig.marks import MARK
from grasp_addon.rig.near_surface import NearSurface
from grasp_addon.rig.scrub import show


@pytest.fixture
def palm_on_slab(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> bpy.types.Object:
    """A slab whose top is level with the hand's lowest point, and for the second candidate 3 mm below that."""
    shape = tube_hand()
    flat = np.tile([1.0, 0, 0, 0], (16, 1))
    lowest = shape.vertices[:, 1].min()

    def lying(_shape: object, count: int, _seed: int = 0) -> list[Candidate]:
        return [Candidate(shape.vertices, flat, np.array([0, 0.003 * n - lowest, 0]),
                          shape.vertices + [0, 0.003 * n - lowest, 0], 1.0 - n) for n in range(count)]

    monkeypatch.setattr("fake_engine.random_candidates", lying)
    corners = [(x, y, z) for x in (-0.3, 0.3) for y in (-0.02, 0.0) for z in (-0.3, 0.3)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("Slab")
    mesh.from_pydata(corners, [], faces)
    slab = bpy.data.objects.new("Slab", mesh)
    slab.location, slab.rotation_euler = (1, 2, 3), (0.4, 0.2, 0.1)
    bpy.context.scene.collection.objects.link(slab)
    bpy.context.view_layer.objects.active = slab
    slab.select_set(True)
    bpy.context.view_layer.update()
    return slab


def colours(mesh: bpy.types.Mesh) -> np.ndarray:
    data = mesh.color_attributes[contact.ATTRIBUTE].data
    found = np.empty(4 * len(data), np.float32)
    data.foreach_get("color", found)
    return found.reshape(-1, 4)[:, :3]


def redness(mesh: bpy.types.Mesh, far: np.ndarray) -> np.ndarray:
    """(V,) 0 at the far colour, 1 at red."""
    return (colours(mesh) - far) @ (contact.RED - far) / ((contact.RED - far) ** 2).sum()


def heights(slab: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    return (points - np.array(slab.location)) @ np.array(slab.matrix_world)[:3, 1]


@pytest.mark.parametrize("inside_out", [False, True])
def test_the_colour_is_the_distance(palm_on_slab: bpy.types.Object, inside_out: bool) -> None:
    if inside_out:
        palm_on_slab.data.flip_normals()
    rig = generate(count=2)
    bpy.context.scene.grasp.show_contact = True
    for place in (1, 2):
        show(rig, place)
        above = heights(palm_on_slab, evaluated(rig))
        assert above.min() == pytest.approx(0.003 * (place - 1), abs=1e-5)
        told = redness(rig.grasp.mesh.data, contact.SKIN)
        assert np.abs(told - np.clip(1 - above / 0.005, 0, 1)).max() < 0.01
        film = rig.grasp.contact
        bpy.context.view_layer.update()
        points = np.array([film.matrix_world @ v.co for v in film.data.vertices])
        lift = heights(palm_on_slab, points)
        assert 0 < lift.min() <= lift.max() < 0.0005, "on top, a hair above"
        told = redness(film.data, contact.PALE)
        assert told.max() == pytest.approx(1 - 0.6 * (place - 1), abs=0.1)
        assert told.min() < 0.1


def test_pressed_in_is_red_and_far_is_not(palm_on_slab: bpy.types.Object) -> None:
    rig = generate(count=1)
    bpy.context.scene.grasp.show_contact = True
    palm_on_slab.data.vertices.foreach_get("co", points := np.empty(24, np.float32))
    points[1::3] += 0.008
    palm_on_slab.data.vertices.foreach_set("co", points)
    palm_on_slab.data.update()
    show(rig, 1)
    above = heights(palm_on_slab, evaluated(rig)) - 0.008
    told = redness(rig.grasp.mesh.data, contact.SKIN)
    assert (told[above < -1e-5] > 0.99).all()
    assert (above < -0.005).any()
    assert (told[above > 0.0051] < 0.01).all()


def test_the_animators_mesh_and_colours_stay(palm_on_slab: bpy.types.Object) -> None:
    own = palm_on_slab.data.color_attributes.new("Mine", "BYTE_COLOR", "CORNER")
    palm_on_slab.data.color_attributes.active_color = own
    rig = generate(count=2)
    hand = rig.grasp.mesh.data
    hand.color_attributes.active_color = hand.color_attributes.new("Painted", "FLOAT_COLOR", "POINT")
    before = names()
    bpy.context.scene.grasp.show_contact = True
    assert hand.color_attributes.active_color.name == contact.ATTRIBUTE
    assert [a.name for a in palm_on_slab.data.color_attributes] == ["Mine"]
    assert palm_on_slab.data.color_attributes.active_color.name == "Mine"
    assert len(palm_on_slab.data.vertices) == 8
    film = rig.grasp.contact
    assert film.hide_select
    assert film.hide_render
    assert film.name in rig.grasp.collection.objects
    assert MARK in film
    bpy.context.scene.grasp.show_contact = False
    assert names() == before
    assert [a.name for a in hand.color_attributes] == ["Painted"]
    assert hand.color_attributes.active_color.name == "Painted"


def test_the_film_follows_the_object_and_is_no_object_to_grasp(palm_on_slab: bpy.types.Object) -> None:
    bpy.context.scene.grasp.show_contact = True
    rig = generate(count=2)
    film = rig.grasp.contact
    place = film.matrix_world.translation.copy()
    palm_on_slab.location.x += 1
    bpy.context.view_layer.update()
    assert (film.matrix_world.translation - place).length == pytest.approx(1, abs=1e-5)
    film.hide_select = False
    film.select_set(True)
    bpy.context.view_layer.objects.active = palm_on_slab
    generate(count=2)
    assert len(rigs()) == 1
    assert rigs()[0].grasp.target == palm_on_slab


def test_baked_colours_follow_the_timeline(palm_on_slab: bpy.types.Object) -> None:
    rig, scene = generate(count=2), bpy.context.scene
    bake_at({1: 1, 9: 2})
    scene.grasp.show_contact = True
    told = {}
    for frame in (1, 9, 1):
        scene.frame_set(frame)
        told[frame] = redness(rig.grasp.mesh.data, contact.SKIN).max()
    assert told[1] == pytest.approx(1, abs=0.01)
    assert told[9] == pytest.approx(0.4, abs=0.01)


def test_colours_follow_the_posing(palm_on_slab: bpy.types.Object) -> None:
    bpy.context.scene.grasp.show_contact = True
    rig = generate(count=1, parent=False)
    told = {}
    bpy.ops.grasp.pose()
    for height in (0.0, 0.003, 0.1):
        rig.matrix_world = Matrix.Translation(palm_on_slab.matrix_world.to_3x3() @ Vector((0, height, 0))) @ (
            palm_on_slab.matrix_world)
        bpy.context.view_layer.update()
        told[height] = redness(rig.grasp.mesh.data, contact.SKIN).max()
    assert told == pytest.approx({0.0: 1.0, 0.003: 0.4, 0.1: 0.0}, abs=0.01)
    assert not len(rig.grasp.contact.data.vertices)
    palm_on_slab.location += palm_on_slab.matrix_world.to_3x3() @ Vector((0, 0.098, 0))
    bpy.context.view_layer.update()
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(0.6, abs=0.01), "the object came up"


def test_remove_takes_the_film(palm_on_slab: bpy.types.Object) -> None:
    before = names()
    bpy.context.scene.grasp.show_contact = True
    rig = generate(count=2)
    assert rig.grasp.contact
    bpy.ops.grasp.remove()
    assert names() == before


def test_a_step_takes_a_tenth_of_a_second(palm_on_slab: bpy.types.Object) -> None:
    bpy.context.scene.grasp.show_contact = True
    rig = generate(count=2)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        show(rig, 1)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.2  # a busy machine; measured 0.06


def make_dense(slab: bpy.types.Object, times: int) -> None:
    """The slab's top and sides as 4 ** times as many faces, by a modifier."""
    finer = slab.modifiers.new("Finer", "SUBSURF")
    finer.subdivision_type, finer.levels = "SIMPLE", times
    bpy.context.view_layer.update()


def test_a_dense_surface_is_read_once(palm_on_slab: bpy.types.Object, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = generate(count=2)
    make_dense(palm_on_slab, 7)  # 98,304 quads
    read, usual = [], contact_surfaces.selected_object
    monkeypatch.setattr(contact_surfaces, "selected_object",
                        lambda *given, **more: read.append(1) or usual(*given, **more))
    bpy.context.scene.grasp.show_contact = True
    for place in (1, 2, 1, 2):
        show(rig, place)
        bpy.context.view_layer.update()
        above = heights(palm_on_slab, evaluated(rig))
        told = redness(rig.grasp.mesh.data, contact.SKIN)
        assert np.abs(told - np.clip(1 - above / 0.005, 0, 1)).max() < 0.02
    assert len(read) == 1
    assert len(rig.grasp.contact.data.polygons) < 30000
    palm_on_slab.location.x += 1
    bpy.context.view_layer.update()
    assert len(read) == 1, "moved with its hand, it is the same surface"


def test_a_surface_that_changed_is_read_again(palm_on_slab: bpy.types.Object) -> None:
    rig = generate(count=1)
    make_dense(palm_on_slab, 6)
    bpy.context.scene.grasp.show_contact = True
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(1, abs=0.01)
    away = palm_on_slab.modifiers.new("Away", "DISPLACE")
    away.direction, away.strength = "Y", -0.1
    bpy.context.view_layer.update()
    show(rig, 1)
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(0, abs=0.01)


def test_a_surface_that_is_animated_is_read_at_each_frame(palm_on_slab: bpy.types.Object) -> None:
    rig, scene = generate(count=1), bpy.context.scene
    bake_at({1: 1})
    away = palm_on_slab.modifiers.new("Away", "DISPLACE")
    away.direction = "Y"
    for frame, strength in ((1, 0.0), (9, -0.1)):
        away.strength = strength
        palm_on_slab.keyframe_insert('modifiers["Away"].strength', frame=frame)
    scene.grasp.show_contact = True
    told = {}
    for frame in (1, 9, 1):
        scene.frame_set(frame)
        told[frame] = redness(rig.grasp.mesh.data, contact.SKIN).max()
    assert told == pytest.approx({1: 1.0, 9: 0.0}, abs=0.02)


class Workshop:
    """Where surfaces are made ready: the threads that do, which wait until it is opened."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.opened = threading.Event()

    def make(self, *given: object) -> NearSurface:
        self.threads.append(threading.current_thread())
        if threading.current_thread() is not threading.main_thread():
            assert self.opened.wait(60)
        return NearSurface(*given)

    def wait(self) -> None:
        """What Blender's timer does until all is ready."""
        self.opened.set()
        until = time.monotonic() + 60
        while contact.look() is not None:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.fixture
def in_a_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """As where a window would be held."""
    workshop = Workshop()
    monkeypatch.setattr(contact_surfaces.surfaces, "patient", False)
    monkeypatch.setattr(contact_surfaces, "NearSurface", workshop.make)
    yield workshop
    workshop.opened.set()
    contact.stop()


def test_a_dense_surface_holds_no_window(palm_on_slab: bpy.types.Object, in_a_window: Workshop) -> None:
    rig = generate(count=2)
    make_dense(palm_on_slab, 7)
    bpy.context.scene.grasp.show_contact = True
    assert contact.waits(rig)
    assert bpy.app.timers.is_registered(contact.look)
    assert contact.ATTRIBUTE not in rig.grasp.mesh.data.color_attributes
    show(rig, 2)
    in_a_window.wait()
    assert threading.main_thread() not in in_a_window.threads
    assert len(in_a_window.threads) == 1
    assert not contact.waits(rig)
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(0.4, abs=0.02)
    show(rig, 1)
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(1.0, abs=0.02)
    assert len(in_a_window.threads) == 1


def test_while_blender_renders_nothing_is_coloured(palm_on_slab: bpy.types.Object, in_a_window: Workshop,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    rig = generate(count=1)
    make_dense(palm_on_slab, 7)
    bpy.context.scene.grasp.show_contact = True
    in_a_window.opened.set()
    in_a_window.threads[0].join()
    with monkeypatch.context() as patch:
        patch.setattr(contact, "busy", lambda: True)
        assert contact.look() == contact.TICK
    assert contact.waits(rig)
    in_a_window.wait()
    assert contact.ATTRIBUTE in rig.grasp.mesh.data.color_attributes


def test_a_simple_surface_is_not_waited_for(palm_on_slab: bpy.types.Object, in_a_window: Workshop) -> None:
    rig = generate(count=1)
    bpy.context.scene.grasp.show_contact = True
    assert not contact.waits(rig)
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(1.0, abs=0.02)


def test_what_changes_meanwhile_is_shown_as_it_is_then(palm_on_slab: bpy.types.Object, in_a_window: Workshop) -> None:
    rig = generate(count=1)
    make_dense(palm_on_slab, 7)
    bpy.context.scene.grasp.show_contact = True
    for strength in (-0.3, -0.2, -0.003):
        away = palm_on_slab.modifiers.get("Away") or palm_on_slab.modifiers.new("Away", "DISPLACE")
        away.direction, away.strength = "Y", strength
        bpy.context.view_layer.update()
        show(rig, 1)
    assert len(in_a_window.threads) == 1, "one at a time"
    in_a_window.wait()
    assert redness(rig.grasp.mesh.data, contact.SKIN).max() == pytest.approx(1 - 0.003 / 2 / 0.005, abs=0.02)


def test_switched_off_meanwhile_nothing_is_coloured(palm_on_slab: bpy.types.Object, in_a_window: Workshop) -> None:
    rig = generate(count=1)
    make_dense(palm_on_slab, 7)
    before = names()
    bpy.context.scene.grasp.show_contact = True
    bpy.context.scene.grasp.show_contact = False
    in_a_window.wait()
    assert names() == before
    assert not rig.grasp.mesh.data.color_attributes


def test_the_addon_switched_off_meanwhile_leaves_nothing(palm_on_slab: bpy.types.Object, in_a_window: Workshop) -> None:
    generate(count=1)
    make_dense(palm_on_slab, 7)
    bpy.context.scene.grasp.show_contact = True
    threading.Timer(0.1, in_a_window.opened.set).start()
    contact.stop()
    assert not bpy.app.timers.is_registered(contact.look)
    assert not any(thread.is_alive() for thread in in_a_window.threads)


def test_too_little_memory_takes_the_colours_away(palm_on_slab: bpy.types.Object, in_a_window: Workshop,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object) -> None:
        raise MemoryError

    rig = generate(count=1)
    make_dense(palm_on_slab, 7)
    monkeypatch.setattr(contact_surfaces, "NearSurface", too_much)
    bpy.context.scene.grasp.show_contact = True
    in_a_window.wait()
    assert not contact.waits(rig)
    assert contact.ATTRIBUTE not in rig.grasp.mesh.data.color_attributes
