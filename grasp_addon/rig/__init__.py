"""The hand in the scene: building, posing by drivers, showing, baking, reading back, removing."""
