"""A manifest as it is sent: bytes to lines, lines to items, and what is wrong with it, by line. No storage, no HTTP.

The first line may say what holds for all of them: {"batch": {"title": …, "matrix": {"seed": [1, 2]}, …}}. Each other
line is {"custom_id": …, "brief": …, "settings": {…}, "seed": …, "labels": […]}; only the brief must be there.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError

from director.complaints import Fault, fault
from director.errors import BriefError
from director.types import Goal, Region, Seed, Value
from tasks.batch.terms import TermsIn
from tasks.batch.types import MAX_COMBOS, MAX_LINE, MAX_MODELS, PRIORITY, Combo, CustomId, Item
from tasks.jobs import MAX_LABELS, Label
from tasks.submission import BriefIn, SettingsIn, parsed

MAX_TOLD = 100
"""Errors that are told; all are counted."""
_MOST_OF_A_LINE = 20
_KNOWN_SETTINGS = 1000
V = TypeVar("V", bound=BaseModel)
_BOM = b"\xef\xbb\xbf"
_LABELS = Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]


# --- bytes to lines -----------------------------------------------------------------------------


class Line(NamedTuple):
    """`data` is what it says, without white space at its ends; b"" for one that is too long. `number` is from 1."""

    number: int
    data: bytes


class LineReader:
    """Cuts bytes into lines, however they come, and never keeps more than one. Empty lines are counted and left out.

    `number` lines and `end` bytes were read so far; `chain` is the hash of them (`chained`).
    """

    def __init__(self, number: int = 0, end: int = 0, chain: bytes = b"") -> None:
        self.number, self.end, self.chain = number, end, chain
        self._rest = bytearray()
        self._dropped = 0  # bytes of a line that is too long

    def feed(self, chunk: bytes) -> Iterator[Line]:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._keep(piece)
            yield from self._line(1)
        self._keep(rest)

    def finish(self) -> Iterator[Line]:
        """The last line, if nothing ended it."""
        if self._rest or self._dropped:
            yield from self._line(0)

    def _keep(self, piece: bytes) -> None:
        if self._dropped or len(self._rest) + len(piece) > MAX_LINE:
            self._dropped += len(self._rest) + len(piece)
            self._rest.clear()
        else:
            self._rest += piece

    def _line(self, newline: int) -> Iterator[Line]:
        data, dropped = bytes(self._rest), self._dropped
        self._rest.clear()
        self._dropped = 0
        self.end += len(data) + dropped + newline
        if self.number == 0:
            data = data.removeprefix(_BOM)
        data = data.strip()
        self.number += 1
        if data or dropped:
            self.chain = chained(self.chain, data)
            yield Line(self.number, data)


def chained(before: bytes, data: bytes) -> bytes:
    """The hash of all lines up to this one, from that of those before it (b"" before the first). Empty lines, white
    space at the ends of lines and a byte order mark do not count. It can go on at any line, without those before it."""
    return hashlib.sha256(before + data).digest()


# --- what is wrong --------------------------------------------------------------------------------


class Wrong(NamedTuple):
    """An error of a line. `custom_id` is "" where it could not be read."""

    line: int
    custom_id: str
    field: str
    message: str
    fix: str


class Errors:
    """All are counted, the first MAX_TOLD are kept."""

    def __init__(self) -> None:
        self.told: list[Wrong] = []
        self.count = 0
        self.lines = 0
        self._last = 0

    def add(self, line: int, custom_id: str, faults: Iterable[Fault]) -> None:
        for field, message, fix in faults:
            self.count += 1
            self.lines += line != self._last
            self._last = line
            if len(self.told) < MAX_TOLD:
                self.told.append(Wrong(line, custom_id, field, message, fix))

    def __bool__(self) -> bool:
        return self.count > 0


# --- lines to items -------------------------------------------------------------------------------


class Header(TermsIn):
    """What the first line may say of the batch."""

    title: Annotated[str, Field(max_length=120)] = ""
    labels: _LABELS = ()
    priority: Annotated[int, Field(ge=0, le=9, description="0 goes first")] = PRIORITY
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    matrix: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict[str, tuple[Any, ...]],
        description="seed, or the name of a setting: the values that each line is drawn with",
    )
    max_in_flight: Annotated[int, Field(ge=1)] | None = None


class Sent(Value):
    """A line of the manifest, as sent."""

    custom_id: CustomId | None = None
    brief: BriefIn
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    seed: Seed | None = None
    labels: _LABELS = ()


class Checked(NamedTuple):
    """A line that is no header. `item` is None where something is wrong with it, `custom_id` "" where it can't be read.

    `model` names the editor that draws it; "" where the matrix names editors.
    """

    line: int
    custom_id: str
    item: Item | None = None
    model: str = ""


class Reading:
    """Reads the lines of one manifest, in order, and collects what is wrong.

    `max_brief_bytes` is the longest text of a brief, `currency` that of the models' prices ("": there are none).
    """

    def __init__(self, max_brief_bytes: int, header: Header | None = None, currency: str = "") -> None:
        self.errors = Errors()
        self.header = Header()
        self.combos: tuple[Combo, ...] = (Combo(),)
        self._most = max_brief_bytes
        self._currency = currency
        self.begun = header is not None
        self._models: tuple[str, ...] | None = None  # of a line without settings, by combo; None: the header is no good
        self._known: dict[str, tuple[list[Fault], tuple[str, ...]]] = {}
        self._take(header or Header(), 0)

    @property
    def editors(self) -> dict[str, tuple[int, ...]]:
        """Where the matrix names editors: which combos each of them draws."""
        found: dict[str, tuple[int, ...]] = {}
        if "editor" in self.header.matrix:
            for n, model in enumerate(self._models or ()):
                found[model] = (*found.get(model, ()), n)
        return found

    def read(self, line: Line) -> Checked | None:
        """None: the line is the header, or no JSON."""
        first, self.begun = not self.begun, True
        if not line.data:
            self.errors.add(line.number, "", [_too_long()])
            return None
        try:
            raw = parsed(line.data, "line")
        except BriefError as error:
            self.errors.add(line.number, "", [Fault(error.field, error.message, error.fix)])
            return None
        if isinstance(raw, dict) and "batch" in raw:
            self._read_header(cast(dict[str, Any], raw), line.number, first)
            return None
        return self._read_item(raw, line.number)

    def _read_header(self, raw: dict[str, Any], number: int, first: bool) -> None:
        if not first:
            again = Fault("batch", "stands behind other lines", "only the first line may have it")
            self.errors.add(number, "", [again])
            return
        try:
            if beside := sorted(raw.keys() - {"batch"}):
                raise _Faults([Fault(beside[0][:64], "stands beside batch", "give it a line of its own")])
            header = _valid(Header, raw["batch"], _HEADER_MODELS, "batch")
            if wrong := unpriced(header, self._currency):
                raise _Faults([wrong._replace(field=f"batch.{wrong.field}")])
        except _Faults as found:
            self._models = None
            self.errors.add(number, "", found.faults)
        else:
            self._take(header, number)

    def _take(self, header: Header, number: int) -> None:
        self.header, self._models = header, None
        try:
            self.combos = combos_of(header.matrix)
            self._models = _models(header.settings, {}, self.combos)
        except _Faults as found:
            self.errors.add(number, "", (_of_header(each, header.matrix) for each in found.faults))
            return
        if len(self.editors) > MAX_MODELS:
            self._models = None
            self.errors.add(number, "", [_too_many_models("batch.matrix.editor")])

    def _read_item(self, raw: Any, number: int) -> Checked:
        name = cast(dict[str, Any], raw).get("custom_id") if isinstance(raw, dict) else None
        custom_id = str(number) if name is None else name[:128] if isinstance(name, str) else ""
        try:
            sent = _valid(Sent, raw, _LINE_MODELS, "line")
            faults, models = self._settings(sent.settings)
            if faults := [*faults, *self._more(sent)]:
                raise _Faults(faults)
        except _Faults as found:
            self.errors.add(number, custom_id, found.faults)
            return Checked(number, custom_id)
        item = Item(
            custom_id=custom_id, line=number, brief=sent.brief, settings=sent.settings, seed=sent.seed,
            labels=sent.labels,
        )  # fmt: skip
        return Checked(number, custom_id, item, "" if "editor" in self.header.matrix or not models else models[0])

    def _more(self, sent: Sent) -> Iterator[Fault]:
        if (size := len(sent.brief.text.encode())) > self._most:
            message = f"the text has {size} bytes; the most for this token is {self._most}"
            yield Fault("brief.text", message, "shorten it")
        if len({*self.header.labels, *sent.labels}) > MAX_LABELS:
            yield Fault("labels", f"with those of the batch there must be at most {MAX_LABELS}", "leave some out")

    def _settings(self, given: dict[str, Any]) -> tuple[list[Fault], tuple[str, ...]]:
        """What is wrong with the settings of a line, and the model of each combo. Many lines have the same ones."""
        if not given or self._models is None:
            return [], self._models or ()
        key = json.dumps(given, sort_keys=True)
        if key not in self._known:
            if len(self._known) >= _KNOWN_SETTINGS:
                self._known.clear()
            try:
                self._known[key] = [], _models(self.header.settings, given, self.combos)
            except _Faults as found:
                self._known[key] = found.faults, ()
        return self._known[key]


def unpriced(terms: TermsIn, currency: str) -> Fault | None:
    """What is wrong with a budget in money, where prices are in `currency`; "": there are none."""
    name = terms.currency()
    if not name or name == currency:
        return None
    if not currency:
        return Fault(f"budget.{name}", "no model has a price", "limit renders or gpu, or ask an operator for prices")
    return Fault(f"budget.{name}", f"the prices of models are in {currency}", f"write {currency}=20")


def combos_of(matrix: Mapping[str, tuple[Any, ...]]) -> tuple[Combo, ...]:
    """Every choice of one value for each name, the last name turning fastest."""
    for name, values in matrix.items():
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            raise _Faults([Fault(f"matrix.{name[:64]}", "must be a list of words and numbers")])
        told = [_told(value) for value in values]
        if len(set(told)) < len(told):
            twice = next(each for n, each in enumerate(told) if each in told[:n])
            raise _Faults([Fault(f"matrix.{name[:64]}", f"has {twice[:64]} twice", "give each value once")])
    if (number := math.prod(len(values) for values in matrix.values())) > MAX_COMBOS:
        raise _Faults([Fault("matrix", f"makes {number} of each line; the most is {MAX_COMBOS}", "leave values out")])
    return tuple(_combo(dict(zip(matrix, values, strict=True))) for values in itertools.product(*matrix.values()))


def _combo(chosen: dict[str, Any]) -> Combo:
    name = ",".join(f"{name}={_told(value)}" for name, value in chosen.items())
    settings = {name: value for name, value in chosen.items() if name != "seed"}
    try:
        return Combo(name=name, settings=settings, seed=chosen.get("seed"))
    except ValidationError as error:
        found = [fault(detail, {}) for detail in error.errors(include_url=False)]
        raise _Faults([each._replace(field=f"matrix.{each.field}") for each in found]) from None


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _models(defaults: dict[str, Any], given: dict[str, Any], combos: Iterable[Combo]) -> tuple[str, ...]:
    """The editor's model of each combo. Raises _Faults for the first combo whose settings can't be used."""
    found: list[str] = []
    for combo in combos:
        try:
            found.append(_editor({**defaults, **given, **combo.settings}))
        except _Faults as bad:
            beside = f" (with {combo.name[:100]})" if combo.name else ""
            raise _Faults([each._replace(message=each.message + beside) for each in bad.faults]) from None
    return tuple(found)


def _editor(settings: dict[str, Any]) -> str:
    return _valid(SettingsIn, settings, {(): SettingsIn}, "settings").editor


def _valid(kind: type[V], raw: Any, models: Mapping[tuple[str, ...], type[BaseModel]], where: str) -> V:
    """Raises _Faults. Fields are named below `where`; those of a line stand by themselves."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = [fault(detail, models) for detail in error.errors(include_url=False)[:_MOST_OF_A_LINE]]
    raise _Faults([each._replace(field=_below(where, each.field)) for each in faults])


def _below(where: str, field: str) -> str:
    if field == "body":
        return where
    return field if where == "line" else f"{where}.{field}"


def _of_header(found: Fault, matrix: Mapping[str, object]) -> Fault:
    """A fault of merged settings, with the field of the header that brought it."""
    room, _, name = found.field.partition(".")
    if room == "settings" and name in matrix:
        return found._replace(field=f"batch.matrix.{name}")
    return found._replace(field=f"batch.{found.field}")


def _too_long() -> Fault:
    return Fault("line", f"has more than {MAX_LINE} bytes", "shorten it; each line is one brief")


def _too_many_models(field: str) -> Fault:
    return Fault(field, f"a batch has at most {MAX_MODELS} editors", "send more than one batch")


class _Faults(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


_LINE_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Sent,
    ("brief",): BriefIn,
    ("brief", "goals"): Goal,
    ("brief", "goals", "region"): Region,
}
_HEADER_MODELS: dict[tuple[str, ...], type[BaseModel]] = {(): Header}
