"""Reviews of a tiny grammar: positive if more of its statements praise than blame."""

THINGS = ("plot", "music", "cast", "ending", "dialogue", "camera")
PRAISE = ("great", "moving", "clever", "funny", "warm")
BLAME = ("dull", "clumsy", "empty", "noisy", "bad")
WORDS = ("[PAD]", "[CLS]", "the", "was", "not", "and", "really", *THINGS, *PRAISE, *BLAME)


def write_review(random):
    """Return a text of 1 or 3 statements and its class: 1 if it is positive."""
    statements, total = [], 0
    for _ in range(random.choice((1, 3))):
        is_praise, is_negated = random.random(2) < (0.5, 0.3)
        words = ["the", random.choice(THINGS), "was"]
        words += ["not"] * bool(is_negated) + ["really"] * bool(random.random() < 0.3)
        statements.append(" ".join([*words, random.choice(PRAISE if is_praise else BLAME)]))
        total += 1 if is_praise != is_negated else -1
    return " and ".join(statements), int(total > 0)


def tokenise(text):
    """Return the numbers of the words, after that of [CLS]."""
    return [WORDS.index(word) for word in ("[CLS]", *text.split())]
