"""What happens to texts: words inject_word_errors at a given rate, another recording's text, or none."""

SUBSTITUTED, DELETED = 0.6, 0.2  # of the errors; the others are insertions


def inject_word_errors(text, rate, vocabulary, generator):
    """A share of the words is substituted, deleted, or followed by one that nobody said.

    Args:
        text: words separated by white space. rate: errors over words, 0..1; what is over whole errors is drawn.
        vocabulary: words to draw from, at least two.

    Returns:
        A text whose word error rate against `text` is `rate` on average, less where an error undoes another.
    """
    words = text.split()
    wanted = rate * len(words)
    count = int(wanted) + (generator.random() < wanted - int(wanted))
    wrong = set(generator.choice(len(words), count, replace=False).tolist()) if count else set()
    heard = []
    for place, word in enumerate(words):
        if place not in wrong:
            heard.append(word)
            continue
        kind = generator.random()
        if kind < SUBSTITUTED:
            heard.append(_another(word, vocabulary, generator))
        elif kind >= SUBSTITUTED + DELETED:
            heard += [word, _another(word, vocabulary, generator)]
    return " ".join(heard)


def shuffle_texts(texts, labels, generator):
    """Each recording gets the text of another one, of another emotion where there is one."""
    order = generator.permutation(len(texts))
    given = []
    for place, label in enumerate(labels):
        others = [other for other in order if labels[other] != label] or [other for other in order if other != place]
        given.append(texts[others[place % len(others)]] if others else texts[place])
    return given


def _another(word, vocabulary, generator):
    others = [other for other in vocabulary if other != word]
    return others[generator.integers(len(others))]
