"""Makes sentences.json: 1,000 sentences and pairs with the length at which each is cut.

    python sentences.py QNLI-FOLDER > sentences.json

Most are sentences of Wikipedia and questions about them, from the dev and test sets of QNLI (made from SQuAD 1.1,
licence CC BY-SA 4.0), rather those with letters beyond ASCII. The others are our own, and some of both with awkward
characters strewn in.
"""

import json
import pathlib
import random
import sys

OWN = """
Alle Menschen sind frei und gleich an Würde und Rechten geboren; das Mädchen aß Äpfel, Öl und süße Grüße.
Tous les êtres humains naissent libres et égaux en dignité et en droits. L'œuvre d'un cœur naïf, ça va ?
Où est-il allé ? Là-bas, près de la forêt, où Noël fut fêté à l'âge de sept ans…
Todos los seres humanos nacen libres e iguales. ¿Dónde está el niño? ¡Mañana, señor!
Todos os seres humanos nascem livres. A avó pôs o pão e o coração à mesa; não há razão.
Tutti gli esseri umani nascono liberi. Perché è così? Città, università, virtù.
Alle mensen worden vrij en gelijk geboren. Een coöperatie van reünisten in IJmuiden; ĳs.
Alla människor är födda fria. Får får får? Nej, får får inte får, får får lamm. Åäö.
Alle mennesker er født frie. Blåbærsyltetøy på brødskiva, ærlig talt.
Kaikki ihmiset syntyvät vapaina. Hääyöaie, äänekoski, öljyä.
Hver maður er borinn frjáls. Þórður sagði það við Ægi í gær: ðÐþÞ.
Wszyscy ludzie rodzą się wolni. Zażółć gęślą jaźń, źdźbło trawy i łódź.
Všichni lidé se rodí svobodní. Příliš žluťoučký kůň úpěl ďábelské ódy.
Všetci ľudia sa rodia slobodní. Kŕdeľ šťastných ďatľov učí pri ústí Váhu.
Minden emberi lény szabadon születik. Árvíztűrő tükörfúrógép, őrült űrhajós.
Toate ființele umane se nasc libere. Știința și țările; ştiinţa şi ţările. Gheață, câine, învățător.
Sva ljudska bića rađaju se slobodna. Gojazni đačić s biciklom drži hmelj i finu vatu u džepu nošnje; ǆ ǅ Ǆ.
Bütün insanlar hür doğarlar. Pijamalı hasta yağız şoföre çabucak güvendi; İIıi ĞÜŞİÖÇ.
Visi žmonės gimsta laisvi. Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.
Visi cilvēki piedzimst brīvi. Glāžšķūņa rūķīši dzērumā čiepj Baha koncertflīģeļu vākus.
Kõik inimesed sünnivad vabadena. Põdur Zagrebi tšellomängija-följetonist Ciqo külmetas kehvas garaažis.
Tất cả mọi người sinh ra đều được tự do và bình đẳng. Nghiễng, ưỡn, quạ, ổ, ợ, ẵm.
Ọmọ ènìyàn ni a bí ní òmìnira. Ẹ kú àárọ̀, ọ̀rẹ́ mi; ṣé dáadáa ni?
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι. Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΟΣ ΣΟΦΙΑΣ.
Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν· ᾠδή, ῥήτωρ, ᾳ ῃ ῳ.
Все люди рождаются свободными. Съешь же ещё этих мягких французских булок, да выпей чаю; подъезд, ёж.
Всі люди народжуються вільними. Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо.
Сви људи рађају се слободни. Љубазни фењерџија чађавог лица хоће да ми покаже штос; Ђ ђ Ћ ћ Џ џ.
Барлық адамдар тумысынан азат. Әуежай, қала, ңқ, өмір, ұлт, үй, һәм, ің.
Бүх хүн төрж мэндлэхдээ эрх чөлөөтэй. Өглөөний мэнд хүргэе!
ყველა ადამიანი იბადება თავისუფალი. ტბა, ჭიქა, ყვავილი; ᲗᲑᲘᲚᲘᲡᲘ.
Բոլոր մարդիկ ծնվում են ազատ։ Երևան և և ﬔ.
כל בני האדם נולדו בני חורין. דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם!
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. صِف خَلقَ خَودِ كَمِثلِ الشَمسِ؛ لا إله، ﷲ، ـــ.
تمام افراد بشر آزاد به دنیا می‌آیند. می‌خواهم بروم؛ کتاب‌هایم، گچ پژ.
تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔ ٹوٹا ہوا ڈبہ۔
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है। क्षत्रिय, ज्ञान, हिंदी, क़लम।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা নিয়ে জন্মগ্রহণ করে। বাংলা, ক্ষমা, র‍্যাব।
ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਜ਼ਾਦ ਹੈ। ਪੰਜਾਬੀ ਵਿੱਚ ਲਿਖੋ।
மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர். ஶ்ரீ, கௌ, கொ.
ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులు. క్షేమం.
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ. ಕೃಷ್ಣ, ಜ್ಞಾನ.
മനുഷ്യരെല്ലാവരും സ്വതന്ത്രരായി ജനിച്ചിട്ടുള്ളവരാണ്. അവൻ, നിന്റെ, ക്ക.
සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා සිටිති. ශ්‍රී ලංකා.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน น้ำ กำ ปั๊ม ๑๒๓
ມະນຸດທຸກຄົນເກີດມາມີສິດເສລີພາບ. ນ້ຳ, ໜຶ່ງ, ຫຼາຍ.
လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် မွေးဖွားလာသူများ ဖြစ်သည်။
មនុស្សទាំងអស់កើតមកមានសេរីភាព និងភាពស្មើៗគ្នា។
འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས།
የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。
人人生而自由，在尊嚴和權利上一律平等；𠮷野家、𡃁仔、㗎、嘅、喺度。
すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。ﾊﾝｶｸｶﾅ、㍿、㌔、ｶﾞ。
いろはにほへと ちりぬるを わかよたれそ つねならむ。ヴァイオリン、ヷ、〆切、人々、〜。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 뷁, 쀍, ㅋㅋㅋ, ㄱㄴㄷ.
한글 자모: 한글. The same decomposed and composed: 각 각.
ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꭰꭱ ᐃᓄᒃᑎᑐᑦ ᓄᓇᕗᑦ ⵜⵉⴼⵉⵏⴰⵖ ꓡꓲꓢꓴ
𐎠𐎡𐎢 𒀭𒀀 𓀀𓂀 𝕳𝖊𝖑𝖑𝖔 𝒲𝑜𝓇𝓁𝒹 𝟘𝟙𝟚 🄰🅱 ⓗⓔⓛⓛⓞ ⅓ ⅷ ㎏ ℃ № ™ ℡ ﬃ
I ❤️ this 😂😂😂 so much!!! 🎉🎊 thx @friend #blessed
👍🏻👍🏼👍🏽👍🏾👍🏿 and 👩🏽‍🚀 with 🧑🏿‍🤝‍🧑🏻, 🏳️‍🌈 🏴‍☠️ 🏴󠁧󠁢󠁳󠁣󠁴󠁿
👨‍👩‍👧‍👦 family, 👩‍❤️‍💋‍👨 couple, 🐻‍❄️ bear, ❤️‍🔥 heart on fire, 🇩🇪🇫🇷🇯🇵 flags, 1️⃣#️⃣*️⃣
☺ ☺️ ☺︎ ✈ ✈️ ™️ ©️ ®️ 〰️ ㊗️ 🈚 🆗 ⌚️ ⏰ ⭐ ⚡
🫠🫡🫶🏽 🪿 🫨 🩷 🛜 (newer than many vocabularies) 🫩 🪾
Sooooo happy 😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘😗☺😚😙 :-) ;-) :'( <3 \\o/ ¯\\_(ツ)_/¯ (╯°□°)╯︵ ┻━┻
“Curly” ‘quotes’, „low“ ‚ones‘, «guillemets» ‹single›, 「日本」『二重』 — em – en ‒ figure ― bar ‐ hyphen ‑ nonbreaking − minus
``TeX quotes'' and ''others``, ` grave ´ acute ¨ diaeresis ¸ cedilla ʼ ʻ ʹ ′ ″ ‴
x² + y³ = z⁴, a₁₂, ∫₀^∞ e^{−x²} dx = √π⁄2, ∀x ∈ ℝ: ∃y ≤ x ∧ y ≠ ±∞; ∑ ∏ ∂ ∇ ⊂ ⊆ ⇒ ⇔
½ cup + ¼ tsp, 50 % of 3,000.50 € = £1,500 ≈ ¥200,000; §3 ¶4 †‡ • ‣ ※ ‰ № 5
£9m, 3,7 and 1,5, 10,000,000 — in 1989, 2001, 12,5 %, 1,
1,2,3,4,5, 1990s, the year 2,000, (1,) 7, and 42,
http://www.example.com/path?q=ä&x=%20y#frag or mailto:jane.doe+tag@example.co.uk, C:\\Users\\Me\\file.txt, /usr/lib/*.so
def f(x):    return x**2  # comment; if (a && b || !c) { x->y[0] += 1; } /* end */ <a href="u">&nbsp;&lt;b&gt;</a>
SELECT * FROM "table" WHERE a<>'b''c' -- done
[CLS] in the text [SEP] and [MASK] with [PAD], [UNK]; <s> and </s>, <mask> <pad> <unk>, <sep> <cls> <eop> <eod>
text<mask>glued [MASK]to words,  <mask>  with blanks  [MASK] , <s>NOTUSED and </s>NOTUSED <unk>NOTUSED
▁underline ▁ of ▁▁ SentencePiece, Ġ and Ċ of bytes, ##pieces of ##Word
Don't, won't, I'm, you're, we'll, they've, he'd, it's, ’tis, O’Neil’s, DON'T, I'M, rock'n'roll
A.B.C. U.S.A. e.g. i.e. etc... Mr. Smith vs. Dr. No?! ?!?! ... …… ----- _____ ===== ~~~~ ^^^^
CamelCaseWord snake_case_word kebab-case-word SHOUTING mIxEd 3D 4x4 1st 2nd mp3 H2O CO₂ C++ C# F♯ B♭
deadlock ﬁnding ﬂoor oﬃce ﬀ ﬄ ﬅ ĳssel Ǆ ŉ ß ẞ ſ ﬆ
Ｆｕｌｌｗｉｄｔｈ ＡＢＣ　１２３　！？ and ｈａｌｆ ﾃｽﾄ 　ideographic　blanks　
nonbreaking blank, narrow nonbreaking, thin blank, figure blank, em blank, ogham mark, mongolian᠎vowel
zero​width​space, zero‌width‌non‌joiner, zero‍width‍joiner, word⁠joiner, ﻿byte order mark﻿
soft­hyphen­ated, left‎to‎right and right‏to‏left marks, ‪embedding‬ ‮override‬ ⁦isolate⁩
Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞
A combining tail: e + ́ = é, o + ̈ + ̄ = ȫ, q̣̇ and q̣̇, Å Å Å, ñ ñ, ở
Not characters: � and private  and unassigned ͸ and noncharacter ﷐ and tag 󠀁
Object ￼ replacement, interlinear ￹a￺b￻, line separator, paragraph separator.
Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft is one word.
Lopado­temacho­selacho­galeo­kranio­leipsano­drim­hypo­trimmato­silphio­karabo­melito­katakechy­meno­kichl­epi­kossypho­phatto­perister­alektryon­opte­kephallio­kigklo­peleio­lagoio­siraio­baphe­tragano­pterygon
methionylthreonylthreonylglutaminylalanylprolylthreonylphenylalanylthreonylglutaminylprolylleucylglutaminylserylvalylvalylvalylleucylglutamylglycyl
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
hahahahahahahahaha LOOOOOOOOL nooooooo whyyyyyy 😭😭😭😭😭😭😭😭😭😭 !!!!!!!!!!!!!!!!!!!!!!!!!!!!
The quick brown fox jumps over the lazy dog; THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.
Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.
She said: "I'd rather 'not' go there – it's 5 o'clock (17:00 CET)!" and left…
""".strip().split("\n")

