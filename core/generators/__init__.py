"""The published systems, a file for each, and the blocks they share."""
