"""Trees of messages, as OpenAssistant publishes them: one message per record, with its parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacos.data.example import RowError
from pacos.data.reading.conversation import UNANSWERED
from pacos.data.reading.fields import refusal, text_of
from pacos.data.reading.schemas import TREE
from pacos.data.reading.turns import ROLES
from pacos.data.source_config import Tree

NEEDED = frozenset({"message_id", "parent_id", "text", "role"})
"""Columns by which a message of a tree is known."""

OTHER_PATHS = "is the best path of its tree; data.tree=all takes the others too"

READ = NEEDED | {"message_tree_id", "rank", "deleted"}


@dataclass(slots=True)
class Message:
    """One message, without the columns that are not read: trees of any source are in memory."""

    number: int
    """Number of its record."""
    id: str
    parent: str | None
    role: str
    text: str
    order: tuple[bool, int, int]
    """Sorts replies to one message: the ranked ones first, from the best rank on."""
    unread: tuple[str, ...]
    replies: list[Message] = field(default_factory=list)

    @property
    def is_answer(self) -> bool:
        return ROLES[self.role.lower()] == "assistant"


@dataclass(slots=True)
class Step:
    """A message on a path, and whether an earlier path has trained on it."""

    message: Message
    trained_before: bool


def is_tree_message(record: Any) -> bool:
    """Return True if a record is a message of a tree, so that its source is read as trees."""
    return isinstance(record, Mapping) and record.keys() >= NEEDED


def conversations(records: Iterator[tuple[int, Any]], tree: Tree) -> Iterator[tuple[int, Any]]:
    """Turn messages into conversations, which `RowReader.read` takes as records.

    All messages are held in memory: replies may lie anywhere after their parents, or before.

    Args:
        records: numbered; a RowError in place of a record is passed on.
        tree: the paths to take.

    Yields:
        The number of the last message of a conversation and its record; or the number of an
        unusable message and a RowError.
    """
    messages: dict[str, Message] = {}
    deleted: list[Message] = []
    for number, record in records:
        try:
            message = _read_message(number, record)
            if message.id in messages:
                first = messages[message.id].number
                fault = f"is also the id of record {first}"
                raise refusal("message_id", message.id, fault, "remove one of them")
        except RowError as error:
            yield number, error
            continue
        messages[message.id] = message
        if record.get("deleted"):
            deleted.append(message)
    roots, strays = _linked(messages)
    for stray in strays:
        fault = "leads to no first message, whose parent_id is null"
        yield stray.number, refusal("parent_id", stray.parent, fault, "complete the tree")
    notes = [*_remove(deleted, roots, messages), *_unanswered(roots)]
    for root in roots:
        for path in _paths(root, tree):
            if path[-1].message.replies:
                notes.append(UNANSWERED)
            if tree is Tree.best and _has_other_answers(root, path):
                notes.append(OTHER_PATHS)
            yield path[-1].message.number, _record(path, notes)
            # Notes about the whole source have gone with its first conversation.
            notes = []


def _read_message(number: int, record: Any) -> Message:
    if isinstance(record, RowError):
        raise record
    if not is_tree_message(record):
        columns = ", ".join(record) if isinstance(record, Mapping) else type(record).__name__
        raise RowError(
            f"columns = {columns}: are not those of a message, as in the first record of the "
            "source; put messages and other rows into files of their own"
        )
    identifier, parent, role = (record[key] for key in ("message_id", "parent_id", "role"))
    if not isinstance(identifier, str | int):
        raise refusal("message_id", identifier, "must be a text", "give each message its id")
    if not isinstance(role, str) or ROLES.get(role.lower()) not in ("user", "assistant"):
        raise refusal("role", role, "is no role in a tree", "use prompter or assistant")
    rank = record.get("rank")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int | float)):
        raise refusal("rank", rank, "must be a number, 0 for the best", "correct it")
    is_deleted = bool(record.get("deleted"))
    return Message(
        number=number,
        id=str(identifier),
        parent=None if parent is None or parent == "" else str(parent),
        role=role,
        text="" if is_deleted else text_of(record["text"], "text"),
        order=(rank is None, 0 if rank is None else int(rank), number),
        unread=tuple(key for key, value in record.items() if value is not None and key not in READ),
    )


def _linked(messages: Mapping[str, Message]) -> tuple[list[Message], list[Message]]:
    """Link every message to its replies; return the first messages, and those without one."""
    roots = []
    for message in messages.values():
        if message.parent is None:
            roots.append(message)
        elif message.parent in messages:
            messages[message.parent].replies.append(message)
    for message in messages.values():
        message.replies.sort(key=lambda reply: reply.order)
    reached = {message.id for root in roots for message in _subtree(root)}
    return roots, [message for message in messages.values() if message.id not in reached]


def _subtree(root: Message) -> Iterator[Message]:
    # A stack, since the threads of some sources are deeper than Python's recursion.
    stack = [root]
    while stack:
        message = stack.pop()
        yield message
        stack.extend(reversed(message.replies))


def _remove(
    deleted: list[Message], roots: list[Message], messages: Mapping[str, Message]
) -> list[str]:
    """Cut deleted messages off with all replies to them; return the note about them."""
    cut: set[str] = set()
    for message in deleted:
        cut |= {reply.id for reply in _subtree(message)}
        if message.parent is None:
            roots.remove(message)
        elif message.parent in messages:
            messages[message.parent].replies.remove(message)
    if not cut:
        return []
    return [f"messages left out because they, or one before them, are deleted: {len(cut):,}"]


def _unanswered(roots: list[Message]) -> list[str]:
    count = sum(not any(message.is_answer for message in _subtree(root)) for root in roots)
    return [f"trees left out because they have no answer: {count:,}"] if count else []


def _paths(root: Message, tree: Tree) -> Iterator[list[Step]]:
    """Yield paths from the first message to an answer after which no other answer comes."""
    answered = _leading_to_answers(root)
    trained: set[str] = set()
    stack: list[list[Message]] = [[root]] if root.id in answered else []
    while stack:
        path = stack.pop()
        replies = [reply for reply in path[-1].replies if reply.id in answered]
        if replies:
            taken = replies[:1] if tree is Tree.best else replies
            stack.extend([*path, reply] for reply in reversed(taken))
            continue
        yield [Step(message, message.id in trained) for message in path]
        trained |= {message.id for message in path}


def _leading_to_answers(root: Message) -> set[str]:
    """Return the ids of all answers, and of all messages with an answer somewhere below them."""
    answered: set[str] = set()
    for message in reversed(list(_subtree(root))):
        if message.is_answer or any(reply.id in answered for reply in message.replies):
            answered.add(message.id)
    return answered


def _has_other_answers(root: Message, path: list[Step]) -> bool:
    answers = sum(message.is_answer for message in _subtree(root))
    return answers > sum(step.message.is_answer for step in path)


def _record(path: list[Step], notes: list[str]) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    for step in path:
        turn: dict[str, Any] = {"role": step.message.role, "content": step.message.text}
        if step.message.is_answer:
            turn["weight"] = 0 if step.trained_before else 1
        turns.append(turn)
    unread = dict.fromkeys(column for step in path for column in step.message.unread)
    return {
        "id": path[-1].message.id,
        TREE: {"turns": turns, "unread": list(unread), "notes": notes},
    }
