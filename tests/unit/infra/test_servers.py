"""The command lines of the local servers."""

import subprocess

from infra.servers import find_rclone, s3_environment


def test_rclone_knows_what_its_environment_says() -> None:
    """It passes over a variable that is no option of it."""
    words = [str(find_rclone()), "serve", "s3", "--help"]
    known = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    options = [f"--{name.removeprefix('RCLONE_').lower().replace('_', '-')} " for name in s3_environment("a", "b")]
    assert [option for option in options if option not in known] == []
