"""Run Flower on the broker of the settings: `python -m infra.flower`.

The port, the password and the database come from FLOWER_PORT, FLOWER_BASIC_AUTH and FLOWER_DB.
"""

from pathlib import Path

from tasks.app import make_app
from tasks.logs import setup as setup_logging
from tasks.settings import load_settings


def main() -> None:
    setup_logging()
    app = make_app(load_settings())
    app.start(["flower", f"--conf={Path(__file__).with_name('flowerconfig.py')}"])


if __name__ == "__main__":
    main()
