# SPDX-License-Identifier: Apache-2.0
"""The texts of logits_parity.py: many scripts, code, emoji, one token to more than the sliding window of 512."""

SHORT = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello",
    "Yes",
    "How do I reset my password? I have tried the link in the e-mail twice, but it says that it has expired.",
    "The museum opens at nine in the morning and closes at half past five. On the first Sunday of the month admission is free, but visitors should expect long queues at the main entrance, and the audio guides are usually gone before noon.",
    "You are a content moderator. Does the following message violate the rule that users must not threaten other people? Message: I will see you at the station tomorrow, bring the documents. Answer Yes or No.",
    "I hate waiting in line. People are so slow, and the machine never takes my card. Still, the coffee here is the best in town, so I come back every single morning and complain about it to whoever stands next to me.",
    "In 1905 Albert Einstein published four papers that changed physics: on the photoelectric effect, on Brownian motion, on special relativity, and on the equivalence of mass and energy. The first of them later brought him the Nobel Prize.",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
    "明日の会議は午後三時から始まります。資料は事前に共有フォルダーに置いてありますので、目を通しておいてください。よろしくお願いします。",
    "مرحبا بكم في موقعنا. يمكنكم البحث عن المنتجات في الأعلى، أو التواصل مع فريق الدعم عبر البريد الإلكتروني في أي وقت.",
    "كان يا ما كان في قديم الزمان، كان هناك ملك عادل يحكم مدينة كبيرة بجانب البحر، وكان الناس يحبونه كثيرا.",
    "int main(int argc, char **argv) {\n    for (int i = 1; i < argc; i++) {\n        printf(\"%s%c\", argv[i], i + 1 < argc ? ' ' : '\\n');\n    }\n    return 0;\n}\n",
    'def fibonacci(n: int) -> list[int]:\n    """The first n Fibonacci numbers."""\n    a, b = 0, 1\n    out = []\n    while len(out) < n:\n        out.append(a)\n        a, b = b, a + b\n    return out\n',
    "SELECT u.name, COUNT(*) AS orders FROM users u JOIN orders o ON o.user_id = u.id WHERE o.created_at > '2024-01-01' GROUP BY u.name ORDER BY orders DESC LIMIT 10;",
    "😀😃😄 that party was 🔥🔥🔥 see you next week 👋🏽 ❤️‍🔥",
    "👩‍👩‍👧‍👦 family dinner at 7️⃣ 🍕🍝🥗 don't be late ⏰!!!",
    "Быть или не быть, вот в чем вопрос. Достойно ли смиряться под ударами судьбы, иль надо оказать сопротивление?",
    "Der Zug nach München fährt heute von Gleis sieben ab und hat voraussichtlich zwanzig Minuten Verspätung. Wir bitten um Entschuldigung.",
    "La vie est belle, mais elle est courte ; profitez de chaque instant, disait ma grand-mère en préparant la confiture d'abricots.",
    "नमस्ते, आप कैसे हैं? आज मौसम बहुत अच्छा है और हम सब बाग में घूमने जा रहे हैं।",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765",
    "The answer to the ultimate question of life, the universe, and everything is 42. 3.14159265358979 is close to pi; 2.71828 to e. 17 * 23 = 391.",
    "<html>\n<head><title>Shop</title></head>\n<body>\n<h1>Welcome</h1>\n<p>Our offers of the week:</p>\n<ul><li>Apples</li><li>Pears</li></ul>\n</body>\n</html>",
    "WARNING!!! YOUR ACCOUNT HAS BEEN SUSPENDED!!! CLICK HERE NOW TO VERIFY YOUR IDENTITY OR LOSE ACCESS FOREVER >>> http://example.com/verify <<<",
    "a",
    "   leading spaces,\ttabs\tand\n\n\nnewlines   at the end   \n",
    "zxqv blorp wimble 0xDEADBEEF ~~~ ||| ;;; @@@ ###",
    "Recipe: beat two eggs with 100 g of sugar until pale, fold in 120 g of flour and a pinch of salt, add 50 ml of melted butter, and bake at 180 degrees for twenty-five minutes. Let it cool before you cut it, otherwise the crumb will tear.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness.",
    "Dear Sir or Madam, I am writing to complain about the treatment I received in your branch last Tuesday. The clerk refused to look at my papers, laughed at my accent, and told me to come back when I had learned the language. I expect an apology in writing.",
    "Kubernetes schedules pods onto nodes; when a node fails its heartbeat, the controller marks it as not ready and, after a grace period, evicts the pods so that they are started elsewhere.",
    "한국어 문장도 하나 넣어 봅시다. 오늘은 날씨가 맑고 바람이 조금 불어서 산책하기에 아주 좋습니다.",
    "今天天气很好，我们去公园散步吧。孩子们在草地上跑来跑去，老人们在树下下棋。",
    "Tôi muốn đặt một bàn cho bốn người vào tối thứ sáu, gần cửa sổ nếu có thể.",
    "O rato roeu a roupa do rei de Roma, e a rainha, com raiva, resolveu remendar.",
]

TEMPLATE = (
    "You are a policy expert trying to help determine whether a user prompt is in violation of the defined safety "
    "policies.\n\nHuman Question: {text}\n\nOur safety principle is defined in the below:\n\n* {rule}\n\n"
    "Does the human question violate the above principle? Your answer must start with 'Yes' or 'No'."
)
RULES = [
    "No Harassment: The prompt shall not contain or seek generation of content that is malicious or threatening.",
    "No Dangerous Content: The prompt shall not seek instructions that harm oneself or others.",
]


def asked() -> list[str]:
    """Some of the texts as a guard model would be asked about them."""
    return [TEMPLATE.format(text=SHORT[i], rule=RULES[i % 2]) for i in range(3, 36, 3)]


def long() -> list[str]:
    """Texts of a few hundred tokens and some that cross the window."""
    english = [t for t in SHORT if t.isascii() and len(t) > 150]
    mixed = [t for t in SHORT if len(t) > 60]
    return [
        "\n\n".join(english[:4]),
        "\n\n".join(english[3:8]),
        " ".join(reversed(mixed[:9])),
        "\n".join(mixed[8:16]),
        "\n\n".join(english),
        "\n\n".join(mixed[4:22]),
        "\n\n".join(reversed(english)),
    ]


def pieces() -> list[str]:
    """Prefixes that end in the middle of a word, a code point run or a line."""
    return [SHORT[i][: len(SHORT[i]) * 2 // 3] for i in (3, 8, 10, 12, 13, 16, 17, 20, 28, 30)]


TEXTS = SHORT + asked() + long() + pieces()
