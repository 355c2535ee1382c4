"""Lines that ask for nothing to be drawn: headings, quoted mail, greetings, signatures, and mark-up.

The words are those of the languages in which most mail is written. A line that is not known for what it
is stays a clause. Patterns look at short lines only, so that none can backtrack for long.
"""

import re
from collections.abc import Sequence

from director.prompts.lines import Line

HEADING, QUOTED_MAIL, SIGNATURE, GREETING = "heading", "quoted mail", "signature", "greeting"
MARKUP, NUMBER = "mark-up", "list number"


def reasons(text: str, lines: Sequence[Line]) -> list[str]:
    """For each line why it asks for nothing, or an empty string; when that left no line, it says nothing of any."""
    found = _mail(text, lines)
    for n, line in enumerate(lines):
        found[n] = found[n] or (MARKUP if _FENCE.match(line.text) else HEADING if _heads(lines, n) else "")
    if all(found[n] for n, line in enumerate(lines) if any(c.isalnum() for c in line.text)):
        return [""] * len(lines)
    return found


_FENCE = re.compile(r"\s*(?:```|~~~)\s*\w*\s*$")


# --- mail ---------------------------------------------------------------------------------------


def _mail(text: str, lines: Sequence[Line]) -> list[str]:
    found: list[str] = []
    while (n := len(found)) < len(lines):
        count, reason = _passage(text, lines, n)
        found += [reason] * max(1, count)
    return found


def _passage(text: str, lines: Sequence[Line], n: int) -> tuple[int, str]:
    """How many lines from the n-th on are no part of the message itself, and what they are."""
    line = lines[n]
    if line.quote:
        return 1, QUOTED_MAIL
    if len(line.text) > _LONGEST:
        return 0, ""
    if _ORIGINAL.match(line.text):
        return len(lines) - n, QUOTED_MAIL
    if _WROTE.match(line.text) and (
        re.search(r"[\d@]", line.text) or any(below.quote for below in lines[n + 1 : n + 2])
    ):
        return 1, QUOTED_MAIL
    if count := _headers(lines[n : n + _LONGEST_HEAD]):
        return count, QUOTED_MAIL
    if line.text.strip() in ("--", "—"):
        rest = lines[n + 1 :]
        signed = len(rest) < _LONGEST_SIGNATURE and all(map(_signs, rest))
        return (1 + len(rest), SIGNATURE) if signed else (0, "")
    if _DEVICE.match(line.text):
        return 1, SIGNATURE
    if _CLOSING.match(line.text) and _closes(text, lines, n):
        return _signed(text, lines[n : n + 6]), SIGNATURE
    return 0, ""


_LONGEST = 240
_LONGEST_SIGNATURE = 8
_LONGEST_HEAD = 12
_LONGEST_SIGNED = 60


def _headers(lines: Sequence[Line]) -> int:
    """The lines of a mail's head (From, Sent, To, Subject) at the start of `lines`, or 0."""
    count = 0
    while count < len(lines) and _HEADER.match(lines[count].text):
        count += 1
    return count if count >= 3 and any(_SUBJECT.match(line.text) for line in lines[:count]) else 0


def _closes(text: str, lines: Sequence[Line], n: int) -> bool:
    """A single word such as "Love" is a closing only with a comma behind it or a blank line in front."""
    said = lines[n].text.strip()
    return not lines[n].item and (
        said.casefold() in _ONLY_CLOSINGS or " " in said or not said[-1].isalnum() or not n or _blank(text, lines, n)
    )


_ONLY_CLOSINGS = frozenset(["thx", "cheers", "regards", "mfg", "lg", "vg", "mvh", "pozdrawiam", "cordialement"])


def _signed(text: str, lines: Sequence[Line]) -> int:
    """The closing line and who signs: short lines up to a blank one, a list or a postscript."""
    count = 1
    while count < len(lines) and _signs(lines[count]) and not (count > 1 and _blank(text, lines, count)):
        count += 1
    return count


def _signs(line: Line) -> bool:
    words = line.text.split()
    ends = "!?:。！？" if len(words) <= 3 else ".!?:。！？"
    return not (
        line.item
        or line.quote
        or _POSTSCRIPT.match(line.text)
        or len(words) > 5
        or len(line.text) > _LONGEST_SIGNED
        or _CONTENT.search(line.text)
        or words[-1][-1] in ends
        or words[0][0].islower()
    )


def _blank(text: str, lines: Sequence[Line], n: int) -> bool:
    """A blank line stands in front of the n-th."""
    return text.count("\n", lines[n - 1].end, lines[n].start) > 1


