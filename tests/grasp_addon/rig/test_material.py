"""Materials that keep working where Blender is about to take things away."""

from __future__ import annotations

import bpy
import pytest

from grasp_addon.rig.marks import is_marked
from grasp_addon.rig.material import NAME, new_node_material, skin_material


def test_a_new_material_is_marked_and_has_its_shader() -> None:
    material, shader = new_node_material("Something")
    assert is_marked(material)
    assert shader.outputs[0].links[0].to_node.type == "OUTPUT_MATERIAL"


def test_the_skin_is_made_once_and_what_the_user_changed_stays() -> None:
    skin = skin_material()
    assert {n.type for n in skin.node_tree.nodes} >= {"BSDF_PRINCIPLED", "TEX_NOISE", "VALTORGB", "BUMP"}
    skin.roughness = 0.1
    assert skin_material() == skin
    assert skin_material().roughness == pytest.approx(0.1)


def test_a_material_of_the_user_with_that_name_is_left_alone() -> None:
    own = bpy.data.materials.new(NAME)
    assert skin_material() != own
    assert not is_marked(own)


@pytest.mark.skipif(bpy.app.version < (5, 1), reason="nothing is announced before")
def test_blender_warns_in_the_words_that_fail_a_test() -> None:
    """What `nothing_outdated` in conftest.py looks for."""
    material = bpy.data.materials.new("Old Way")
    with pytest.warns(DeprecationWarning, match="removed in Blender"):
        material.use_nodes = True
