"""How good grasps are: the papers' protocol and the strict one, variety, and measures against a truth."""
