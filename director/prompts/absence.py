"""What a brief rules out ("no people", "remove the sign"), and what it only mentions: questions, and what was before.

Told by words, in the languages in which most briefs are written. Words that are not known for a negation ask for
something. `words` is the text with its exact strings blanked, as `plain` gives it: a string may say "No parking".
"""

import re
from itertools import pairwise
from typing import NamedTuple

from director.prompts.quotes import quotations
from director.types import Goal


class Part(NamedTuple):
    """`text[start:end]`, and whether it says what must not be there."""

    start: int
    end: int
    absent: bool


def plain(text: str) -> str:
    """`text` with what stands in quotation marks blanked."""
    for start, end in quotations(text):
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def forbids(text: str) -> bool:
    """All of a clause says what must not be there."""
    return all(part.absent for part in parts(text))


def parts(text: str, words: str = "") -> tuple[Part, ...]:
    """A clause cut where it changes between what must be there and what must not; without such words it is one part."""
    words = words or plain(text)
    found: list[Part] = []
    for start, end in _segments(words):
        segment = words[start:end]
        absent = _is_negative(segment) or (bool(found) and _goes_on(words, found[-1], segment))
        joins = bool(found) and (found[-1].absent == absent or points_back(segment))
        found.append(Part(found.pop().start if joins else start, end, absent))
    return tuple(found)


def items(text: str) -> tuple[str, ...]:
    """What a clause rules out, one thing each, without the words that rule it out where English ones stand in front."""
    words = plain(text)
    ruled = [part for part in parts(text, words) if part.absent] or [Part(0, len(text), True)]
    cut: list[str] = []
    for part in ruled:
        start = part.start
        for mark in [*_ITEM.finditer(words, part.start, part.end), None]:
            cut.append(text[start : mark.start() if mark else part.end])
            start = mark.end() if mark else start
    bare = (_TAIL_EN.sub("", _LEAD_EN.sub("", item, count=1)).strip(" \t\n.,;:!，、。；：！") for item in cut)
    return tuple(item for item in bare if item and not _NOTHING.fullmatch(item))


def worded(goal: Goal, edit: bool) -> str:
    """An absent goal as an instruction in English; the brief's own words where they say it in another language."""
    if goal.string:
        mark = "'" if '"' in goal.string else '"'
        return f"{'Remove the' if edit else 'There is no'} text {mark}{goal.string}{mark}"
    things = items(goal.text)
    said = plain(goal.text)
    if not things or (forbids(goal.text) and not (_LEAD_EN.match(said) or _TAIL_EN.search(said))):
        return goal.text.strip().rstrip(".;,!。！")
    if edit:
        return f"Remove {', '.join(things)}"
    return f"There is no {', no '.join(_ARTICLE.sub('', thing, count=1) for thing in things)}"


def only_mentions(words: str) -> bool:
    """A question to the reader, or talk of what was there before: neither asks for anything."""
    asks = words.rstrip(" \t\n\"'”’»)").endswith(("?", "？", "؟"))
    return (asks and not _REQUEST.match(words)) or bool(_BEFORE.search(words))


def points_back(words: str) -> bool:
    """It rules out what was spoken of right before: "please don't put it on"."""
    return bool(_POINTS_BACK.search(words))


def _segments(words: str) -> list[tuple[int, int]]:
    edges = sorted({0, *(m.end() for m in _BREAK.finditer(words)), *(m.start() for m in _WITHIN.finditer(words))})
    return [*pairwise([*edges, len(words)])]


def _is_negative(segment: str) -> bool:
    cues = _LEAD_EN.match(segment) or _LEAD.match(segment) or _ANYWHERE.search(segment) or points_back(segment)
    return bool(cues) and not _EXCEPT.search(segment) and not _REMINDS.search(segment)


def _goes_on(words: str, before: Part, segment: str) -> bool:
    """The list of what is ruled out has one more. "Not the blue one" is an aside and no list; "avoid:" begins one."""
    said = words[before.start : before.end].rstrip()
    ends = said.endswith((":", "：")) and not _ANNOUNCED.search(said)
    return before.absent and not (ends or _RESUMES.match(segment) or _ASIDE.match(said))


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


