"""A small policy that chooses from the menu: its tokens, its arithmetic in numpy, its file. `worker.train` makes them."""
