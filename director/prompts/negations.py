"""The words by which briefs rule something out, and those that only sound like it: patterns for `absence`."""

import re


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


def _compiled(*patterns: str) -> re.Pattern[str]:
    return re.compile(_any(*patterns), re.IGNORECASE)


BREAK = re.compile(r"(?<!\d)[,:;](?=\s)|[，、；：،؛]|\s[–—]\s|\(|(?<!nothing)\s(?=(?:but|sondern|sino)\s)")
ITEM = _compiled(
    r"[,;，、；،/]\s*(?:and |or |nor |und |et |y |e |og |och |i |и )?",
    r"\s(?:or|nor|oder|noch|ou|ni|ani|eller|lub|или|або)\s",
    r"(?:或者|或|和|または|や)",
)
ANNOUNCED = _compiled(r"^\s*(?:\S+\s+)?\S+\s*[:：]$", r"\b(?:this|these|following|that)\s*:$")
ASIDE = re.compile(r"\s*(?:but\s+)?(?:not|nicht|niet|inte|ikke)\s", re.IGNORECASE)
EXCEPT = _compiled(
    r"\b(?:other\s+than|except|besides|apart\s+from|nothing\s+but|außer|sauf|hormis|excepto|salvo|eccetto|tranne|exceto"
    r"|behalve|utom|undtagen|unntatt|oprócz|кроме|крім)\b|除了|以外|이외|제외하고|sadece",
)
REMINDS = _compiled(
    r"\b(?:forget|hesitate|skimp|overlook|be\s+(?:shy|afraid)|vergiss|vergesst|vergessen|vergeet|glöm|glem|zöger\w*|aarzel"
    r"|oubli\w+|hésit\w+|olvid\w+|dud(?:a|es?|en)|dimentic\w+|esit\w+|esqueç\w+|hesit\w+|zapom\w+|forgl\w+|unohda"
    r"|забуд\w+|забыва\w+|стесня\w+|ξεχ\w+|quên|unut\w*)\b|忘|犹豫|잊|빼(?:놓|먹)지|لا\s+تنس|אל\s+תשכח|भूल|อย่าลืม",
    r"\b(?:darf|dürfen)\s+(?:\w+\s+)?nicht\s+fehlen|mag\s+niet\s+ontbreken"
    r"|(?:no|não|non)\s+(?:pued|deb|pod|dev|può|poss)\w*\s+(?:faltar|mancare)|nie\s+mo\w+\s+zabraknąć",
    r"不能(?:少|缺|没有)|不可(?:或缺|缺少|少)|少不了|离不开|欠かせない",
)
"""What must not be forgotten is to be there."""

