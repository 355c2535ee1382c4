"""`bench NAME`: the table of benchmarks and what is refused."""

import argparse
from importlib import import_module

import pytest

from worker.bench.cli import BENCHMARKS
from worker.cli import main


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_has_what_the_table_needs(name: str):
    module = import_module(f"worker.bench.{BENCHMARKS[name][0]}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert callable(module.run)


def test_help_of_one_benchmark_shows_its_own_options(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "loop", "--help"])
    assert ended.value.code == 0
    assert "--ablate" in capsys.readouterr().out


def test_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in BENCHMARKS)


@pytest.mark.parametrize("words", [["bench"], ["bench", "luck"], ["bench", "loop", "--luck"]])
def test_an_unknown_benchmark_or_option_is_a_usage_error(words: list[str]):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