def _compiled(*patterns: str) -> re.Pattern[str]:
    return re.compile(_any(*patterns), re.IGNORECASE)


_BREAK = re.compile(r"(?<!\d)[,:;](?=\s)|[，、；：،؛]|\s[–—]\s|\(|(?<!nothing)\s(?=(?:but|sondern|sino)\s)")
_ITEM = _compiled(
    r"[,;，、；،/]\s*(?:and |or |nor |und |et |y |e |og |och |i |и )?",
    r"\s(?:or|nor|oder|noch|ou|ni|ani|eller|lub|или|або)\s",
    r"(?:或者|或|和|または|や)",
)
_ANNOUNCED = _compiled(r"^\s*(?:\S+\s+)?\S+\s*[:：]$", r"\b(?:this|these|following|that)\s*:$")
_ASIDE = re.compile(r"\s*(?:but\s+)?(?:not|nicht|niet|inte|ikke)\s", re.IGNORECASE)
_EXCEPT = _compiled(
    r"\b(?:other\s+than|except|besides|apart\s+from|nothing\s+but|außer|sauf|hormis|excepto|salvo|eccetto|tranne|exceto"
    r"|behalve|utom|undtagen|unntatt|oprócz|кроме|крім)\b|除了|以外|이외|제외하고|sadece",
)
_REMINDS = _compiled(
    r"\b(?:forget|hesitate|skimp|overlook|be\s+(?:shy|afraid)|vergiss|vergesst|vergessen|vergeet|glöm|glem|zöger\w*|aarzel"
    r"|oubli\w+|hésit\w+|olvid\w+|dud(?:a|es?|en)|dimentic\w+|esit\w+|esqueç\w+|hesit\w+|zapom\w+|forgl\w+|unohda"
    r"|забуд\w+|забыва\w+|стесня\w+|ξεχ\w+|quên|unut\w*)\b|忘|犹豫|잊|لا\s+تنس|אל\s+תשכח|भूल|อย่าลืม",
    r"\b(?:keine?\s+(?:frage|sorge|angst|wunder|zweifel)|ohne\s+(?:frage|zweifel|ende|weiteres)|sin\s+(?:duda|fin)"
    r"|sans\s+(?:doute|fin|hésiter)|senza\s+(?:dubbio|fine)|sem\s+(?:dúvida|fim)|zonder\s+twijfel"
    r"|без\s+(?:сомнения|конца)|bez\s+wątpienia)\b",
)
"""What must not be forgotten is to be there; and what only sounds like a negation."""

_NOTHING = _compiled(
    r"(?:no |many )?thanks?(?: you)?|please|it|that|this|them|those|any|danke|bitte|merci|gracias|grazie|谢谢"
)
_ARTICLE = re.compile(r"(?:the|an?|any|some|that|this|these|those)\s+", re.IGNORECASE)
_RESUMES = _compiled(
    r"\s*(?:but|just|only|instead|rather|think|use|keep|sondern|nur|stattdessen|mais|juste|seulement|sino|sólo|solo|ma"
    r"|mas|só|maar|alleen|men|bara|kun|tylko|но|только|а)\b(?!\s+(?:no|not|without)\b)",
    r"\s*(?:只|但|而是|仅)",
)

