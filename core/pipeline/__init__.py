"""What is behind the buttons: generate, refine, fit each, and which grasps are shown."""