def _any(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


_WROTE = re.compile(
    _any(
        r"\s*(?:on|am|le|el|il|em|op|den|dnia|w dniu|dne|στις)\b.{4,120}\b"
        + _any(
            *("wrote", "schrieb.{0,60}", "a écrit", "escribió", "ha scritto", "escreveu", "schreef.{0,60}"),
            *("skrev.{0,60}", r"napisał(?:\(a\)|a)?.{0,60}", "napsal.{0,60}", "έγραψε.{0,60}"),
        ),
        r".{4,160}"
        + _any(
            *(
                "wrote",
                "schrieb",
                "пишет",
                r"написал(?:\(а\)|а)?",
                "писав",
                "写道",
                "寫道",
                "さんは書きました",
                "님이 작성",
            ),
            *("كتب", "כתב", "yazdı", "đã viết"),
        ),
    )
    + r"\s*[:：]\s*$",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"\s*(?:-{2,}\s*"
    + _any(
        *("original message", "forwarded message", "ursprüngliche nachricht", "weitergeleitete nachricht"),
        *("message d.origine", "message transféré", "mensaje original", "mensaje reenviado", "messaggio originale"),
        *("mensagem original", "oprindelig meddelelse", "ursprungligt meddelande", "oryginalna wiadomość"),
        *("исходное сообщение", "пересланное сообщение", "原始邮件", "转发邮件", "元のメッセージ", "원본 메시지"),
    )
    + r"\s*-{2,}|begin forwarded message:)\s*$",
    re.IGNORECASE,
)
_SUBJECTS = _any("subject", "betreff", "objet", "asunto", "oggetto", "assunto", "ämne", "emne", "temat", "тема", "主题")
_SUBJECT = re.compile(rf"\s*\*?{_SUBJECTS}\*?[:：]", re.IGNORECASE)
_HEADER = re.compile(
    r"\s*\*?"
    + _any(
        _SUBJECTS,
        *("from", "sent", "to", "cc", "bcc", "reply-to", "date", "von", "gesendet", "an", "datum", "de", "envoyé", "à"),
        *("enviado", "para", "fecha", "data", "da", "inviato", "a", "från", "skickat", "till", "fra", "til", "sendt"),
        *("od", "do", "wysłano", "от", "кому", "дата", "发件人", "收件人", "日期", "差出人", "宛先"),
    )
    + r"\*?[:：]",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"\s*"
    + _any(
        *("sent from (?:my|outlook|mail)", "get outlook for", "von meinem .{0,40}gesendet", "gesendet von"),
        *("envoyé (?:de|depuis) mon", "enviado desde mi", "enviado do meu", "inviato da", "verzonden vanaf"),
        *("skickat från", "sendt fra", "wysłan[eo] z", "отправлено с", "发自我的", "iphoneから送信", "나의 iphone에서"),
    )
    + r".{0,60}$",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\s*"
    + _any(
        r"(?:all the |with )?(?:best|kind|kindest|warm|warmest)(?: regards| wishes)?|regards|cheers|sincerely|love",
        r"yours(?: truly| sincerely| faithfully)?|(?:many )?thanks(?: again| a lot| so much| in advance)?|thx",
        r"thank you(?: so much| very much)?",
        r"(?:mit )?(?:freundlichen|besten|herzlichen|lieben|vielen) grü(?:ß|ss)en|mfg|lg|vg|gruß|danke(?: schön)?",
        r"(?:viele|liebe|beste|herzliche|schöne) grü(?:ß|ss)e|(?:vielen|besten) dank",
        r"(?:bien )?(?:cordialement|amicalement)|bien à vous|merci(?: beaucoup| d.avance)?|salutations|bises",
        r"(?:un )?(?:cordial )?saludos?|saludos cordiales|atentamente|(?:muchas )?gracias|un abrazo|abrazos",
        r"(?:cordiali|distinti) saluti|saluti|grazie(?: mille)?|abraços?|cumprimentos|atenciosamente|obrigad[oa]",
        r"(?:met )?vriendelijke groeten?|groeten|groetjes|bedankt",
        r"mvh|(?:med )?vänliga hälsningar|hälsningar|tack(?: på förhand)?|(?:med )?ven(?:n)?lig hilsen|hilsen|takk?",
        r"(?:ystävällisin )?terveisin|kiitos|pozdrawiam(?: serdecznie)?|z poważaniem|dziękuję|dzięki",
        r"s pozdravem|děkuji|üdvözlettel|köszönöm|saygılarım(?:ız)?la|teşekkürler|sevgiler",
        r"с уважением|с наилучшими пожеланиями|спасибо(?: большое)?|всего доброго|з повагою|дякую",
        r"με εκτίμηση|φιλικά|ευχαριστώ|trân trọng|(?:xin )?cảm ơn|ขอแสดงความนับถือ|ขอบคุณ(?:ครับ|ค่ะ)?",
        r"此致|敬礼|祝好|谢谢[您你]?|多谢|謝謝|以上|敬具|よろしく(?:お願い(?:いた|致)?します)?",
        r"(?:どうも)?ありがとうございま(?:す|した)",
        r"감사합니다|고맙습니다|مع (?:أطيب )?(?:تحياتي|التحيات|التحية)|شكر[اًا]*|תודה(?: רבה)?|בברכה|सादर|धन्यवाद",
    )
    + r"\s*(?:[,，،!！.。、]\s*(?:[^\W\d_][\w.'’ -]{0,40})?)?$",
    re.IGNORECASE,
)
_POSTSCRIPT = re.compile(r"\s*p\.?\s?s\.?\b", re.IGNORECASE)


# --- greetings ----------------------------------------------------------------------------------


def is_greeting(text: str) -> bool:
    """The words only greet somebody."""
    return len(text) <= 80 and bool(_SALUTATION.match(text))


_SALUTATION = re.compile(
    r"\s*"
    + _any(
        _any(
            r"hi|hello|hey|dear|hiya|greetings|good (?:morning|afternoon|evening|day)",
            r"hallo|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[r]?|moin|servus|grüezi",
            r"bonjour|bonsoir|salut|cher|chère|chers|hola|buenos días|buenas(?: tardes)?|estimad[oa]s?|querid[oa]s?",
            r"ciao|buongiorno|salve|gentile|car[oa]|olá|oi|bom dia|boa tarde|prezad[oa]s?|beste|goede(?:morgen|ndag)",
            r"hej|hejsan|hei|moi|terve|cześć|dzień dobry|witam|szanown[iy](?: państwo)?|ahoj|dobrý den|szia|kedves",
            r"здравствуйте|привет|добрый день|уважаем(?:ый|ая|ые)|вітаю|добрий день",
            r"γεια(?: σας| σου)?|καλημέρα|αγαπητ[έή]|merhaba|selam|sayın|xin chào|chào",
        )
        + r"\b(?: [\w.'’&-]+){0,4}",
        r"(?:尊敬的|亲爱的)[^，。！？\s]{0,12}|[^，。！？\s]{0,8}(?:你好|您好)|大家好|各位好",
        r"こんにちは|お世話になって(?:おり|い)ます|おはようございます|拝啓|안녕하세요|안녕하십니까",
        r"(?:مرحب[اًا]+|السلام عليكم|أهل[اًا]+|عزيز[ية]+|שלום|היי|नमस्ते|नमस्कार|प्रिय)(?: \S+){0,3}",
        r"สวัสดี(?:ครับ|ค่ะ|คะ)?",
    )
    + r"\s*[,，、،:：;!！.。—–-]*\s*$",
    re.IGNORECASE,
)


# --- headings -----------------------------------------------------------------------------------


def _heads(lines: Sequence[Line], n: int) -> bool:
    """The n-th line names what follows. With an exact string, or with nothing behind it, it is a clause."""
    text = lines[n].text.strip()
    if n + 1 == len(lines) or lines[n].item or len(text) > _LONGEST_SIGNED or _QUOTES.search(text):
        return False
    below = lines[n + 1]
    titled = len(text.split()) <= 6 and not _CONTENT.search(text) and not re.search(r"[,，、;；]", text)
    if _FRAMED.match(text) or (titled and (lines[n].hashed or _UNDERLINE.match(below.text))):
        return True
    return _names_columns(text, below.text) or (below.item and _names_list(text, titled))


def _names_columns(text: str, below: str) -> bool:
    """A table's rule follows."""
    return "|" in text and "--" in below and not below.strip(" \t:|-")


def _names_list(text: str, titled: bool) -> bool:
    if text[-1:] in ":：":
        return titled
    return text[-1:] not in ".!?。！？,;，；" and (text.isupper() or len(text.split()) <= 2)


_QUOTES = re.compile(r"[\"“”„«»「」『』`]")
_FRAMED = re.compile(
    r"(?:\[[^\[\]]{1,40}\]|【[^【】]{1,20}】|\*\*[^*]{1,40}\*\*:?|__[^_]{1,40}__:?|={2,}[^=]{1,40}={2,})\s*[:：]?$"
)
_UNDERLINE = re.compile(r"\s*(?:={3,}|-{3,})\s*$")
_CONTENT = re.compile(
    r"\b(?:an?|one|two|three|four|five|six|eine?n?|zwei|drei|une?|una|deux|trois|dos|tres|ett?|två|dwa|два|три)\b",
    re.IGNORECASE,
)