_NO = (
    r"no(?=\s+[^\W\d])(?!\s+(?:more|less|fewer|later|sooner|earlier|longer|matter|doubt|idea|problem|need|worries|wonder"
    r"|rush|hurry)\b)"
)
_NOT = r"(?:\s+not|n['’]?t|not|\s+never)"
_VERBS = r"(?:use|show|draw|put|add|include|depict|write|print|display|feature|want|have|contain)"
_LEAD_EN = _compiled(
    r"\s*(?:(?:and|but|so|please|also|still|ps|there(?:['’]s|\s+(?:is|are|should\s+be|must\s+be|shall\s+be|will\s+be))"
    r"|we\s+want|i\s+want|we\s+need|use|show|include|have|with|\w+ly)[\s:,]+){0,4}"
    + _any(
        rf"{_NO}|none of(?=\s+[^\W\d])",
        r"without(?!\s+\w+ing\b)",
        r"(?:but\s+)?not(?=\s+(?:the|an?|any|this|that|these|those|my|our|your|his|her|their)\b)",
        rf"(?:(?:we|i|you|it|the\s+\w+|there)\s+)?(?:do|does|must|should|may|can|shall|will){_NOT}\s+(?:\w+\s+)?{_VERBS}"
        r"(?!\s+to\b)(?:\s+any)?",
        rf"never\s+{_VERBS}",
        rf"there\s+(?:must|should|may|can|shall|will|could|would){_NOT}\s+be(?:\s+any)?",
        r"(?:free|empty|clear|devoid|bare)\s+of(?!\s+(?:charge|cost)\b)",
        r"(?:skip|ditch|scrap|lose|hide)(?=\s+(?:the|any|all|that|those|these)\b)",
        r"(?:(?:could|can|would|will)\s+you\s+)?(?:please\s+)?(?:avoid(?:ing)?|remov(?:e|ing)|eras(?:e|ing)|delet(?:e|ing)"
        r"|omit|exclude|get\s+rid\s+of|take\s+(?:away|out|off)|leave\s+(?:out|off))",
    )
    + r"\b\s*"
)
"""At the start of a segment."""
_GOES = r"\b(?:goes(?:\s+away)?|(?:must|should|has\s+to|have\s+to|needs?\s+to|is\s+to|can)\s+go(?:\s+away)?)\s*[.!;]*$"
"""What is said of a thing that is there: "the lamp goes"."""
_TAIL_EN = _compiled(_GOES)

