# A hand as it is shown, or as it moves: see "Exporting" in docs/user-guide.md.
import bpy

op = bpy.context.active_operator

op.use_selection = True
op.object_types = {"ARMATURE", "EMPTY", "MESH", "OTHER"}
op.bake_space_transform = False  # would turn the bones and leave their keys
op.add_leaf_bones = False
op.use_armature_deform_only = False
op.bake_anim = True
op.bake_anim_use_all_bones = True
op.bake_anim_use_nla_strips = False
op.bake_anim_use_all_actions = False  # each object would get the other's actions, too
op.bake_anim_force_startend_keying = True
op.bake_anim_step = 1.0
op.bake_anim_simplify_factor = 0.0
op.batch_mode = "OFF"
