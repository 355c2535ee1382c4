"""The real seats, and the process that hosts them."""