_LEAD = _compiled(
    r"\s*(?:(?:bitte|und|aber|auch|es\s+(?:darf|dürfen|soll|sollen|gibt)|wir\s+(?:wollen|möchten)|auf\s+keinen\s+fall|mit"
    r"|s['’]il\s+(?:vous|te)\s+plaît|il\s+n['’]y\s+(?:a|aura)|et|mais|por\s+favor|que|y|per\s+favore|e|graag|en|men|och|og"
    r"|proszę|пожалуйста|и|请|請|من فضلك)[\s:,]*){0,3}"
    + _any(
        # German, Dutch, Scandinavian, Finnish
        r"kein(?:e[nrms]?)?\b(?!\s+(?:problem|ahnung))|nichts\b(?!\s+als\b)|niemand\w*|weder\b",
        r"ohne\b(?!\s+zu\b)",
        r"nicht\s+(?:de[rnm]|die|das|eine?[nrm]?)\b",
        r"(?:entferne?|lösche?|streiche?|vermeide?)(?:n|t|st)?\b",
        r"geen\b|zonder\b|niets\b(?!\s+dan\b)|niemand\b|noch\b(?=.*\bnoch\b)",
        r"niet\s+(?:de|het|een)\b|(?:verwijder|vermijd)\w*",
        r"ing(?:a|en|et)\b|utan\b|uden\b|uten\b|(?:inte|ikke)\s+(?:den|det|de|någ\w+|noen|nogen|nogle)\b",
        r"(?:ta\s+bort|fjern\w*|undvik\w*|undgå|unngå|slett\w*|radera)\b",
        r"ei(?=\s+\w{3})|ilman\b|älä\b|poista\w*|vältä\w*",
        # Romance
        r"(?:pas|plus|point)\s+(?:de|du|des|d['’]|une?\s+seule?)|aucune?\b|ne\s+pas\s+\w+",
        r"rien\s+(?:de|d['’])|ni\b(?=.*\bni\b)",
        r"(?:(?:il|on|vous|tu|nous|je)\s+)?(?:ne|n['’])\s*\w+\s+(?:\w+\s+)?(?:pas|plus|aucune?|jamais|personne|rien)\b",
        r"sans\b(?![\s-]+(?:serif|caps|capitals|letter\w*|type\w*|font|face)\b)(?=\s+\w)",
        r"(?:enl[eè]v|retir|supprim|effac|évit|ôt)(?:e|er|ez|ons)\b",
        r"sin\b(?!\s+(?:embargo|city))|ning[uú]n[ao]?s?\b|nada\s+de\b|nadie\b",
        r"no\s+(?:haya|hay|debe\w*|quer\w*|pon\w*|muestr\w*|us\w*|utilic\w*|inclu\w*|añad\w*|dibuj\w*|aparez\w*)",
        r"(?:quit|elimin|borr|retir|suprim|evit)(?:a|ar|e|en|emos|ad)\b",
        r"senza\b|nessun[ao]?\b|né\b(?=.*\bné\b)|niente\b",
        r"(?:rimuov|togli?|elimin|cancell|evit)(?:i|a|e|ere|are|ete|ate)\b",
        r"non\s+(?:mostr|mett|us|inser|aggiung|disegn|dev|vogli|ci\s+(?:siano|dev|sono))\w*",
        r"sem\b(?=\s+\w)|nenhuma?\b|não\s+(?:mostr|us|coloq|coloc|inclu|quer|dev|haja|pode|ponha)\w*",
        r"(?:remov|apagu?|evit|retir|tir)(?:a|e|er|ar|am|em)\b(?=\s+[oa]s?\s)|(?:remov|apagu?|evit)(?:a|e|er|ar|am|em)\b",
        # Romanian, Indonesian
        r"fără\b|nicio?\b|nu\s+(?:adăug|pune|desen|folos|arăt)\w*|(?:șterge|elimină|scoate)\w*",
        r"(?:jangan|tanpa|hindari|hapus(?:kan)?|hilangkan)\b|tidak\s+(?:ada|boleh)\b",
        # Slavic, Greek, Hungarian, Vietnamese
        r"bez\b|żadn\w+|nie\s+(?:dodaw|pokazuj|umieszcz|używaj|rysuj|chcemy|ma\s+być|może\s+być)\w*|(?:usuń|unikaj|skasuj)\w*",
        r"žádn\w+|ne(?:přidáv|ukazuj|používej|dávej|kresl)\w*|(?:odstra[nň]|smaž|vynech)\w*",
        r"без\b|никак\w+|нет\b|не\s+(?:показ|рис|добав|использ|нужн|надо|долж|став|изображ|пиш)\w*",
        r"(?:убер|удал|убра|сотр|исключ|избега|прибер|видал|уник)\w*|жодн\w+|не\s+(?:дода|використ|треба|потріб|пот)\w*",
        r"χωρίς\b|κανέν\w+|καμία\b|όχι\b|μην?\s+\w+|(?:αφαιρ|διαγρ|αποφ)\w+",
        r"ne\s+legyen\w*|semmi\w*|távolíts\w*|töröl\w*",
        r"không\s+(?:có|vẽ|dùng|thêm|đặt|hiển|được)|đừng\b|tránh\b|bỏ\b|xóa\b|xoá\b",
        # Arabic, Hebrew, Thai, Chinese
        r"بدون|بلا|دون|لا\s+(?:ت\w+|يوجد|أريد|نريد|يظهر)|احذف|أزل|تجنب|إزالة|حذف",
        r"בלי|ללא|אין|אל\s+ת\w+|לא\s+ל\w+|הסר\w*|מחק\w*|להסיר|למחוק",
        r"ไม่มี|ไม่ต้อง|ไม่เอา|ห้าม|อย่า|ลบ",
        r"(?:不要|不需要?|不用|无需|無需|别|勿|避免|禁止|没有|沒有|不含|不带)(?!太|过|超|墅|致)|无(?:人|文字|水印|任何)",
    )
)

