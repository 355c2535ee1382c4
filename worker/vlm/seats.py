"""Planner, judge and verifier over VLM servers (SGLang). Settings name one server, three, or adapters on one."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from openai import OpenAI, OpenAIError

from director.errors import DirectorError
from director.prompts import decide, extract, label, plan, select, verify
from director.prompts.absence import alone
from director.prompts.quotes import quotations
from director.prompts.vlm import ReplyError
from director.seats import (
    Context,
    Decider,
    DecideRequest,
    ExtractRequest,
    Judge,
    Planner,
    PlanRequest,
    SelectRequest,
    Studio,
    Verifier,
    VerifyRequest,
)
from director.types import Chosen, Extracted, Goal, GoalType, Outcome, Planned, Selected, Verdict, Verified
from worker.vlm import calibration
from worker.vlm.client import Session
from worker.vlm.config import JudgeConfig, PlannerConfig, Server, VerifierConfig, VlmConfig
from worker.vlm.ocr import RapidReader, TextReader, joined

OpenSession = Callable[[str, Context], Session]
"""From the name of a step and its context to a session on a server."""


@dataclass(frozen=True)
class VlmSeats:
    planner: Planner
    judge: Judge
    verifier: Verifier
    decider: Decider | None


def open_vlm_seats(
    config: VlmConfig,
    resources: ExitStack,
    environ: Mapping[str, str] = os.environ,
    reader: Callable[[], TextReader] = RapidReader,
    beside: Studio | None = None,
) -> VlmSeats:
    """The seats, ready to use; connections and threads are entered into `resources`.

    A seat that the settings do not name is that of the studio `beside`. No server need run yet. Call it in the process
    that uses the seats, behind a fork. Raises DirectorError when OCR is wanted and not installed, or a seat is empty.
    """
    apis: dict[tuple[str, str], OpenAI] = {}

    def sessions(server: Server) -> OpenSession:
        endpoint = server.url, server.api_key_env
        api = apis[endpoint] = apis.get(endpoint) or resources.enter_context(_api(server, environ))
        pool = resources.enter_context(ThreadPoolExecutor(server.concurrency, thread_name_prefix="vlm"))
        return lambda name, context: Session(name, server, api, pool, context)

    own = VlmPlanner(sessions(config.planner), config.planner) if config.planner else None
    planner, decider = own or (beside and beside.planner), own or (beside and beside.decider)
    judge = VlmJudge(sessions(config.judge), config.judge) if config.judge else beside and beside.judge
    verifier = beside and beside.verifier
    if config.verifier:
        ocr = reader() if config.verifier.ocr else None
        verifier = VlmVerifier(sessions(config.verifier), config.verifier, ocr)
    if planner is None or judge is None or verifier is None:
        raise DirectorError("a seat has no model", "name planner, judge and verifier in the settings of the VLM")
    return VlmSeats(planner, judge, verifier, decider)


def _api(server: Server, environ: Mapping[str, str]) -> OpenAI:
    # Retries are the session's, so that they are counted and stay inside its deadline.
    return OpenAI(base_url=server.url, api_key=environ.get(server.api_key_env) or "none", max_retries=0)


def examine(server: Server, environ: Mapping[str, str] = os.environ) -> str:
    """What a doctor says of a server. Raises DirectorError with what to mend.

    SGLang answers 200 under any model name, so a wrong one is only found here.
    """
    with _api(server, environ) as api:
        try:
            served = {model.id for model in api.with_options(timeout=min(10.0, server.answer_s(1))).models.list()}
        except (OpenAIError, UnicodeError) as error:  # the latter: a key that no header can hold
            raise DirectorError(f"{server.url}: {error}", "start the server, or mend the seat's url or key") from error
    if missing := [name for name in server.model.split(":", 1) if name not in served]:
        raise DirectorError(f"{server.url} serves {', '.join(sorted(served))}, and no {missing[0]}", "mend the model")
    return f"{server.url} serves {server.model}"


class VlmPlanner:
    def __init__(self, session: OpenSession, config: PlannerConfig) -> None:
        self._session = session
        self._config = config

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        with self._session("extract", context) as session:
            ask = self._labelled if self._config.extract == "clauses" else self._listed
            return Extracted(goals=ask(request, session, context), by=self._config.model)

    def _listed(self, request: ExtractRequest, session: Session, context: Context) -> tuple[Goal, ...]:
        goals: tuple[Goal, ...] = ()
        repairs = Counter[str]()
        for part in extract.parts(request):
            of_part = {"request": request, "part": part, "before": goals, "repairs": repairs}
            read, salvage = partial(extract.goals, **of_part), partial(extract.salvaged, **of_part)
            goals += session.fill(extract.prompt(request, part), read, salvage)
        _count(repairs, context)
        return goals

    def _labelled(self, request: ExtractRequest, session: Session, context: Context) -> tuple[Goal, ...]:
        return label.goals(request, session.choose(label.questions(request)))

    def decide(self, request: DecideRequest, context: Context) -> Chosen:
        """What can't be read to the last re-ask is the schedule's own option, and is counted."""
        unread = Counter[str]()

        def give_up(reply: str, cut: bool) -> Chosen:
            unread["choice"] += 1
            return request.chosen(0, by=self._config.model)

        with self._session("decide", context) as session:
            read = partial(decide.choice, request=request, by=self._config.model)
            chosen = session.fill(decide.prompt(request), read, give_up)
        _count(unread, context)
        return chosen

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        with self._session("plan", context) as session:
            reader = plan.Reader(request)
            action = session.fill(plan.prompt(request), reader, reader.salvage)
        _count(reader.repairs, context)
        return Planned(action=action, base=request.base, by=self._config.model)


def _count(repairs: Mapping[str, int], context: Context) -> None:
    """What code mended of a model's replies, in all and by kind."""
    found = {what: times for what, times in repairs.items() if times}
    if found:
        context.count("vlm_repairs", sum(found.values()))
    for what, times in sorted(found.items()):
        context.count(f"repaired_{what}", times)


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
                best, scores, why = select.preferred(count, self._compared(request, session))
        return Selected(image=request.candidates[best].image, scores=scores, why=why[:300], by=self._config.model)

    def _compared(self, request: SelectRequest, session: Session) -> dict[tuple[int, int], Mapping[str, float]]:
        """What was preferred in each pair that met."""
        answers: dict[tuple[int, int], Mapping[str, float]] = {}
        standing = tuple(range(len(request.candidates)))
        while standing:
            pairs = select.pairs(standing)
            found = session.choose([select.pairwise(request, pair) for pair in pairs])
            answers |= dict(zip(pairs, found, strict=True))
            standing = select.through(standing, answers)
        return answers