# What no line of text can hold.
AWKWARD = [
    "",
    " ",
    "   \t  ",
    "\n",
    "\r\n\r\n",
    "\u00a0\u2003\u3000",
    "\u200b",
    "\ufeff",
    "\u00ad",
    "\u200d\u200d",
    "\u0301",
    "\ufe0f",
    "\x00",
    "\x00\x01\x02\x1f\x7f\x80\x9f",
    "a\x00b\x01c\x07d\x1be\x7ff\x85g\x9fh",
    "tab\tline\nreturn\rboth\r\nform\x0cvertical\x0bnext\x85end",
    "  two  blanks   three    four  ",
    " leading",
    "trailing ",
    "\tleading tab and trailing newline\n",
    "\n\nparagraph one\n\nparagraph two\n   indented\n\ttabbed\n",
    "line\u2028separator paragraph\u2029separator",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "é" * 120,
    "字" * 200,
    "😀" * 60,
    "." * 300,
    "-" * 77 + " " + "=" * 88,
    "a " * 300,
    "antidisestablishmentarianism" * 12,
    "\U0010ffff\U000f0000\U000e0041",
    "\ud7ff\ue000\uf8ff\ufdd0\ufffe\uffff",
    "\u1e9b\u0323 \u1e69 \u2126 \u212b \u0344 \u0958 \ufb1d",
    "\u0130\u0131\u0049\u0307 \u03a3\u03c2\u03c3 \u1fb3\u1f80 \u0149",
]
STREWN = ["😀", "👩🏽‍🚀", "🇨🇭", "❤️", "\u200b", "\u00ad", "\u200d", "\u0301", "\u0308", "\x08", "\x12", "\x00", "\t", "\n", "\r\n"]
STREWN += ["\u00a0", "\u3000", "\ufeff", "字", "العربية", "ü", "é", "…", "—", "ﬁ", "½", "\u202e", "\ufffd", "  ", "[MASK]", "<s>"]
LENGTHS = [128, 128, 128, 64, 40, 33, 32, 25, 17, 16, 13, 9]

