"""A small policy that chooses from the menu: its words, its arithmetic in numpy, its file. `worker.train` makes it."""
