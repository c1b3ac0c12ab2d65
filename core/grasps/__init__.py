"""What a grasp is: the batch, requests, the taxonomy, intents, the heading frame, posed hands, files."""
