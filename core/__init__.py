"""The grasp engine: hands, objects, generators, synthesis, metrics, worker. Never imports bpy."""
