"""What a line of a brief is: prose, a list item, a heading, or mail that asks for nothing.

Each pattern looks at one line and backtracks over no more than a short part of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

HEADING, QUOTED_MAIL, SIGNATURE, GREETING = "heading", "quoted mail", "signature", "greeting"
MARKUP, NUMBER = "mark-up", "list number"


@dataclass(frozen=True)
class Line:
    """`text[start:end]` without its bullet or number, without its end. `skipped` says why it asks for nothing, or is empty."""

    start: int
    end: int
    text: str
    item: bool = False
    skipped: str = ""
    quote: bool = False
    hashed: bool = False
    label: str = ""
    label_at: int = 0

    @property
    def words(self) -> int:
        return len(self.text.split())


_BREAK = re.compile(r"(?:[\n\r\v\f\x85\u2028\u2029][ \t]*)+")
_NUMBER = r"(?:\d{1,3}|[٠-٩]{1,3}|[０-９]{1,3}|[a-zA-Zа-яА-Я]|[ivxIVX]{2,4})"
_BULLET = re.compile(
    r"[ \t\u3000]*(?:"
    r"(?:[-*+•‣▪▫◦●○■□·►▶➤→✓✔✗☐☑※◆◇–—]|\[[ xX]\])[ \t\u3000]+(?:\[[ xX]\][ \t]+)?"
    rf"|(?:{_NUMBER}[.)）．]|\({_NUMBER}\)|（[^（）\s]{{1,3}}）)[ \t\u3000]+"
    r"|\d{1,3}[)）．、](?=\D)|（[一二三四五六七八九十\d]{1,3}）|[一二三四五六七八九十]{1,3}[、．.](?=\S)"
    r"|[①-⑳⑴-⒇❶-❿➀-➓⓪㈠-㈩][ \t\u3000]*|[•‣▪◦●►➤](?=\S)"
    r")"
)
_DATE = re.compile(
    r"[ \t]*\d{1,2}\.[ \t]+(?:\d|jan|feb|mär|mar|apr|mai\b|maj\b|jun|jul|aug|sep|okt|oct|nov|de[czs]"
    r"|jahrhundert|stock\b|klasse\b)",
    re.IGNORECASE,
)


def lines(text: str, quoted: Sequence[int]) -> list[Line]:
    """The lines of `text`, each with why it is skipped; no line ends where `quoted` says: inside a quotation.

    When all of them would be skipped, none is.
    """
    breaks = [match for match in _BREAK.finditer(text) if not quoted[match.start()] and not _goes_on(text, match, quoted)]
    starts = [0, *(match.end() for match in breaks)]
    ends = [*(match.start() for match in breaks), len(text)]
    found = [_line(text, a, b) for a, b in zip(starts, ends, strict=True) if any(c.isalnum() or c in "-—|`~=" for c in text[a:b])]
    marked = _headings(_mail(_marked_up(found), text))
    if all(line.skipped for line in marked if any(c.isalnum() for c in line.text)):
        return [replace(line, skipped="") for line in marked]
    return marked


_WRAPPED = 56
"""A line of so many characters without an end goes on in the next, when that begins with a small letter."""


def _goes_on(text: str, gap: re.Match[str], quoted: Sequence[int]) -> bool:
    """The line break parts no clauses: the line was wrapped, or only its exact string stands on a line of its own."""
    if sum(c in "\n\v\f\x85\u2028\u2029" for c in gap[0]) > 1 or gap.start() == 0:
        return False
    before, following = text[: gap.start()][-200:].rstrip(), text[gap.end() : gap.end() + 8]
    line = before[max(before.rfind("\n"), before.rfind("\r")) + 1 :]
    if quoted[gap.end()] and not following.startswith("`"):
        return line[-1] in ":：" or (len(line.split()) >= 3 and line[-1].isalpha() and not _BULLET.match(line))
    if not following[:1].islower() or _BULLET.match(following):
        return False
    closed = gap.start() > 1 and bool(quoted[gap.start() - 2])
    return closed or (len(line) >= _WRAPPED and line[-1] not in ".!?:;|")


def _line(text: str, start: int, end: int) -> Line:
    raw = text[start:end]
    if quote := re.match(r"[ \t]*(?:>[ \t]?)+", raw):
        return Line(start + quote.end(), end, raw[quote.end() :], quote=True)
    if hashes := re.match(r"[ \t]{0,3}#{1,6}[ \t]+", raw):
        return Line(start + hashes.end(), end, raw[hashes.end() :], hashed=True)
    bullet = None if _DATE.match(raw) else _BULLET.match(raw)
    if not bullet or bullet.end() == len(raw):
        return Line(start, end, raw)
    return Line(start + bullet.end(), end, raw[bullet.end() :], item=True, label=bullet[0].strip(), label_at=start + len(raw) - len(raw.lstrip()))


# --- mark-up ------------------------------------------------------------------------------------

_FENCE = re.compile(r"\s*(?:```|~~~)\s*\w*\s*$")


def _marked_up(found: Sequence[Line]) -> list[Line]:
    """Fences and rules of tables; the row above a rule names columns."""
    marked = list(found)
    for n, line in enumerate(found):
        if _FENCE.match(line.text):
            marked[n] = replace(line, skipped=MARKUP)
        elif n and "|" in line.text and _is_table_rule(line.text) and "|" in found[n - 1].text:
            marked[n - 1] = replace(found[n - 1], skipped=HEADING)
    return marked


def _is_table_rule(line: str) -> bool:
    return "--" in line and not line.strip(" \t:|-")


# --- mail ---------------------------------------------------------------------------------------

_WROTE = re.compile(
    r"\s*(?:(?:on|am|le|el|il|em|op|den|dnia|w dniu|dne|στις)\b.{4,200}\b(?:wrote|schrieb.{0,60}|a écrit|escribió|ha scritto"
    r"|escreveu|schreef.{0,60}|skrev.{0,60}|napisał(?:\(a\)|a)?.{0,60}|napsal.{0,60}|έγραψε.{0,60})"
    r"|.{4,200}(?:wrote|schrieb|пишет|написал(?:\(а\)|а)?|写道|寫道|さんは書きました|님이 작성|كتب|כתב/ה|כתב|yazdı|đã viết))\s*[:：]\s*$",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"\s*(?:-{2,}\s*(?:original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht"
    r"|message d'origine|message transféré|mensaje original|mensaje reenviado|messaggio originale|mensagem original"
    r"|oprindelig meddelelse|ursprungligt meddelande|oryginalna wiadomość|исходное сообщение|пересланное сообщение"
    r"|原始邮件|转发邮件)\s*-{2,}|begin forwarded message:)\s*$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\s*\*?(?:from|sent|to|cc|bcc|subject|reply-to|date|von|gesendet|an|betreff|datum|de|envoyé|à|objet|enviado|para|asunto"
    r"|fecha|da|inviato|a|oggetto|från|skickat|till|ämne|от|кому|тема|дата|od|do|temat|wysłano|发件人|收件人|主题|日期)\*?[:：]",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"\s*\*?(?:subject|betreff|objet|asunto|oggetto|ämne|тема|temat|主题)\*?[:：]", re.IGNORECASE)
_DEVICE = re.compile(
    r"\s*(?:sent from (?:my|outlook|mail)|get outlook for|von meinem .{0,40}gesendet|gesendet von|envoyé (?:de|depuis) mon"
    r"|enviado desde mi|enviado do meu|inviato da|verzonden vanaf|skickat från|sendt fra|wysłane z|отправлено с|发自我的"
    r"|iphoneから送信|나의 iphone에서).{0,60}$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\s*(?:(?:all the |with )?(?:best|kind|kindest|warm|warmest)(?: regards| wishes)?|regards|cheers|sincerely"
    r"|yours(?: truly| sincerely| faithfully)?|(?:many )?thanks(?: again| a lot| so much| in advance)?|thank you(?: so much)?|thx|love|xoxo"
    r"|(?:mit )?(?:freundlichen|besten|herzlichen|lieben|vielen) grü(?:ß|ss)en|(?:viele|liebe|beste|herzliche|schöne) grü(?:ß|ss)e"
    r"|mfg|lg|vg|gruß|danke(?: schön)?|vielen dank|besten dank"
    r"|(?:bien )?(?:cordialement|amicalement)|bien à vous|merci(?: beaucoup| d'avance)?|salutations|bises"
    r"|(?:un )?(?:cordial )?saludos?|saludos cordiales|atentamente|(?:muchas )?gracias|un abrazo|abrazos"
    r"|(?:cordiali|distinti) saluti|saluti|grazie(?: mille)?|abraços?|cumprimentos|atenciosamente|(?:muito )?obrigad[oa]"
    r"|(?:met vriendelijke|vriendelijke) groeten?|groeten|groetjes|bedankt|mvh|(?:med )?vänliga hälsningar|hälsningar|tack(?: på förhand)?"
    r"|(?:med )?vennlig hilsen|(?:venlig )?hilsen|takk?|terveisin|ystävällisin terveisin|kiitos"
    r"|pozdrawiam(?: serdecznie)?|z poważaniem|dziękuję|dzięki|s pozdravem|děkuji|üdvözlettel|köszönöm"
    r"|с уважением|с наилучшими пожеланиями|спасибо(?: большое)?|всего доброго|з повагою|дякую|με εκτίμηση|φιλικά|ευχαριστώ"
    r"|saygılarım(?:ız)?la|teşekkürler|sevgiler|trân trọng|cảm ơn|xin cảm ơn|ขอแสดงความนับถือ|ขอบคุณ(?:ครับ|ค่ะ)?"
    r"|此致|敬礼|祝好|谢谢[您你]?|多谢|以上|よろしく(?:お願い(?:いた|致)?します)?|(?:どうも)?ありがとうございま(?:す|した)|敬具"
    r"|감사합니다|고맙습니다|مع (?:أطيب )?(?:تحياتي|التحيات|التحية)|شكر[اًاا]*|תודה(?: רבה)?|בברכה|सादर|धन्यवाद)"
    r"\s*(?:[,，،!！.。、]\s*(?P<name>[^\W\d_][\w.'’ -]{0,40})?)?$",
    re.IGNORECASE,
)
_SALUTATION = re.compile(
    r"\s*(?:(?:hi|hello|hey|dear|hiya|greetings|good (?:morning|afternoon|evening|day)|hallo|guten (?:tag|morgen|abend)|liebe[rs]?"
    r"|sehr geehrte[r]?|moin|servus|grüezi|bonjour|bonsoir|salut|cher|chère|chers|hola|buenos días|buenas(?: tardes)?|estimad[oa]s?"
    r"|querid[oa]s?|ciao|buongiorno|salve|gentile|olá|oi|bom dia|boa tarde|caro|cara|prezad[oa]s?|hej|hejsan|hei|moi|terve|beste|goedemorgen"
    r"|goedendag|cześć|dzień dobry|witam|szanown[iy](?: państwo)?|ahoj|dobrý den|szia|kedves|здравствуйте|привет|добрый день"
    r"|уважаем(?:ый|ая|ые)|вітаю|добрий день|γεια(?: σας| σου)?|καλημέρα|αγαπητ[έή]|merhaba|selam|sayın|xin chào|chào)\b"
    r"(?: [\w.'’&-]+){0,4}"
    r"|(?:尊敬的|亲爱的)[^，。！？\s]{0,12}|[^，。！？\s]{0,8}(?:你好|您好)|大家好|各位好|こんにちは|お世話になって(?:おり|い)ます|おはようございます|拝啓"
    r"|안녕하세요|안녕하십니까|(?:مرحب[اًا]+|السلام عليكم|أهل[اًا]+|عزيز[ية]+)(?: \w+){0,3}|(?:שלום|היי)(?: \w+){0,3}"
    r"|(?:नमस्ते|नमस्कार|प्रिय)(?: \S+){0,3}|สวัสดี(?:ครับ|ค่ะ|คะ)?)"
    r"\s*[,，、،!！.。:：;—–-]*\s*$",
    re.IGNORECASE,
)
_POSTSCRIPT = re.compile(r"\s*p\.?\s?s\.?\b", re.IGNORECASE)
_LONGEST_SIGNATURE = 8
_LONGEST_SIGNED = 60


def is_greeting(text: str) -> bool:
    """The words only greet somebody."""
    return len(text) <= 80 and bool(_SALUTATION.match(text))


def _mail(found: Sequence[Line], text: str) -> list[Line]:
    """Marks mail that is quoted, its headers, and signatures."""
    marked = list(found)
    n = 0
    while n < len(found):
        count, reason = _passage(found, n, text)
        for k in range(n, n + count):
            marked[k] = replace(found[k], skipped=found[k].skipped or reason)
        n += max(1, count)
    return marked


def _passage(found: Sequence[Line], n: int, text: str) -> tuple[int, str]:
    """How many lines from the n-th on are mail that asks for nothing, and which kind; 0 when it is not."""
    line = found[n]
    if line.quote:
        return 1, QUOTED_MAIL
    if _ORIGINAL.match(line.text):
        return len(found) - n, QUOTED_MAIL
    if len(line.text) < 300 and _WROTE.match(line.text) and (n + 1 == len(found) or found[n + 1].quote or n):
        return 1, QUOTED_MAIL
    if count := _headers(found, n):
        return count, QUOTED_MAIL
    if line.text.strip() in ("--", "—") and not line.item:
        count = len(found) - n
        return (count, SIGNATURE) if count <= _LONGEST_SIGNATURE and _signs(found[n + 1 :]) else (0, "")
    if _DEVICE.match(line.text):
        return 1, SIGNATURE
    if not line.item and len(line.text) <= 80 and _CLOSING.match(line.text):
        return _signed(found, n, text), SIGNATURE
    return 0, ""


def _headers(found: Sequence[Line], n: int) -> int:
    """The lines of a mail's head (From, Sent, To, Subject), or 0."""
    count = 0
    while n + count < len(found) and _HEADER.match(found[n + count].text):
        count += 1
    block = found[n : n + count]
    return count if count >= 3 and any(_SUBJECT.match(line.text) for line in block) else 0


