"""The order of a tune's parts: `P:` (jukedeck: `Y:`) above the key, `ABA` or `((AB)3C)2`."""

import re

from schemas.reject import BadInput, Reason

MAX_PARTS = 4096


def part_order(text: str) -> str:
    """The parts one by one, a letter each: `(AB)2A3` is `ABABAAA`; dots, spaces and the like are
    passed over, empty where there are no letters.

    Raises BadInput(TOO_LARGE) beyond MAX_PARTS, MALFORMED for brackets that do not close.
    """
    open_groups: list[str] = []
    done = ""  # of the innermost open group
    last = ""  # what a number repeats
    for token in re.findall(r"[A-Za-z()]|\d+", text):
        if token == "(":
            open_groups.append(done)
            done, last = "", ""
        elif token == ")":
            if not open_groups:
                raise BadInput(Reason.MALFORMED, f"order of parts: P:{text[:40]}")
            last = done
            done = open_groups.pop() + last
        elif token.isdigit():
            done = done[: len(done) - len(last)] + last * min(int(token[:5]), MAX_PARTS)
            last = ""
        else:
            last = token
            done += token
        if len(done) > MAX_PARTS:
            raise BadInput(Reason.TOO_LARGE, f"more than {MAX_PARTS} parts")
    if open_groups:
        raise BadInput(Reason.MALFORMED, f"order of parts: P:{text[:40]}")
    return done


def sections_in_order(labels: list[str], order: str) -> list[int]:
    """Indices of the sections in the order in which they sound; labels: the part that each is, ""
    for what stands before the first part and is played first.

    Where sections share a label, the first mention of it plays the first, and the last mention
    all that are left. Without an order, or where it names no part of the tune, they sound as
    written.
    """
    of_label: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        of_label.setdefault(label, []).append(index)
    order = "".join(letter for letter in order if letter in of_label)
    if not order:
        return list(range(len(labels)))
    played = of_label.get("", [])[:]
    mentions: dict[str, int] = {}
    for letter in order:
        sections = of_label[letter]
        mention = mentions.get(letter, 0)
        mentions[letter] = mention + 1
        if mentions[letter] == order.count(letter):
            played += sections[mention:] or sections[-1:]
        else:
            played.append(sections[min(mention, len(sections) - 1)])
    return played
