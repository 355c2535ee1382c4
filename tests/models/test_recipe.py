"""The recipe for verl composes over verl's own defaults. verl itself needs an environment of its own."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

RECIPES = Path(__file__).parents[2] / "worker" / "train" / "recipes"
pytestmark = pytest.mark.skipif(
    find_spec("hydra") is None or find_spec("verl") is None, reason="pip install --no-deps verl==0.9.1 and hydra-core"
)


def test_the_recipe_composes_over_the_defaults_of_verl() -> None:
    from hydra import compose, initialize_config_dir

    # By path: pkg:// would import verl, and with it all that it needs.
    spec = find_spec("verl")
    assert spec and spec.submodule_search_locations
    defaults = Path(spec.submodule_search_locations[0]) / "trainer" / "config"
    more = ["actor_rollout_ref.model.path=/weights/Qwen3-VL-8B-Instruct", f"hydra.searchpath=[file://{defaults}]"]
    with initialize_config_dir(str(RECIPES), version_base=None):
        found = compose("qwen3-vl-8b", overrides=more)
    with initialize_config_dir(str(defaults), version_base=None):
        plain = compose("ppo_trainer")
    assert set(names(found)) - set(names(plain)) == set()
    actor, rollout = found.actor_rollout_ref.actor, found.actor_rollout_ref.rollout
    assert found.algorithm.adv_estimator == "grpo"
    assert (rollout.name, rollout.n, rollout.agent.default_agent_loop) == ("sglang", 8, "visiondirector")
    assert (actor.loss_agg_mode, actor.use_kl_loss, actor.clip_ratio) == ("seq-mean-token-mean", True, 0.2)
    assert rollout.response_length == 12288


def names(config: Any, before: str = "") -> Iterator[str]:
    """Every key, so that one which verl does not know is seen: it would only stand beside verl's own."""
    from omegaconf import DictConfig

    for key in config:
        yield f"{before}{key}"
        inner = config._get_node(key)
        if isinstance(inner, DictConfig) and not (inner._is_missing() or inner._is_none()):
            yield from names(inner, f"{before}{key}.")
