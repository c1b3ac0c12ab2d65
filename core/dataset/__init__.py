"""Procedural objects with named parts, the training grasps made of them, and their synergies."""
