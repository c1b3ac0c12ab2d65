# A hand as it is shown, or as it moves: see "Exporting" in docs/user-guide.md.
import bpy

op = bpy.context.active_operator

op.use_selection = True
op.export_apply = False  # would leave the shape keys out
op.export_draco_mesh_compression_enable = False  # rounds the skin
op.export_skins = True
op.export_all_influences = False
op.export_influence_nb = 4
op.export_def_bones = False
op.export_rest_position_armature = False  # a still would be the open hand
op.export_morph = True
op.export_morph_normal = True
op.export_morph_animation = True
op.export_animations = True
op.export_animation_mode = "ACTIVE_ACTIONS"  # hand and object in one clip
op.export_current_frame = False
op.export_frame_range = False
op.export_frame_step = 1
op.export_force_sampling = True