def _only(goal: Goal) -> tuple[str, ...]:
    """The strings beside which a goal allows no lettering; none where it allows others."""
    return tuple(goal.text[start:end] for start, end in quotations(goal.text)) if alone(goal.text) else ()


def _thresholds(config: VerifierConfig) -> verify.Thresholds:
    """Those that were measured for the model, under those that the settings name. Raises DirectorError."""
    if config.calibration is None:
        return verify.Thresholds(config.threshold, config.thresholds, config.unsure_band)
    measured = calibration.read(config.calibration, config.model)
    default = config.threshold if "threshold" in config.model_fields_set else measured.threshold
    return verify.Thresholds(default, {**measured.thresholds, **config.thresholds}, config.unsure_band)


class VlmVerifier:
    """Verdicts of a VLM; text goals are read by OCR as well, where there is a reader."""

    def __init__(self, session: OpenSession, config: VerifierConfig, reader: TextReader | None) -> None:
        self._session = session
        self._config = config
        self._reader = reader
        self._name = config.model[:64]
        self._thresholds = _thresholds(config)

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
        texts = {goal.id: goal for goal in request.goals if goal.type == GoalType.TEXT and goal.string}
        if self._reader is None or not texts:
            return verdicts
        context.check()
        lines = self._reader.read(context.images.raster(request.image))
        context.count("ocr_calls", 1)
        context.keep("ocr", "\n".join(lines).encode())
        characters = getattr(self._reader, "characters", ())  # a reader may tell what it can read
        return tuple(
            joined(verdict, goal.string, lines, characters, goal.absent, _only(goal))
            if (goal := texts.get(verdict.goal)) and goal.string
            else verdict
            for verdict in verdicts
        )
