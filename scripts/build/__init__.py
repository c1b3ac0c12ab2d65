"""What makes the bundled data, cards and pictures."""
