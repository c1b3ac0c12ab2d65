"""Materials: the skin the hand wears, one in a file and kept when the user has changed it, and what makes a new one."""

from __future__ import annotations

from typing import Final

import bpy

from .marks import is_marked, marked

NAME: Final = "Grasp Skin"
SKIN: Final = (0.72, 0.41, 0.295, 1.0)
BLUSH: Final = (0.62, 0.29, 0.21, 1.0)


def skin_material() -> bpy.types.Material:
    """The file's skin material, made at the first call: mottled colour, scattering, fine pores, in Cycles and EEVEE."""
    found = bpy.data.materials.get(NAME)
    if found and is_marked(found):
        return found
    material, shader = new_node_material(NAME)
    material.diffuse_color = (0.80, 0.55, 0.45, 1.0)  # what solid view shows
    material.roughness = 0.6
    nodes, links = material.node_tree.nodes, material.node_tree.links
    coordinates = nodes.new("ShaderNodeTexCoord")
    mottle, pores = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeTexNoise")
    ramp, bump = nodes.new("ShaderNodeValToRGB"), nodes.new("ShaderNodeBump")
    # Generated coordinates span the hand's box, so that the pattern does not depend on the scene's scale.
    mottle.inputs["Scale"].default_value, mottle.inputs["Detail"].default_value = 6.0, 4.0
    pores.inputs["Scale"].default_value, pores.inputs["Detail"].default_value = 140.0, 2.0
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[0].color = 0.35, BLUSH
    ramp.color_ramp.elements[1].position, ramp.color_ramp.elements[1].color = 0.65, SKIN
    bump.inputs["Strength"].default_value = 0.06
    for place, node in enumerate((coordinates, mottle, pores, ramp, bump)):
        node.location = (-900 + 180 * place, 300 - 140 * (place % 2))
    for noise in (mottle, pores):
        links.new(coordinates.outputs["Generated"], noise.inputs["Vector"])
    links.new(mottle.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
    links.new(pores.outputs["Fac"], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    shader.inputs["Roughness"].default_value = 0.48
    shader.inputs["Subsurface Weight"].default_value = 0.12
    shader.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
    shader.inputs["Subsurface Scale"].default_value = 0.005
    return material


def new_node_material(name: str) -> tuple[bpy.types.Material, bpy.types.Node]:
    """A marked material with nodes, and its Principled BSDF."""
    material = marked(bpy.data.materials.new(name))
    if bpy.app.version < (5, 0):  # since 5.0 every material has nodes, and 6.0 removes the property
        material.use_nodes = True
    return material, next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
