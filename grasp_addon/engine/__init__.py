"""The engine's process, seen from Blender."""
