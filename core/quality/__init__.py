"""Is a grasp good: how it lies on the surface, whether it holds, bones in walls, stiffness, symmetry."""
