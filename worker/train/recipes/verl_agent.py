"""verl's agent loop that plays a whole job. It asks as the planner's seat does, and masks what the environment says.

Written against verl 0.9.1; it has not run. The job draws in pixels, on the sketch studio of the task's world.
"""

import io
from functools import cache
from typing import Any
from uuid import uuid4

from PIL import Image
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput, register

from director.prompts import decide
from director.prompts.vlm import Form, ReplyError
from director.seats import DecideRequest
from worker.bench.sketch_lab.worlds import Task, tasks_of
from worker.train.recipes.verl_tasks import COUNTS
from worker.train.rollouts import Job, Played, Price
from worker.train.worlds import job_of, policy_settings

PRICE = Price(render=0.02, round=0.03)


@register("visiondirector")
class JobLoop(AgentLoopBase):
    async def run(self, sampling_params: dict[str, Any], **named: Any) -> AgentLoopOutput:
        info = named["extra_info"]
        job = job_of(_tasks(info["purpose"])[int(info["index"])], policy_settings(width=512, height=512), pixels=True)
        played = await self.loop.run_in_executor(None, Played, job)
        talk = _Talk(self, sampling_params)
        while (request := played.asked) and len(talk.mask) < self.rollout_config.response_length:
            reply = await talk.ask(request, _picture(job, request))
            await self.loop.run_in_executor(None, played.take, _number(reply, request), 0.0)
        parts = (await self.loop.run_in_executor(None, played.line, "verl")).parts
        return talk.output(PRICE.reward(parts), self.rollout_config.response_length)


class _Talk:
    """The messages and tokens of one job. `mask` is 1 for tokens of the policy, counted from the end of the prompt."""

    def __init__(self, host: Any, sampling_params: dict[str, Any]) -> None:
        self._host, self._sampling, self._id = host, sampling_params, uuid4().hex
        self._messages: list[dict[str, Any]] = []
        self._images: list[Image.Image] = []
        self._ids: list[int] = []
        self.mask: list[int] = []
        self._logprobs: list[float] = []

    async def ask(self, request: DecideRequest, picture: Image.Image | None) -> str:
        await self._say(decide.prompt(request), picture)
        found = await self._host.server_manager.generate(
            request_id=self._id, prompt_ids=self._ids, sampling_params=self._sampling, image_data=self._images or None
        )
        merged, self.mask, logprobs = await self._host.ct_merge_assistant_token(
            self._ids, found.token_ids, self.mask, self._logprobs, assistant_logprobs=found.log_probs
        )
        self._ids, self._logprobs = merged.token_ids, logprobs or []
        reply = self._host.tokenizer.decode(found.token_ids, skip_special_tokens=True)
        self._messages = [*self._messages, {"role": "assistant", "content": reply}]
        return reply

    async def _say(self, form: Form, picture: Image.Image | None) -> None:
        shown = [{"type": "image", "image": picture}] if picture else []
        before = self._messages
        opening = [] if before else [{"role": "system", "content": form.system}]
        said = {"role": "user", "content": [*shown, {"type": "text", "text": form.question}]}
        self._messages = [*before, *opening, said]
        self._images += [picture] if picture else []
        if not before:
            self._ids = await self._host.ct_build_initial_tokens(self._messages, images=self._images or None)
            return
        merged, self.mask, logprobs = await self._host.ct_merge_context_msg(
            before, self._messages, self._ids, self.mask, self._logprobs
        )
        self._ids, self._logprobs = merged.token_ids, logprobs or []

    def output(self, reward: float, most: int) -> AgentLoopOutput:
        start = len(self._ids) - len(self.mask)
        return AgentLoopOutput(
            prompt_ids=self._ids[:start],
            response_ids=self._ids[start:][:most],
            response_mask=self.mask[:most],
            response_logprobs=self._logprobs[:most],
            multi_modal_data={"images": self._images} if self._images else {},
            reward_score=reward,
            num_turns=len(self._messages),
            metrics={"num_preempted": -1},
        )


def _number(reply: str, request: DecideRequest) -> int:
    """The place on the menu; what can't be read is the schedule's own option, as in the planner's seat."""
    try:
        return decide.choice(reply, request, "verl").number
    except ReplyError:
        return 0


def _picture(job: Job, request: DecideRequest) -> Image.Image | None:
    return Image.open(io.BytesIO(job.context.images.get(request.picture))) if request.picture else None


@cache
def _tasks(purpose: str) -> list[Task]:
    count, worlds = COUNTS[purpose]
    return tasks_of(purpose, count, worlds)
