"""Where sentences end, in all scripts: a mark of Unicode's Sentence_Terminal that belongs to no abbreviation."""

import re
from collections.abc import Iterator

# PropList.txt of Unicode 15.1, Sentence_Terminal, without ".", "!" and "?", which need white space behind them
# in scripts that use it. The Tibetan shad is added: it ends what a sentence is in Tibetan.
_TERMINAL = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u0f0d\u104a\u104b\u1362\u1367"
    "\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1b7d\u1b7e"
    "\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7"
    "\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
    "\U00010a56\U00010a57\U00010f55-\U00010f59\U00010f86-\U00010f89\U00011047\U00011048\U000110be-\U000110c1"
    "\U00011141-\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df\U00011238\U00011239\U0001123b\U0001123c"
    "\U000112a9\U0001144b\U0001144c\U000115c2\U000115c3\U000115c9-\U000115d7\U00011641\U00011642\U0001173c-\U0001173e"
    "\U00011944\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42\U00011ef7\U00011ef8"
    "\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016e98\U0001bc9f\U0001da88"
)
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Letters of scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, ideographs."""

_CLOSERS = r"[\"'”’“‘)\]}»«›‹」』》〉】〕）］｣]"
_END = re.compile(
    rf"(?P<strong>(?!．\d)[{_TERMINAL}][{_TERMINAL}.!?…]*(?P<closed>{_CLOSERS}+)?)"
    rf"|(?<=[{_SPACELESS}])[.!?]+(?=[{_SPACELESS}「『《“‘【])"
    rf"|[.!?…]+{_CLOSERS}*(?=\s|$)"
)


def sentence_ends(text: str) -> Iterator[int]:
    """The places behind the marks that end a sentence, in order, whether in quotation marks or not."""
    for match in _END.finditer(text):
        strong = match["strong"] and not (match["closed"] and text[match.end() : match.end() + 1].isalnum())
        if strong or (not match["strong"] and _ends(text, match.start(), match.end())):
            yield match.end()


def _ends(text: str, start: int, end: int) -> bool:
    following = _following(text, end)
    if text[start] == "." and text[start + 1 : start + 2] != "." and is_abbreviated(text, start, following):
        return False
    return not following or not following[0].islower()


_OPENERS = "\"'“‘„‚«»‹›「『《(（[¿¡*_–— "


def _following(text: str, end: int) -> str:
    """The next words, without white space and opening marks in front of them."""
    return text[end : end + 24].lstrip().lstrip(_OPENERS)


def is_abbreviated(text: str, stop: int, following: str) -> bool:
    """The full stop at `stop` belongs to the word or number in front of it."""
    head = text[max(0, stop - 24) : stop]
    word = _WORD.search(head)
    if not word or head[: word.start()][-1:] in _INSIDE:
        return False
    said = word[0].casefold()
    if said.isdigit():
        return _ordinal(said, head[: word.start()], following)
    if said in _NEVER_LAST or (_is_initial(said) and not _BEGINS_SENTENCE.match(following)):
        return not _closes_date(said, head[: word.start()], following)
    return _abbreviates(word[0], following)


def _is_initial(said: str) -> bool:
    return len(said) == 1 and said.isalpha() and said.lower() != said.upper()


def _abbreviates(word: str, following: str) -> bool:
    """The word with its stop is an abbreviation in front of what follows."""
    said, first = word.casefold(), following[:1]
    if said in _BEFORE_NUMBERS:
        return first == "+" or first.isdigit() or (word[0].isupper() and first in (",", ")", "/"))
    if said in _ALSO_LAST:
        return not first.isupper() or bool(_CALENDAR.match(following))
    return said in _MONTHS and (first.isdigit() or first.islower() or first in (",", ")"))


_BEGINS_SENTENCE = re.compile(
    r"(?:The|An?|At|In|On|It|We|To|No|Add|Put|Set|Place|Under|Below|Above|Behind|Der|Die|Das|Ein|Eine|Le|La|Les|Un|Une)\s"
)
"""Behind a single letter: not the name of a person with this initial."""

_INSIDE = tuple("=/&?#@_~%+")
"""In front of a word: the word ends an address, not an abbreviation."""

_WORD = re.compile(r"[^\W_](?:[^\W_]|\.(?=[^\W_]))*$")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Never the last word of a sentence: titles, and what stands in front of a name, a number or an example.
_NEVER_LAST = _set(
    "e.g i.e approx ca cf vs st dr mr mrs ms prof eg ie viz "  # English
    "nr str hr fr hrn z.b d.h u.a o.ä mio mrd tsd i.d.r z.t v.a bzw ggf evtl inkl exkl zzgl abzgl bspw vgl "  # German
    "sog geb ing dipl "
    "p.ex ex env mme mlle mgr réf "  # French
    "sr sra srta dª dra av avda sto sta ud uds vd p.ej "  # Spanish, Portuguese
    "sig sigg dott dott.ssa ecc.mo "  # Italian
    "t.ex bl.a d.v.s s.k f.d t.o.m fr.o.m kl f.eks bl.a dvs "  # Nordic
    "np ul al pl godz prof inż mgr im św tzw m.in "  # Polish
    "např tj tzv čp ul č "  # Czech
    "ул пр просп пл д им напр см т.е т.к св "  # Russian
    "π.χ δηλ βλ "  # Greek
    "örn vb bkz sok cad apt tel doç "  # Turkish
    "bijv d.w.z dhr mevr evt incl excl "  # Dutch
    "tp q ts ths pgs "  # Vietnamese
)
# Abbreviated only in front of a number: "No. 5", "Sa. 12. Okt."; else it is a word ("no", "so", "do").
_BEFORE_NUMBERS = _set(
    "no nos nº n° fig vol tel art núm pág рис тел стр τηλ αρ οδ p pp ch sec min max til tlf "
    "mo di mi do fr sa so mon tue tues wed thu thur thurs fri sat sun lun mar mer jeu ven sam dim "
    "lör sön tis ons tors fre lør søn pon wt śr czw pt sob ndz пн вт ср чт пт сб вс"
)
# May end a sentence, and does in front of a capital that begins no date.
_ALSO_LAST = _set(
    "etc usw usf chr u.s u.k e.u ph.d a.m p.m inc ltd co corp jr bros ecc itd itp dr.h m.m osv mfl m.fl dgl uvm u.s.w "
    "т.д т.п др пр гг "
    "руб коп мин ч тыс млн std hs hrs κ.λπ κλπ vd vs enz cia sa ltda approx max min j tlg stk"
)
_MONTHS = _set(
    "jan feb mär mar mrz apr jun jul aug sep sept okt oct nov dez dec janv févr avr juil août déc ene abr ago dic gen "
    "giu ott янв фев февр мар апр авг сен сент окт ноя нояб дек sty lut kwi cze sie wrz paź lis gru"
)
_CALENDAR = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[kc]t|nov|de[cz])"
    r"[a-zä]*\b",
    re.IGNORECASE,
)
_ORDERED = re.compile(
    r"(?:jan|feb|mär|mar|apr|mai|maj|jun|jul|jui|aug|sep|okt|oct|nov|de[czs]|tammi|helmi|maalis|huhti|touko|kesä|heinä"
    r"|elo|syys|loka|marras|joulu|jahrhundert|jahrestag|geburtstag|jubiläum|klasse|stock\b|etage|platz\b|auflage"
    r"|preis\b|mal\b|tag\b|woche|saison|advent|\d)",
    re.IGNORECASE,
)
_BEFORE_ORDINALS = re.compile(
    r"\b(?:der|die|das|dem|den|des|im|am|zum|zur|vom|beim|bis|ab|unser|unsere|unserem|mein|den|det|til|fra"
    r"|dne|od|do)\s$",
    re.IGNORECASE,
)


def _ordinal(number: str, before: str, following: str) -> bool:
    """ "12. Oktober", "im 3. Stock": a number with a stop that ends no sentence."""
    if len(number) > 3 or not following:
        return False
    return bool(_ORDERED.match(following)) or bool(_BEFORE_ORDINALS.search(before) and following[0].isupper())


def _closes_date(said: str, before: str, following: str) -> bool:
    """ "2026 г." in front of a capital: the year's letter ends the sentence, too."""
    return said in ("г", "h", "m", "j", "ч", "r", "p") and before.rstrip()[-1:].isdigit() and following[:1].isupper()


_PHRASE = re.compile(rf"(?<=[{_SPACELESS}]) +(?=[{_SPACELESS}])")
_SHORTEST_PHRASE = 15


def phrase_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where a space parts phrases in `text[start:end]`: Thai, Lao, Burmese and Khmer write it for a comma or a stop."""
    last = start
    for match in _PHRASE.finditer(text, start, end):
        shorter = min(match.start() - last, end - match.end())
        if shorter >= _SHORTEST_PHRASE and not _KANA_OR_HAN.match(text, match.end()):
            last = match.end()
            yield last


_KANA_OR_HAN = re.compile(r"[\u3040-\u9fff]")
