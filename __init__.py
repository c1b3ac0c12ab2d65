"""Generate Grasps: the repository root is the Blender extension."""

from .grasp_addon import register, unregister  # noqa: F401  the two doors Blender looks for