random.seed(7)
rows = []
for name in ["dev.tsv", "test.tsv"]:
    lines = (pathlib.Path(sys.argv[1]) / name).read_text(encoding="utf-8").split("\n")[1:]
    rows += [line.split("\t")[1:3] for line in lines if line]
rows = [row for row in rows if len(row[1]) <= 260]
beyond = [row for row in rows if not (row[0] + row[1]).isascii() and set(row[0] + row[1]) - set("–—’“”") - set(map(chr, range(128)))]
plain = [row for row in rows if row not in beyond]
beyond = random.sample(beyond, min(360, len(beyond)))
plain = random.sample(plain, 800)


def strew(text):
    letters = list(text)
    for _ in range(random.randint(1, 4)):
        letters.insert(random.randint(0, len(letters)), random.choice(STREWN))
    return "".join(letters)


# A pair of RoBERTa has four special tokens.
cases = [[max(case["max_length"], 6), *case["text"]] for case in json.load(open(pathlib.Path(__file__).with_name("tokens.json")))]
cases += [[128, text] for text in OWN + AWKWARD]
cases += [[random.choice(LENGTHS), *random.sample(OWN, 2)] for _ in range(60)]
cases += [[random.choice(LENGTHS), random.choice(AWKWARD), random.choice(OWN + AWKWARD)] for _ in range(20)]
cases += [[128, row[1]] if random.random() < 0.6 else [random.choice(LENGTHS), *row] for row in beyond]
cases += [[random.choice(LENGTHS), strew(row[1])] for row in plain[:100]]
cases += [[random.choice(LENGTHS), strew(row[0]), strew(row[1])] for row in plain[100:140]]
for row in plain[140:]:
    if len(cases) == 1000:
        break
    cases.append(random.choice([[128, row[0]], [random.choice(LENGTHS), row[1]], [random.choice(LENGTHS), *row]]))
assert len(cases) == 1000, len(cases)
source = "see sentences.py; in part from QNLI, made from SQuAD 1.1, CC BY-SA 4.0"
lines = ",\n".join(json.dumps(case, ensure_ascii=False).replace("\x7f", "\\u007f") for case in cases)
print(f'{{"source": "{source}",\n"cases": [\n{lines}\n]}}')
