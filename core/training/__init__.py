"""Training: the data as the networks see them, one loop, and what each generator is trained with."""