IDIOMS = _compiled(
    # English
    r"\b(?:no|not|nothing|none)\s+(?:only|just|merely|least|better|beats|compares|finer|short\s+of|other\s+than)\b",
    r"\bnothing\s+(?:like|wrong|to\s+(?:lose|hide|fear))\b",
    r"\b(?:no\s?-?one|nobody)(?:['’]s\b|\s+(?:does|do|can|will|could|would|knows|like|but)\b(?!\s+be\b))|\bwhy\s+not\b",
    r"\bno\s+(?:wonder|doubt|question|problem|hurry|rush|worries|stranger|matter|time\s+(?:to|like))\b",
    r"\b(?:we|i)\s+have\s+no\b|\bthere\s+(?:is|['’]s)\s+no\s+(?:need|deadline|budget|preference|limit|way)\b",
    # German, Dutch, Scandinavian
    r"\bkeine?[nrms]?\s+(?:\w+en\s+)?(?:frage|sorgen?|angst|wunder|zweifel|problem|zeit|eile|lust|ahnung|geld|budget"
    r"|grenzen|vorgaben|stress|hektik|rolle|geringere[rsn]?|andere[rsnm]?)\b",
    r"\bnicht\s+(?:nur|bloß|zuletzt)\b|\bnichts?\s+(?:als|geht\s+über|besser\w+|schöner\w+|wie)\b|\b(?:warum|wieso)\s+nicht\b",
    r"\b(?:wir|ich)\s+(?:haben?|hätten?|brauchen?)\s+(?:\w+\s+)?keine?[nrms]?\b|\b(?:wij|we|ik)\s+heb(?:ben)?\s+geen\b",
    r"\bohne\s+(?:frage|zweifel|ende|weiteres|gleichen|eile|umschweife)\b|\bzonder\s+(?:twijfel|meer|einde|weerga)\b",
    r"\bgeen\s+(?:twijfel|probleem|zorgen|haast|tijd|geld|budget|idee|wonder|ander\w*)\b|\bniet\s+(?:alleen|enkel|slechts)\b",
    r"\bniets\s+(?:dan|boven|gaat|mooiers?|beters?|leukers?)\b|\bwaarom\s+niet\b",
    r"\bing(?:en|et|a)\s+(?:tvekan|tvivel|tvivl|problem\w*|annan|annen|brådska)\b|\b(?:inte|ikke)\s+(?:bara|bare|kun|minst)\b",
    # Romance
    r"\b(?:aucun|nul|pas\s+de|sans(?:\s+aucun)?)\s+(?:doute|problème|souci|soucis|question)\b|\bpas\s+(?:à\s+pas|qu\w*|seulement)\b",
    r"\bn['’](?:y\s+)?a\s+(?:pas\s+)?qu(?:e\b|['’])|\bn['’]a(?:i|vons)\s+(?:pas|aucun)|\brien\s+(?:de\s+(?:tel|mieux|plus|moins)|que|ne\s+vaut)\b",
    r"\bsans\s+(?:pareil\w*|égal\w*|cesse|fin|hésiter|conteste|faute|rival\w*|relâche)\b|\bpourquoi\s+pas\b",
    r"\b(?:no|não|non)\s+(?:sol[oa]|sólo|só|apenas|somente|soltanto|solamente)\b|\bnientemeno\b|\b(?:por\s+qu[eé]|perch[eé])\s+n[oã]o?n?\b",
    r"\b(?:no|não)\s+h(?:ay|á)\s+(?:duda|dúvida|problema|prisa|pressa|tempo|como|mejor|melhor|otr[oa]|outr[oa])",
    r"\bnon\s+(?:c['’]è|ci\s+sono)\s+(?:dubbi\w*|problem\w*|che\b|di\s+che|fretta|tempo|paragon\w+|megli\w)",
    r"\b(?:nada|niente|nulla)\s+(?:di\s+(?:megli|più|meno)\w*|como|come|mejor|melhor|más\s+que|mais\s+(?:do\s+)?que|menos)",
    r"\bs(?:in|em|enza)\s+(?:dud\w+|dúvida\w*|dubbio|fin\w?|fim|igual\w*|par|par[ei]|uguali|eguali|parar|sosta|problem\w*"
    r"|prisa|pressa|fretta|cesar|rival\w*|mais|más)\b",
    r"\b(?:no|não)\s+t(?:en(?:emos|go)|emos|enho)\b|\bnon\s+(?:abbiamo|ho)\b|\bno\s+(?:menos|más|todo|todos|importa|obstante|es)\b",
    r"\bnu\s+(?:doar|numai|există\s+(?:îndoială|nimic\s+mai))|\bfără\s+(?:îndoială|egal|sfârșit)\b",
    # Slavic
    r"\bnie\s+tylko\b|\bnie\s+ma\s+(?:to\b|jak\b|wątpliw|problem|sprawy|pośpiech|nic\s+\w+sz|lepsz|co\b|czasu)\w*"
    r"|\bbez\s+(?:wątpienia|końca|problemu|pośpiechu|pochyb)\b|\bnie\s+ma(?:my|m)\b|\b(?:dlaczego|czemu|proč)\s+(?:by\s+)?ne?i?e?\b",
    r"\bnení\s+(?:pochyb|problém|nad\b|lepší)\w*|\bnejen\b",
    r"\bне\s+(?:только|просто|тільки|лише)\b|\b(?:нет|немає|нема)\s+(?:нічого\s+кращ|ничего\s+(?:лучше|\w+ее\b)|сомнени|сумнів|проблем"
    r"|лучше|кращ|слов|смысл|времени|часу|разниц|предел|равных)\w*",
    r"\bбез\s+(?:сомнени|сумнів|конца|края|кінця|проблем|вопрос|спешк)\w*|\bу\s+(?:нас|меня|мене)\s+(?:нет|немає)\b"
    r"|\b(?:почему|чому)\s+(?:бы\s+|б\s+)?(?:и\s+)?не",
    # Greek, Hungarian, Turkish, Vietnamese, Indonesian
    r"\bδεν\s+υπάρχει\s+(?:αμφιβολία|καλύτερ|πρόβλημα|τίποτα\s+καλύτερ)\w*|\bόχι\s+μόνο\b|\bγιατί\s+όχι\b",
    r"\bnincs\s+(?:kétség|gond|jobb|szebb|baj)\w*|\bnem\s+csak\b|\bkétség\s+nélkül\b",
    r"\b(?:şüphe|kuşku|sorun|problem|sıkıntı|vakit|zaman|gerek|acelem?i?z?|gibisi|üstüne|eşi|benzeri|diyecek|yok)\s+(?:de\s+)?"
    r"(?:yok(?:tur)?|olmayan)\b",
    r"không\s+(?:chỉ|những|có\s+gì\s+(?:hơn|bằng))|\btidak\s+(?:hanya|ada\s+(?:dua|masalah|yang\s+lebih))\w*",
    # Arabic, Hebrew, Hindi, Thai
    r"لا\s+(?:شك|بد|مثيل|بأس|سيما|مشكلة|ريب|غنى|مانع|نهاية)|(?:بلا|بدون|دون)\s+(?:\S+\s+)?(?:شك|ريب|نهاية|مشكلة|تردد|حدود)|ليس\s+(?:فقط|مجرد)",
    r"אין\s+(?:ספק|כמו|בעיה|צורך|גבול|מה)|לא\s+רק|(?:בלי|ללא)\s+ספק",
    r"ही\s+नहीं|(?:सिर्फ़|सिर्फ़|सिर्फ|केवल)\s.*नहीं|(?:कम|ज़्यादा|शक|संदेह|समस्या|बात|दिक्कत|चिंता)\s+(?:\S+\s+)?नहीं|क्यों\s+न|बिना\s+(?:कम|ज़्यादा|शक|संदेह|रुके)",
    r"ไม่มี(?:ปัญหา|ข้อสงสัย|อะไรดี|ใครเทียบ|ที่สิ้นสุด)|ไม่(?:เพียง|ใช่แค่)",
    # Chinese, Japanese, Korean
    r"毫无|独一无二|不(?:但|仅|只|光|单)|为什么不|何不|有没有|无(?:论|疑)|不见(?:不散|得|外)|不含糊|我们?(?:没有|沒有)|看不(?:到|见)(?:尽头|边)"
    r"|[没沒]有?(?:比|什么比|问题|問題|疑问|关系|意见|偏好|时间|预算|限制|要求|见过|想到|用过)|别(?:具|致|有(?:风|洞|一番|韵|用))",
    r"(?:間違い|違い|文句|申し分|問題|限り|迷い|無駄|例|癖|比類|隙|嫌味|果て|終わり|切れ目|変わり|仕方|時間|予算|しか|こと|他に|ほかに)(?:は|が|も|の|に)?"
    r"(?:ない|無い|なく|ありません)|ではない|じゃない|でもない|にほかならない|限りなく|文句なし",
    r"끝없|데\s없|나위\s?없|틀림없|변함없|더없|끊임없|아낌없|어김없|빠짐없|거침없|수없|한없|문제\s?없|상관\s?없|다름없|쓸모없|두말할|의심할|시간이\s없|예산이\s없"
    r"|지\s?않(?:을까|나요|은)",
)
"""What only sounds like a negation: no doubt, not only, nothing like."""