def _signs(rest: Sequence[Line]) -> bool:
    return all(not line.item and len(line.text) <= _LONGEST_SIGNED for line in rest)


def _signed(found: Sequence[Line], n: int, text: str) -> int:
    """The closing line and who signs: short lines up to a blank one, a list or a postscript."""
    count = 1
    while n + count < len(found) and count <= 5:
        line, before = found[n + count], found[n + count - 1]
        blank = bool(re.search(r"\n[ \t]*\r?\n", text[before.end : line.start]))
        ends = ".!?:。！？" if line.words > 3 else "!?:。！？"
        wordy = line.words > 5 or line.text.rstrip()[-1:] in ends or line.text[:1].islower()
        if line.item or line.quote or _POSTSCRIPT.match(line.text) or wordy or (blank and count > 1):
            break
        count += 1
    return count


# --- headings -----------------------------------------------------------------------------------

_FRAMED = re.compile(r"\s*(?:\[[^\[\]]{1,40}\]|【[^【】]{1,20}】|\*\*[^*]{1,40}\*\*:?|__[^_]{1,40}__:?|={2,}[^=]{1,40}={2,})\s*[:：]?\s*$")
_UNDERLINE = re.compile(r"\s*(?:={3,}|-{3,})\s*$")
_MARKS = re.compile(r"[\"“”„«»「」『』`]")
_CONTENT = re.compile(r"\b(?:an?|one|two|three|four|five|six|ein|eine|einen|zwei|drei|une?|una|deux|trois|dos|tres|un|två|dwa|два|три)\b", re.IGNORECASE)


def _headings(found: Sequence[Line]) -> list[Line]:
    return [
        replace(line, skipped=HEADING) if not line.skipped and _heads(line, found[n + 1 :]) else line
        for n, line in enumerate(found)
    ]


def _heads(line: Line, rest: Sequence[Line]) -> bool:
    """The line names what follows. One with an exact string or without anything behind it is a clause."""
    text = line.text.strip()
    if not rest or line.item or len(text) > 60 or _MARKS.search(text):
        return False
    if line.hashed or _FRAMED.match(text) or _UNDERLINE.match(rest[0].text):
        return True
    if not rest[0].item or text[-1:] in ".!?。！？,;，；":
        return False
    if text[-1:] in ":：":
        return len(text.split()) <= 5 and not _CONTENT.search(text)
    return text.isupper() or len(text.split()) <= 2