_ANYWHERE = _compiled(
    r"\b(?:must|should|may|can|shall|do|does|is|are|will)" + _NOT + r"\s+(?:\w+\s+)?(?:appear|wanted|allowed|to\s+be"
    r"|be\s+(?:seen|shown|visible|there|used|added|drawn|included|in|on))\b",
    r"\b(?:has|have|had\s+better|needs?|must|should)\s+(?:to\s+)?(?:go|disappear|vanish|come\s+off|be\s+gone)\s*[.!]*$",
    r"\b(?:nobody|no\s?-?one)\s+(?:is\s+|should\s+be\s+|else\s+)?(?:in|on)\s+(?:the|this)\s+\w+\s*[.!]*$",
    r"\b(?:leave|keep|take)\s+(?:\w+\s+){1,4}(?:out|off|away)"
    r"(?:\s+of\s+(?:the|this)\s+(?:picture|image|frame|shot|scene|design|poster))?\s*[.!]*$",
    r"\b(?:rather|prefer|want|wish|like)\s+not\s+(?:to\s+)?(?:see|have|show|include|use)\b",
    r"\btake\s+(?:\w+\s+){1,4}(?:off|from|out\s+of)\s+(?:the|his|her|its|their|this)\s+\w+\s*[.!]*$",
    r"\bnothing\s+(?:\w+\s+){0,3}in\s+(?:the|this)\s+\w+\s*[.!]*$",
    _GOES,
    r"\b(?:darf|dürfen|soll(?:en|te|ten)?)\s+(?:\w+\s+){0,2}kein(?:e[nrms]?)?\b",
    r"\b(?:muss|müssen|soll(?:en)?|kann|können|gehört|lass(?:t|en)?|nimm|nehmt|nehmen|haal|laat|neem)\b"
    r".*\b(?:weg|raus|heraus|fort|eruit)\s*[.!]*$",
    r"\bnicht\s+(?:\w+\s+)?(?:zeigen|abbilden|verwenden|benutzen|drauf|darauf|zu\s+sehen|sichtbar|vorkommen|erscheinen"
    r"|gewünscht)",
    r"\b(?:entfernen|löschen|weglassen|streichen|vermeiden|wegnehmen|verwijderen|weglaten|weghalen)\s*[.!]*$",
    r"\bniet\s+(?:tonen|gebruiken|laten\s+zien|afbeelden)\b|\bnélkül\b",
    r"(?:olmasın|olmamalı|istemiyor\w*|kullanma\w*|gösterme\w*|koyma\w*|eklemeyin|kaldır\w*|silin)\s*[.!]*$",
    r"(?:不要|不能|不得|不可|别|请勿|禁止|避免)再?(?:有|出现|画|加|添加|写|放|使用|用|包含|显示|展示|任何)",
    r"не\s+(?:должн\w+|может)(?:\s+быть)?\s*[.!]*$",
    r"去掉|去除|删除|删掉|移除|拿掉|擦掉|刪除|刪掉|移走",
    r"(?:入れ|描か|使わ|加え|置か|書か|載せ|表示し|含め|写さ|出さ|付け|つけ)ない(?:で|[。！]|$)|(?:なし|無し)(?:で|に|[。！]|$)|ないこと",
    r"(?:は|も)(?:不要|禁止)|(?:削除|消去|除去|取り除|消し)(?:し|い|て|く)",
    r"없이|없어야|없게|없도록|(?:넣|그리|쓰|사용하|보이|나오)지\s*(?:마|말|않)|제거|삭제|빼\s?주|지워|금지",
    r"(?:नहीं|मत|बिना|हटा)",
)

_WITHIN = re.compile(
    r"(?<!bitte\s)(?<!please\s)(?<!favor\s)(?<!favore\s)"
    + _any(
        rf"(?<=\s)(?:with|there\s+is|there\s+are)\s+{_NO}\b",
        _any(*(rf"(?<=\b{verb}\s)" for verb in ("has", "have", "contain", "contains", "show", "shows", "want", "see")))
        + rf"{_NO}\b",
        r"(?<=\s)without\b(?!\s+\w+ing\b)",
        r"(?<=\s)(?:(?:completely|entirely|totally|fully|kept|absolutely)\s+)?"
        r"(?:free|empty|clear|devoid)\s+of\b(?!\s+(?:charge|cost)\b)",
        r"(?<=\s)(?:ohne(?!\s+zu\b)|senza|zonder|utan|uden|uten|ilman|bez|без|χωρίς|nenhuma?|sem|sin(?!\s+(?:city|embargo)))\b",
        r"(?<=\s)sans\b(?![\s-]+(?:serif|caps|capitals|letter\w*|type\w*|font|face)\b)(?=\s+\w)",
    ),
    re.IGNORECASE,
)
"""Inside a segment, where what must not be there begins."""