NOTHING = _compiled(
    r"(?:no |many )?thanks?(?: you)?|please|it|that|this|them|those|any|danke|bitte|merci|gracias|grazie|谢谢"
)
ARTICLE = re.compile(r"(?:the|an?|any|some|that|this|these|those)\s+", re.IGNORECASE)
RESUMES = _compiled(
    r"\s*(?:but|just|only|instead|rather|think|use|keep|sondern|nur|stattdessen|mais|juste|seulement|sino|sólo|solo|ma"
    r"|mas|só|maar|alleen|men|bara|kun|tylko|но|только|а)\b(?!\s+(?:no|not|without)\b)",
    r"\s*(?:只|但|而是|仅)",
)

_NO = (
    r"no(?=\s+[^\W\d])(?!\s+(?:more|less|fewer|later|sooner|earlier|longer|matter|doubt|idea|problem|need|worries|wonder"
    r"|rush|hurry|deadline|budget|time|preferences?)\b)"
)
_NOT = r"(?:\s+not|n['’]?t|not|\s+never)"
_VERBS = r"(?:use|show|draw|put|add|include|depict|write|print|display|feature|want|have|contain)"
LEAD_EN = _compiled(
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
_GOES = r"\b(?:goes(?:\s+away)?|(?:must|should|has\s+to|have\s+to|needs?\s+to|is\s+to|can)\s+go(?:\s+away)?)\s?[.!;]*$"
"""What is said of a thing that is there: "the lamp goes". More white space is a string: the line goes "One apple"."""
TAIL_EN = _compiled(_GOES)

LEAD = _compiled(
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
        r"(?:不要|不需要?|不用|无需|無需|别(?!的|人|处|样)|勿|避免|禁止|没有|沒有|不含|不带)(?!太|过|超|墅|致)|无(?:人|文字|水印|任何)",
    )
)

