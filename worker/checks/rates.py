"""What a profile says of times and prices: `python -m worker.checks.rates PROFILE`, for `visiondirector plan`."""

import json
import sys

from director.errors import BriefError
from tasks.settings import load_settings
from worker.profiles import load_profile


def main() -> int:
    settings = load_settings()
    try:
        profile = load_profile(sys.argv[1] if len(sys.argv) > 1 else settings.studio, settings).profile
    except BriefError as error:
        print(error, file=sys.stderr)
        return 2
    groups = [group for machine in profile.boxes.values() for group in machine.workers]
    thinkers = sum(group.concurrency for group in groups if "editor" not in group.seats)
    rates = profile.rates.model_dump(include={"picture_s", "card_hour", "currency"})
    print(json.dumps({**rates, "thinkers": thinkers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
