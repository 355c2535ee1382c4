from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

import pytest

from worker.sketch.language import parse
from worker.sketch.misses import Ask, asked, load_miss_model, misspelt, model_names, rng, spoiled

KREA = load_miss_model("flux-krea")
THINGS = [
    drawable
    for noun in ("cup", "cat", "tree", "kite", "bell", "car", "owl", "key", "drum", "pear", "lamp", "boat")
    for colour in ("red", "blue", "green", "black", "yellow", "teal", "pink", "white")
    for drawable in parse(f"Add a {colour} {noun}")
]
PROSE = Ask(18, scene="a scene")

FROZEN = {
    "flux-dev": "a5845d40862e8b1376499e6e5422ec09760848ffd62abe8d103cc1bab4f4fd93",
    "flux-kontext": "2fbafa7b456fc4219ca5640b823bcc0744b0be8c768494bc21d9b43b8080e35a",
    "flux-krea": "51f398fc8b393a43c2d18f39934fe9c3638225bff765a12ca7d7291adefd2a1b",
    "perfect": "1907021654685ad84f79f4cf295479542d44d4378cc2560ace8b615ae9a7a1e9",
    "qwen-image": "80cfb51a6de48753a1321d285f6b6c418ceaabb24fb690f88bbc66052d42e839",
}
"""Fitted to the paper's arms, and confirmed with pixels (simulated) on 200 tasks of seed 1. Goals met, and the paper's:
one shot 66.0 (66.8), reprompt 68.8 (69.0), best of 4 70.3 (70.5), refinement 71.4 (71.2), all 76.4 (74.2); one shot of
flux-dev 42.4 (40.0; text 1.3, 0.8), flux-kontext 55.3 (55.9), qwen-image 71.8 (71.8). To change one, fit it again
(`python -m worker.bench.sketch_lab.fit NAME --tasks 200 --seed 1`),
confirm it with pixels (`bench loop --compose 200 --seed 1`),
run every table of docs/benchmarks.md anew (`make benchmarks`), and only then pin it here."""


@pytest.mark.parametrize("name", model_names())
def test_miss_models_are_frozen(name: str) -> None:
    data = (files("worker.sketch") / "miss_models" / f"{name}.json").read_bytes()
    assert sha256(data).hexdigest() == FROZEN[name]


def share(ask: Ask, seeds: range) -> float:
    hits = [KREA.drawn(d, ask, seed) for d in THINGS for seed in seeds]
    return sum(hits) / len(hits)


def test_more_than_half_of_eighteen_goals_in_one_shot() -> None:
    assert 0.5 < share(PROSE, range(3)) < 0.85


def test_difficulty_persists_across_seeds() -> None:
    """Best of four gains a few points only, as the paper reports."""
    one = share(PROSE, range(1))
    four = sum(any(KREA.drawn(d, PROSE, seed) for seed in range(4)) for d in THINGS) / len(THINGS)
    assert one < four < one + 0.14


def test_plain_words_and_few_at_once_help() -> None:
    assert share(PROSE._replace(plain=True), range(2)) > share(PROSE, range(2))
    assert share(PROSE._replace(named=60), range(4)) < share(PROSE._replace(named=4), range(4))


def test_scenes_differ_in_ease() -> None:
    shares = {share(PROSE._replace(scene=f"scene {n}"), range(1)) for n in range(12)}
    assert max(shares) > min(shares) + 0.05


def test_a_mask_helps_or_hinders_as_the_miss_model_says() -> None:
    inside = Ask(1, plain=True, masked=True)
    for mask, sign in ((2.0, 1), (-2.0, -1)):
        miss_model = replace(KREA, mask=mask)
        hits = [sum(miss_model.drawn(d, ask, 1) for d in THINGS) for ask in (inside._replace(masked=False), inside)]
        assert sign * (hits[1] - hits[0]) > 0


def test_how_an_instruction_asks() -> None:
    text = "Add a red kite; then a blue car, and a cat on the left. It is late."
    prose = asked(text, parse(text), whole=True, masked=False)
    lines = asked("Add a red kite.\nAdd a blue car.", THINGS[:2], whole=False, masked=True)
    assert (prose.named, prose.plain, prose.masked) == (3, False, False)
    assert prose.scene == asked("Add a cat. Add a blue car. Add a red kite.", parse(text), True, False).scene != ""
    assert lines == Ask(2, plain=True, masked=True, scene="")


def test_perfect_draws_everything() -> None:
    assert all(load_miss_model("perfect").drawn(d, Ask(64), 1) for d in THINGS)


def test_a_miss_is_something_else() -> None:
    for drawable in (
        *THINGS,
        *parse("Palette of rust and teal"),
        *parse("Light from the left"),
        *parse("Saturation at 60%"),
    ):
        assert spoiled(drawable, "flux-krea") != drawable


def test_a_slip_is_one_letter() -> None:
    for word in ("HARVEST", "Open daily, 7 to 3", "AA", "12", "Mississippi", "£4.50"):
        for n in range(20):
            slip = misspelt(word, rng("slip", n))
            assert slip != word
            assert abs(len(slip) - len(word)) <= 1