ANYWHERE = _compiled(
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

_INSTEAD = (
    r"(?:(?:instead|in\s+place)\s+of|rather\s+than(?=\s+(?:an?|the)\b)|au\s+lieu\s+d(?:e\b|u\b|es\b|['’])"
    r"|en\s+(?:lugar|vez)\s+de|em\s+vez\s+d\w+|invece\s+d\w+|in\s+plaats\s+van|zamiast|вместо|замість"
    r"|i\s+stället\s+för|i\s+stedet\s+for|(?:an)?statt|anstelle)(?!\s*\w+ing\b)(?!\s+zu\b)"
)
FACTS = _compiled(
    rf"^\s*{_INSTEAD}(?:\s*\S+){{1,3}}\W*$|而不是\S|(?:の代わり|ではなく)[、にて]*$",
    # English
    r"\bthere\s+(?:is|are)(?:n['’]?t|\s+not)\b(?!\s+(?:enough|much|always))|^\s*not\s+(?:an?\s+single|one(?:\s+single)?)\s+\w",
    r"^\s*(?:and\s+|where\s+)?(?:there\s+(?:is|are)\s+)?(?:nobody|no\s?-?one)"
    r"(?:\s+(?:else|here|there|around|at\s+all|is|are|on|in|at|stands?|sits?|walks?|appears?|to\s+be\s+seen|in\s+sight)\b|\W*$)",
    r"\b(?:can(?:not|['’]?t|\s+not)|do(?:n['’]?t|\s+not))\s+see\b|\bnowhere\s+(?:to\s+be\s+seen|in\s+sight)\b",
    r"^\s*does(?:n['’]?t|\s+not)\s+(?:wear|have|carry|hold)\b",
    # German, Dutch, Scandinavian, Finnish
    r"\bkein(?:e[nrms]?)?\b|\bniemand\w*|\bnirgend(?:s|wo)\b|\b(?:ist|steht|liegt)\s+nichts\s*[.!]*$|\bkomm(?:t|en)\s+nicht\s+vor\b|\bnicht\s+(?:vorhanden|da)\b",
    r"\bgeen\b|\bnergens\b|\bing(?:en|et|a)\b|\bei\s+(?:ole|näy)\b|\bketään\b",
    # Romance
    r"\b(?:ne|n['’])\s*(?:y\s+a|\w+)\s+(?:pas|plus|point)\s+(?:de\b|d['’]|une?\b)",
    r"\bn['’]y\s+a\s+(?:personne|rien|aucun\w*|nul\w*)\b|^\s*(?:personne|rien)\s+n(?:e\b|['’])|^\s*nul(?:le)?\s+\w+",
    r"\b(?:ne|n['’])\s*\w+\s+(?:aucune?|nul(?:le)?)\b|^\s*aucune?\b",
    r"\bno\s+(?:se\s+(?:ve|ven|aprecia\w*|muestra\w*)|muestra\w*|hay|exist\w+|aparec\w+|tien\w+|llev\w+|contien\w+|figur\w+)\b",
    r"\b(?:nadie|ninguém|nessuno|nimeni)\b|^\s*(?:ni\s+un[oa]?\s+sol[oa]|tampoco\s+(?:hay|se\s+ve))\b",
    r"\bnão\s+(?:se\s+v(?:ê|ee|eem)|há|mostr\w+|exist\w+|aparec\w+|tem|têm|vemos|cont[eé]m)\b",
    r"\bnon\s+(?:si\s+ved\w+|c['’]è|c['’]era|ci\s+sono|vi\s+(?:è|sono)|compa\w+|appa\w+|esist\w+|ha|hanno|cont\w+)(?!\w)",
    r"\bcarecen?\s+de\b|\bpriv[oaie]\s+di\b|\bdesprovid[oa]s?\s+de\b|\bdépourvue?s?\s+d(?:e\b|['’])",
    r"\bnu\s+(?:sunt|este|există|se\s+v\w+|are|apar\w*)\b|\bnu-i\b",
    # Slavic, Greek, Hungarian, Turkish
    r"\bnie\s+(?:ma|widać)\b|\bnikogo\b|\bnikt\b|^\s*brak\s+\w|\bżadn(?:ych|ego|ej|a|e|y|i)\b",
    r"\b(?:nejsou|není|nemá|nikdo|žádn\w+)\b",
    r"\b(?:нет|немає|нема)\b|\bне\s+(?:видно|видн\w+|имеет\w*|має)\b|\b(?:никого|никто|нікого|ніхто)\b|\bотсутству\w+|\bвідсутн\w+"
    r"|\bни\s+(?:одно(?:го|й)|облачка|души|души́)|\bжодн\w+",
    r"\bδεν\s+(?:υπάρχ\w+|έχ\w+|φαίν\w+)|\bκανείς\s+δεν\b|\bnincs(?:en|enek)?\b|\bsenki\b|\bnem\s+láts\w+",
    r"\byok(?:tur)?\s*[.!]*$|\b(?:görünm(?:üyor|esin|ez)|bulunm(?:uyor|asın|az))\w*\s*[.!]*$|\S\s+olmadan\b|\w[sşn][ıiuü]\s+olmayan\b",
    # Vietnamese, Indonesian, Arabic, Hebrew, Thai
    r"\b(?:không|chẳng)\s+có\b|\btidak\s+(?:ada|terlihat|tampak)\b",
    r"(?<!\w)لا\s+(?:يوجد|توجد|يظهر|تظهر|أحد|نرى|أثر)|(?<!\w)ليست?\s+(?:هناك|ثمة|في|على|فيه|به|أمام|بجانب)"
    r"|(?<!\w)خال\S{0,3}\s+(?:\S+\s+)?من(?!\w)|(?<!\w)[تي]خلو\s+من",
    r"(?<!\w)אין(?!\w)|(?<!\w)אף\s+(?:אחד|אדם)|ไม่มี|ไม่เห็น|ไม่ปรากฏ",
    # Chinese, Japanese, Korean
    r"没(?:有|放|画|写|出现|人)|沒有|空无一[人物]|[里上中下内]无(?![限比数])|(?:看|见|見)不(?:到|见|見)|不见|[并亦均全皆也]无"
    r"|无(?:标志|字|阴影|边框|车|行人|人物|动物|云|植物|家具|背景|装饰)",
    r"不(?:会|应|得|准|许|再)?(?:出现|显示|含|放(?![大心松过弃下])|画(?!蛇)|加(?![大深强重粗亮思修掩])|添加|写(?![实意])|包含|使用|露出|展示|带|设置|存在|摆)",
    r"(?:は|が|も|に|つ|人)(?:(?:い|見え|見当たら|写(?:ってい|ら)|映ってい|存在し|出てこ|入ってい|現れ)?(?:ない|ません)|ありません|おりません|無い)(?:です)?(?:こと)?\s*[。！!.、,]*$",
    r"(?:の|が|も|つ|人)(?:い|見え|写ってい|写ら)?ない(?:(?=[一-龠ァ-ヶ])|$)|(?:なし|無し)(?:の(?:(?=\S)|$)|[、,])|一切.*ない|不可\s*[。！]*$|\bNG\s*[。！]*$",
    r"없(?:다|습니다|어요|음|는|고|네)|(?:보이|나오|있|그리|넣|쓰)지\s?않(?!을까|나요|은)",
)
"""Anywhere in a segment: something is said not to be there ("there is nobody", "keine Menschen sind zu sehen")."""

CLOSED = _compiled(
    r"^\s*(?:der|die|das|dem|den|deren|qui|que|che|któr\w+|котор\w+|which|who|that)\s.*,$",
    rf"^\s*{_INSTEAD}",
    r"[\u3040-\u30ff\uac00-\ud7af\u0900-\u097f]|(?:没有|沒有|无)\S{1,8}的$",
    r"\b(?:нет|немає|нема|никого|nobody|nadie|nessuno|ninguém|niemand|personne|nikogo|yok|yoktur|olmasın|zu\s+sehen|te\s+zien"
    r"|visible|видно|widać|olmadan|olmayan)\W*$",
)
"""The words that rule out stand behind what they rule out: what follows is no part of their list."""

UNTIL = _compiled(
    r"(?:の|が|も|つ|人)(?:い|見え|写ってい|写ら)?ない(?=[一-龠ァ-ヶ])|(?:なし|無し)の(?=\S)|없(?:는|이)\s+|\bolmadan\s+|[sşn][ıiuü]\s+olmayan\s+",
    r"(?:没有|沒有|无)(?:任何)?(?:人|行人|人物|游客|车|汽车|车辆|文字|字|云|花纹|图案|影子|阴影|水印|边框|叶子|家具)的(?=\w)",
)
"""Where the words that rule out stand in front of a thing that is to be there: "사람이 없는 거리"."""

OWNS = re.compile(
    r"\s*(?:an?|eine?[nrm]?|une?|un[ao]?|uma?|een|ett)\s+(?!sol[oa]\b|einzig\w+\b|seule?\b|sola?\b|single\b)\w",
    re.IGNORECASE,
)
"""It begins with a thing that is there, of which something may be said not to be: "Ein Hund trägt keinen Hut"."""

OWNED = re.compile(
    r"(?<=\s)(?:kein(?:e[nrms]?)?|geen|ing(?:en|et|a)|nessun[ao]?|nenhuma?|ning[uú]n[ao]?|n['’]a\s+(?:pas|aucun\w*)|ne\s+\w+\s+(?:pas\s+(?:de\b|d['’]|une?\b)|aucun\w*)"
    r"|no\s+(?:tien\w+|llev\w+|hay)|non\s+(?:ha|hanno|porta\w*|c['’]è)|não\s+(?:tem|têm|há)|doesn['’]?t|does\s+not)\b",
    re.IGNORECASE,
)

_AND = r"(?:und|aber|y|pero|e|ma(?=\s+(?:non|nessun))|mas|et|mais|en|maar|och|og|men|i|ale|и|но|а|та|але|ve|ama)"
_NONE = (
    r"(?:kein\w*|niemand|geen|nadie|ning[uú]n\w*|no\s+(?:hay|haya|se\s+ve\w*|exist\w+|aparec\w+|tien\w+)|nessun\w*"
    r"|non\s+(?:c['’]è|ci\s+sono|si\s+ved\w+)|não\s+(?:há|haja|exist\w+|tem)|nenhuma?|ninguém|(?:il\s+)?n['’]y\s+a|aucune?"
    r"|personne\s+n|pas\s+(?:de|d['’])|nie\s+ma|żadn\w+|nikt|нет|никого|никто|немає|nikdo|žádn\w+|yok|ing(?:en|et|a))\b"
)

WITHIN = re.compile(
    r"(?<!bitte\s)(?<!please\s)(?<!favor\s)(?<!favore\s)"
    + _any(
        rf"(?<=\s)(?:with|there\s+is|there\s+are)\s+{_NO}\b",
        _any(*(rf"(?<=\b{verb}\s)" for verb in ("has", "have", "contain", "contains", "show", "shows", "want", "see")))
        + rf"{_NO}\b",
        r"(?<=\s)without\b(?!\s+\w+ing\b)",
        r"(?<=\s)(?:(?:completely|entirely|totally|fully|kept|absolutely)\s+)?"
        r"(?:free|empty|clear|devoid|bare)\s+of\b(?!\s+(?:charge|cost)\b)",
        r"(?<=\s)(?:ohne(?!\s+zu\b)|senza|zonder|utan|uden|uten|ilman|bez|без|χωρίς|nenhuma?|sem|sin(?!\s+(?:city|embargo)))\b",
        r"(?<=\s)(?:بدون|بلا|(?:من\s+)?دون|خال\S{0,3}\s+(?:\S+\s+)?من)\s",
        rf"(?<=\s){_INSTEAD}",
        r"而不是",
        r"(?<=\s)(?:where|donde|où|wo|waar|dove|onde|unde|gdzie|kde|где|де)\s",
        rf"(?<=\s){_AND}\s+(?=(?:[\w'’]+\s+){{0,2}}{_NONE})",
        r"(?<=\s)sans\b(?![\s-]+(?:serif|caps|capitals|letter\w*|type\w*|font|face)\b)(?=\s+\w)",
    ),
    re.IGNORECASE,
)
"""Inside a segment, where what must not be there begins."""

POINTS_BACK = _compiled(
    rf"\b(?:do{_NOT}|never|not)\s+(?:{_VERBS}|keep|repeat)\s+(?:it|that|this|them)\b(?:\s+(?:on|in|up|there|here|again"
    r"|anywhere|please|any\s?more))*\s*[.!]*$",
    r"\b(?:leave|take|keep)\s+(?:it|that|this|them)\s+(?:out|off|away)\s*[.!]*$|\b(?:remove|delete|erase)\s+(?:it|that)\b",
    r"^\s*(?:none|keine[rs]?|aucune?|ningun[oa]|nessun[oa]|nenhuma?|geen|нет|なし|無し|无|없음)\s*[.!。！]*$",
    r"\bnicht\s+(?:mehr\s+)?(?:drauf|darauf|mit\s+drauf|übernehmen)|\bweg\s+damit\b",
    r"\bne\s+l(?:a|e|es|['’])\s*\w+\s+pas\b|\bno\s+l[ao]s?\s+\w+|\bnon\s+(?:l[aioe]|metter\w+)\b|\bnão\s+[oa]s?\s+\w+",
    r"(?:不要|别|请勿)再?(?:写|放|用|加)(?:它|上|了|进|[。！]|$)|не\s+(?:став|пиш|добав|использ)\w+\s+(?:его|её|ее|это|их)",
)

_TEXT = r"(?:text|lettering|words?|writing|letters|wording|copy)"
_TEKST = r"(?:text\w*|texte|texto|testo|tekst\w*|schrift\w*|wort\w*|wörter|текст\w*|надпис\w*)"
ALONE = _compiled(
    rf"\bno\s+(?:other\s+|further\s+)?{_TEXT}\b.{{0,20}}\b(?:other\s+than|except|but|besides|apart\s+from|beyond)\b",
    rf"\b(?:the\s+only|only\s+(?:the|this|one)|no\s+other|just\s+the)\s+{_TEXT}\b|\bnothing\s+(?:else\s+)?(?:is\s+)?(?:else\s+)?written\b",
    rf"\b(?:kein\w*|aucune?|ning[uú]n\w*|nessun\w*|nenhuma?|geen|żadn\w+|brak|никак\w+|нет)\s+(?:\w+\s+)?{_TEKST}\b"
    r".{0,20}\b(?:außer|sauf|hormis|excepto|salvo|tranne|eccetto|exceto|behalve|oprócz|кроме)\b",
    r"(?:除了?|以外|이외|외에).*(?:文字|字|글자|글씨)",
)
"""No lettering but the strings of the clause."""
LETTERING = _compiled(
    r"(?:any |all |the )?(?:text|lettering|words|writing|letters|captions?)(?: at all| anywhere)?"
    r"(?: in (?:the|this) (?:picture|image))?"
    r"|(?:kein(?:e|en)?|ohne|sans|aucun|pas de|sin|ning[uú]n|sem|nenhum|senza|nessun|geen|zonder|bez|brak|без|нет)"
    r" (?:text|schrift|texte|texto|testo|tekstu?|napisów|текста|надписей)"
    r"|文字(?:なし|無し|は?入れない(?:で|こと)?)|글자\s?(?:없음|없이|없다)|(?:不要|没有|无)(?:任何)?文字",
)
"""A wish for no lettering at all, bare of anything else."""

REQUEST = _compiled(
    r"\s*(?:(?:and|also|please|so|then|now)[\s,]+)*(?:(?:could|can|may)\s+(?:you|we|i|there|it|the)"
    r"|(?:would|will)\s+you(?!\s+(?:like|prefer|want|rather)))\b",
    r".{0,40}\b(?:könn|kann|kunn?t?|würde)\w*\s+(?:du|sie|ihr|wir|ich|man|je|jij|u|we|ni|vi|du|i)\b",
    r".{0,20}\b(?:pou[rv]|peu)\w*[\s-](?:vous|tu|on)\b|.{0,20}\b(?:pod|pued|puoi|può|potr|possi|pode)\w*\b",
    r".{0,20}\b(?:mo[żg]\w+|мож\w+|мог\w+)\b",
    r".*(?:能|可以|请|請|ください|もらえ|いただけ|できます|주세요|주실|주시|bilir|misin|ممكن|يمكن)",
)
"""A wish that is put as a question."""

BEFORE = _compiled(
    r"\b(?:old|previous|former|earlier|last\s+(?:year|time|month|week|season)(?:['’]s)?|existing)\b.{0,40}"
    r"\b(?:said|says|read|reads|showed|shows|had|has|was|used)\b",
    r"\b(?:alte[srnm]?|frühere[srnm]?|vorige[srnm]?|letzte[srnm]?\s+jahr|bisherige[srnm]?|oude|vorige)\b.{0,40}"
    r"\b(?:stand|hieß|lautete|sagte|zeigte|hatte|war|zei|had)\b",
    r"\b(?:ancien(?:ne)?|précédente?|antigu[oa]|anterior|vecchi[oa]|precedente|antig[oa])\b.{0,40}"
    r"\b(?:disait|indiquait|portait|montrait|était|decía|ponía|mostraba|era|diceva|mostrava|dizia)\b",
    r"\b(?:стар|прошл|прежн)\w+.{0,40}\b(?:был\w*|написано|говорил\w*)|(?:旧|之前|以前|原来|上次|去年)\S{0,20}(?:写|印|是|说)",
    r"(?:以前|前回|去年|昔)\S{0,30}(?:書い|でした|ました|あった)",
)
