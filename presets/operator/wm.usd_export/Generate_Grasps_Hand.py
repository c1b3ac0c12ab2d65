# A hand as it is shown, or as it moves: see "Exporting" in docs/user-guide.md.
import bpy

op = bpy.context.active_operator

op.selected_objects_only = True
op.export_animation = True  # without it the shape keys have no values
op.export_meshes = True
op.export_armatures = True
op.only_deform_bones = False
op.export_shapekeys = True
op.xform_op_mode = "MAT"  # keeps the shear of what hangs on a stretched object
