"""Every benchmark, run in this process or through a service. Read `cases`, then `cli`, which lists them."""
