"""A model behind HTTP: what waits is scored together, and what is too much is refused."""
