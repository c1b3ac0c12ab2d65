"""CHOIR's representation of a grasp and its test-time optimisation: grasps in, better grasps out."""
