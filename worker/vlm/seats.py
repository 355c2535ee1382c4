"""Planner, judge and verifier over VLM servers (SGLang). One server or three, or adapters on one: settings only."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from openai import OpenAI, OpenAIError

from director.errors import DirectorError
from director.prompts import extract, plan, select, verify
from director.prompts.vlm import ReplyError
from director.seats import Context, ExtractRequest, Judge, Planner, PlanRequest, SelectRequest, Verifier, VerifyRequest
from director.types import Extracted, Goal, GoalType, Outcome, Planned, Selected, Verdict, Verified
from worker.vlm.client import Session
from worker.vlm.config import JudgeConfig, Server, VerifierConfig, VlmConfig
from worker.vlm.ocr import RapidReader, TextReader, joined

OpenSession = Callable[[str, Context], Session]
"""From the name of a step and its context to a session on a server."""


@dataclass(frozen=True)
class VlmSeats:
    planner: Planner
    judge: Judge
    verifier: Verifier


def open_vlm_seats(
    config: VlmConfig,
    resources: ExitStack,
    environ: Mapping[str, str] = os.environ,
    reader: Callable[[], TextReader] = RapidReader,
) -> VlmSeats:
    """The seats, ready to use; connections and threads are entered into `resources`.

    No server need run yet. Call it in the process that uses the seats, behind a fork. Raises DirectorError
    when OCR is wanted and not installed.
    """
    apis: dict[tuple[str, str], OpenAI] = {}

    def sessions(server: Server) -> OpenSession:
        endpoint = server.url, server.api_key_env
        api = apis[endpoint] = apis.get(endpoint) or resources.enter_context(_api(server, environ))
        pool = resources.enter_context(ThreadPoolExecutor(server.concurrency, thread_name_prefix="vlm"))
        return lambda name, context: Session(name, server, api, pool, context)

    return VlmSeats(
        planner=VlmPlanner(sessions(config.planner), config.planner.model),
        judge=VlmJudge(sessions(config.judge), config.judge),
        verifier=VlmVerifier(sessions(config.verifier), config.verifier, reader() if config.verifier.ocr else None),
    )


def _api(server: Server, environ: Mapping[str, str]) -> OpenAI:
    # Retries are the session's, so that they are counted and stay inside its deadline.
    return OpenAI(base_url=server.url, api_key=environ.get(server.api_key_env) or "none", max_retries=0)


def examine(server: Server, environ: Mapping[str, str] = os.environ) -> str:
    """What a doctor says of a server. Raises DirectorError with what to mend.

    SGLang answers 200 under any model name, so a wrong one is only found here.
    """
    with _api(server, environ) as api:
        try:
            served = {model.id for model in api.with_options(timeout=min(10.0, server.timeout_s)).models.list()}
        except (OpenAIError, UnicodeError) as error:  # the latter: a key that no header can hold
            raise DirectorError(f"{server.url}: {error}", "start the server, or mend the seat's url or key") from error
    if missing := [name for name in server.model.split(":", 1) if name not in served]:
        raise DirectorError(f"{server.url} serves {', '.join(sorted(served))}, and no {missing[0]}", "mend the model")
    return f"{server.url} serves {server.model}"


class VlmPlanner:
    def __init__(self, session: OpenSession, name: str) -> None:
        self._session = session
        self._name = name

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        with self._session("extract", context) as session:
            goals = session.fill(extract.prompt(request), lambda reply: extract.goals(reply, request))
        return Extracted(goals=goals, by=self._name)

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        with self._session("plan", context) as session:
            action = session.fill(plan.prompt(request), plan.Reader(request))
        return Planned(action=action, base=request.base, by=self._name)


class VlmJudge:
    def __init__(self, session: OpenSession, config: JudgeConfig) -> None:
        self._session = session
        self._config = config

    def select(self, request: SelectRequest, context: Context) -> Selected:
        count = len(request.candidates)
        with self._session("select", context) as session:
            if self._config.select == "listwise":
                best, scores, why = session.fill(select.listwise(request), lambda reply: select.ranking(reply, request))
            else:
                pairs = select.pairs(count)
                answers = session.choose([select.pairwise(request, pair) for pair in pairs])
                best, scores, why = select.preferred(count, dict(zip(pairs, answers, strict=True)))
        return Selected(image=request.candidates[best].image, scores=scores, why=why[:300], by=self._config.model)


class VlmVerifier:
    """Verdicts of a VLM; text goals are read by OCR as well, where there is a reader."""

    def __init__(self, session: OpenSession, config: VerifierConfig, reader: TextReader | None) -> None:
        self._session = session
        self._config = config
        self._reader = reader
        self._name = config.model[:64]
        self._thresholds = verify.Thresholds(config.threshold, config.thresholds, config.unsure_band)

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        with self._session("verify", context) as session:
            ask = self._soft if self._config.verify == "soft" else self._structured
            verdicts = self._read(ask(request, session), request, context)
        return Verified(image=request.image, verdicts=verdicts, again=request.again, by=self._name)

    def _structured(self, request: VerifyRequest, session: Session) -> tuple[Verdict, ...]:
        return session.fill(
            verify.structured(request),
            lambda reply: verify.verdicts(reply, request, self._name, self._config.confident),
        )

    def _soft(self, request: VerifyRequest, session: Session) -> tuple[Verdict, ...]:
        answers = session.choose([verify.soft(request.image, goal) for goal in request.goals])
        verdicts = tuple(
            verify.soft_verdict(answer, goal, self._thresholds, self._name)
            for goal, answer in zip(request.goals, answers, strict=True)
        )
        return self._explained(verdicts, request, session) if self._config.explain else verdicts

    def _explained(
        self, verdicts: tuple[Verdict, ...], request: VerifyRequest, session: Session
    ) -> tuple[Verdict, ...]:
        """The verdicts, with what is seen in place of missed goals as evidence."""
        missed = {verdict.goal for verdict in verdicts if verdict.outcome is Outcome.MISSED}
        goals = tuple(goal for goal in request.goals if goal.id in missed)
        if not goals:
            return verdicts
        try:
            seen = session.fill(verify.explain(request.image, goals), lambda reply: verify.explained(reply, goals))
        except ReplyError:
            return verdicts  # the verdicts stand without words
        return tuple(
            verdict.model_copy(update={"evidence": f"{seen[verdict.goal]} ({verdict.evidence})"})
            if seen.get(verdict.goal)
            else verdict
            for verdict in verdicts
        )

    def _read(self, verdicts: tuple[Verdict, ...], request: VerifyRequest, context: Context) -> tuple[Verdict, ...]:
        strings = {goal.id: goal.string for goal in request.goals if _is_lettering(goal)}
        if self._reader is None or not strings:
            return verdicts
        context.check()
        lines = self._reader.read(context.images.get(request.image))
        context.count("ocr_calls", 1)
        context.keep("ocr", "\n".join(lines).encode())
        return tuple(
            joined(verdict, string, lines) if (string := strings.get(verdict.goal)) else verdict for verdict in verdicts
        )


def _is_lettering(goal: Goal) -> bool:
    return goal.type == GoalType.TEXT and bool(goal.string)
