"""The engine's process, seen from Blender: starting it, asking it, installing it."""
