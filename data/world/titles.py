"""Readable names: video titles in which the topic shows, clickbait that looks like clickbait, channel names.

Turns integer draws into text; knows nothing of tastes or quality.
"""

from collections.abc import Sequence

import numpy as np

from data.world.topics import TOPICS

PLAIN = (
    "{word}: A Beginner's Guide",
    "How {word} Really Works",
    "{word} in {number} Minutes",
    "Understanding {word} and {other}",
    "{topic} Basics: {word}",
    "{number} {topic} Lessons from {word}",
    "A Quiet Hour of {topic}: {word}",
    "{word} or {other}? {topic} Compared",
    "My {topic} Notes on {word}",
    "The Story of {word}",
    "{word} Step by Step",
    "{topic} with Friends: {word} and {other}",
)
CLICKBAIT = (
    "You Won't BELIEVE This {word} Trick!!",
    "{number} {topic} SECRETS They Don't Want You to Know",
    "I Tried {word} for {number} Days (GONE WRONG)",
    "STOP Doing {word} Like This!!!",
    "This {word} Changed {topic} FOREVER 😱",
    "Experts HATE Him: {word} in {number} Seconds",
    "{word} vs {other}: The SHOCKING Truth",
    "Nobody Expected What {word} Did Next...",
)
_CHANNELS = (
    "{word} Corner", "The {word} Room", "Daily {word}", "{word} Lab", "Studio {word}", "{topic} with {name}",
    "{name}'s {topic}", "{name} on {word}", "{word} by {name}", "{name} Loves {word}",
)  # fmt: skip
_NAMES = (
    "Ada", "Akira", "Amara", "Bruno", "Chiara", "Dev", "Elif", "Emil", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi",
    "Lena", "Linh", "Mateo", "Mila", "Noor", "Oskar", "Priya", "Rosa", "Sami", "Tove", "Uma", "Viktor", "Wanda",
    "Xiomara", "Yuki", "Zane",
)  # fmt: skip


def video_title(topic: str, clickbait: bool, draws: Sequence[int]) -> str:
    """A title about `topic`; `draws` are four non-negative integers."""
    words, templates = TOPICS[topic], CLICKBAIT if clickbait else PLAIN
    first = draws[1] % len(words)
    other = words[(first + 1 + draws[2] % (len(words) - 1)) % len(words)]
    template = templates[draws[0] % len(templates)]
    return template.format(topic=topic, word=words[first], other=other, number=3 + draws[3] % 28)


def channel_names(topics: Sequence[str], random: np.random.Generator) -> list[str]:
    """One name per channel, unique; `topics[i]` is what channel i is mostly about."""
    draws = random.integers(0, 1 << 16, size=(len(topics), 3)).tolist()
    names: list[str] = []
    used: dict[str, int] = {}
    for topic, (shape, word, person) in zip(topics, draws, strict=True):
        words = TOPICS[topic]
        fields = {"topic": topic, "word": words[word % len(words)], "name": _NAMES[person % len(_NAMES)]}
        name = _CHANNELS[shape % len(_CHANNELS)].format(**fields)
        used[name] = used.get(name, 0) + 1
        names.append(name if used[name] == 1 else f"{name} {used[name]}")
    return names