_POINTS_BACK = _compiled(
    rf"\b(?:do{_NOT}|never|not)\s+(?:{_VERBS}|keep|repeat)\s+(?:it|that|this|them)\b(?:\s+(?:on|in|up|there|here|again"
    r"|anywhere|please|any\s?more))*\s*[.!]*$",
    r"\b(?:leave|take|keep)\s+(?:it|that|this|them)\s+(?:out|off|away)\s*[.!]*$|\b(?:remove|delete|erase)\s+(?:it|that)\b",
    r"^\s*(?:none|keine[rs]?|aucune?|ningun[oa]|nessun[oa]|nenhuma?|geen|нет|なし|無し|无|없음)\s*[.!。！]*$",
    r"\bnicht\s+(?:mehr\s+)?(?:drauf|darauf|mit\s+drauf|übernehmen)|\bweg\s+damit\b",
    r"\bne\s+l(?:a|e|es|['’])\s*\w+\s+pas\b|\bno\s+l[ao]s?\s+\w+|\bnon\s+(?:l[aioe]|metter\w+)\b|\bnão\s+[oa]s?\s+\w+",
    r"(?:不要|别|请勿)再?(?:写|放|用|加)(?:它|上|了|进|[。！]|$)|не\s+(?:став|пиш|добав|использ)\w+\s+(?:его|её|ее|это|их)",
)

_REQUEST = _compiled(
    r"\s*(?:(?:and|also|please|so|then|now)[\s,]+)*(?:(?:could|can|may)\s+(?:you|we|i|there|it|the)"
    r"|(?:would|will)\s+you(?!\s+(?:like|prefer|want|rather)))\b",
    r".{0,40}\b(?:könn|kann|kunn?t?|würde)\w*\s+(?:du|sie|ihr|wir|ich|man|je|jij|u|we|ni|vi|du|i)\b",
    r".{0,20}\b(?:pou[rv]|peu)\w*[\s-](?:vous|tu|on)\b|.{0,20}\b(?:pod|pued|puoi|può|potr|possi|pode)\w*\b",
    r".{0,20}\b(?:mo[żg]\w+|мож\w+|мог\w+)\b",
    r".*(?:能|可以|请|請|ください|もらえ|いただけ|できます|주세요|주실|주시|bilir|misin|ممكن|يمكن)",
)
"""A wish that is put as a question."""

_BEFORE = _compiled(
    r"\b(?:old|previous|former|earlier|last\s+(?:year|time|month|week|season)(?:['’]s)?|existing)\b.{0,40}"
    r"\b(?:said|says|read|reads|showed|shows|had|has|was|used)\b",
    r"\b(?:alte[srnm]?|frühere[srnm]?|vorige[srnm]?|letzte[srnm]?\s+jahr|bisherige[srnm]?|oude|vorige)\b.{0,40}"
    r"\b(?:stand|hieß|lautete|sagte|zeigte|hatte|war|zei|had)\b",
    r"\b(?:ancien(?:ne)?|précédente?|antigu[oa]|anterior|vecchi[oa]|precedente|antig[oa])\b.{0,40}"
    r"\b(?:disait|indiquait|portait|montrait|était|decía|ponía|mostraba|era|diceva|mostrava|dizia)\b",
    r"\b(?:стар|прошл|прежн)\w+.{0,40}\b(?:был\w*|написано|говорил\w*)|(?:旧|之前|以前|原来|上次|去年)\S{0,20}(?:写|印|是|说)",
    r"(?:以前|前回|去年|昔)\S{0,30}(?:書い|でした|ました|あった)",
)
