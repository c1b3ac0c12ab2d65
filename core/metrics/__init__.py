"""How good a grasp is: the strict protocol, the hold test, and how many grasps differ."""
