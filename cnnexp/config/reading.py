"""Read YAML with its positions, after its event stream has been found harmless.

A file is looked at as a stream of events before anything is built from it, so that neither an alias bomb nor a list of
2,000 lists can hurt, and every mistake of syntax is one line with its place and its cure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path as FilePath

import yaml

from cnnexp.errors import ConfigError, Problem, reason

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_ALIASES = 100

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shown(file: FilePath) -> str:
    """A file's name as messages show it: relative to the working directory where it lies below it."""
    absolute = FilePath(file).resolve()
    working = FilePath.cwd().resolve()
    return str(absolute.relative_to(working)) if absolute.is_relative_to(working) else str(absolute)


@lru_cache(maxsize=256)
def _read(file: FilePath, stamp: tuple[int, int]) -> yaml.Node | None:
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _refusal(file, line, 1, "the file is not UTF-8 text", "save it as UTF-8") from None
    return parse(text, file)


def read(file: FilePath) -> yaml.Node | None:
    """The node tree of a YAML file, with the position of every key; None for an empty file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is more than a config can need.
    """
    try:
        state = file.stat()
        if state.st_size > MAX_BYTES:
            raise _refusal(file, 1, 1, f"the file is larger than {MAX_BYTES >> 20} MiB", None)
        return _read(file, (state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise ConfigError(
            [Problem("unreadable-file", (), f"cannot be read: {error.strerror}", where=shown(file))]
        ) from None


def parse(text: str, file: FilePath) -> yaml.Node | None:
    """The node tree of a YAML text; `file` is named in messages. Raises as `read` does."""
    try:
        _check_events(text, file)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(text, file, error) from None
    if node is not None:
        _check_keys(node, file, set())
    return node


@dataclass
class _Open:
    """A list or mapping whose end has not come yet, with the number of nodes in it, aliases spelt out."""

    anchor: str | None
    nodes: int = 1


@dataclass
class _Census:
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    aliases: int = 0
    total: int = 0
    inside_itself: bool = False

    def add(self, nodes: int) -> None:
        if self.stack:
            self.stack[-1].nodes += nodes
        else:
            self.total += nodes

    def size(self) -> int:
        return self.total + sum(open_.nodes for open_ in self.stack)


def _check_events(text: str, file: FilePath) -> None:
    census = _Census()
    documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refusal(file, line, column, "a second document begins here", "write one document for each file")
        if tag := getattr(event, "tag", None):
            raise _refusal(file, line, column, f"the tag '{tag}' is not allowed: a config is plain data", None)
        _count(event, census)
        if census.inside_itself:
            alias = f"*{getattr(event, 'anchor', '')}"
            raise _refusal(file, line, column, f"the alias '{alias}' stands inside what it stands for", None)
        if len(census.stack) > MAX_DEPTH:
            raise _refusal(file, line, column, f"nested deeper than {MAX_DEPTH} levels", None)
        if census.aliases > MAX_ALIASES or census.size() > MAX_NODES:
            what = (
                f"more than {MAX_ALIASES} aliases" if census.aliases > MAX_ALIASES else f"more than {MAX_NODES} values"
            )
            raise _refusal(file, line, column, f"the file holds {what}", None)


def _count(event: yaml.Event, census: _Census) -> None:
    if isinstance(event, yaml.AliasEvent):
        census.aliases += 1
        census.inside_itself = any(open_.anchor == event.anchor for open_ in census.stack)
        census.add(census.anchors.get(str(event.anchor), 1))
    elif isinstance(event, yaml.CollectionStartEvent):
        census.stack.append(_Open(event.anchor))
    elif isinstance(event, yaml.CollectionEndEvent):
        closed = census.stack.pop()
        census.add(closed.nodes)
        if closed.anchor:
            census.anchors[closed.anchor] = closed.nodes
    elif isinstance(event, yaml.ScalarEvent):
        census.add(1)


def _check_keys(node: yaml.Node, file: FilePath, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        _check_reference(node, file)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, file, seen)
    if isinstance(node, yaml.MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal(file, line, column, "a key must be a single text, not a list or a mapping", None)
            if key.tag.endswith(":null"):
                raise _refusal(file, line, column, "a key must be a single text, not null", None)
            if key.tag.endswith(":merge") and not all(isinstance(m, yaml.MappingNode) for m in merged(value)):
                text = f"'<<' merges a mapping or a list of mappings into this one, not '{value.value}'"
                raise _refusal(file, line, column, text, None)
            if key.value in keys:
                text = f"the key '{key.value}' stands here a second time; the first is in line {keys[key.value]}"
                raise _refusal(file, line, column, text, "keep one of them")
            keys[key.value] = line
            _check_keys(value, file, seen)


def merged(value: yaml.Node) -> list[yaml.Node]:
    """The nodes that a `<<` merges: the one that stands there, or those of the list."""
    return list(value.value) if isinstance(value, yaml.SequenceNode) else [value]


def _check_reference(node: yaml.ScalarNode, file: FilePath) -> None:
    start = node.value.rfind("${")
    if start >= 0 and "}" not in node.value[start:]:
        mark, reference = node.start_mark, node.value[start:].split("\n")[0]
        text = f"the reference '{reference}' cannot be read"
        raise _refusal(file, mark.line + 1, mark.column + 1, text, "references are written ${model.stride}")


def _unquoted(text: str) -> tuple[int, int, str] | None:
    """Line, column and text of the first unquoted `${…}` or `???` inside `{…}` or `[…]`, where YAML reads signs."""
    depth, quote, before = 0, "", ""
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and before in ("", "[", "{", ",", ":", "-", "\n"):
            quote = char
        elif depth and (found := re.match(r"\$\{[^}\n\"']*\}|\?\?\?", text[position : position + 200])):
            line = text.count("\n", 0, position)
            return line + 1, position - text.rfind("\n", 0, position), found[0]
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth = max(0, depth - 1)
        before = before if char == " " else char
    return None


def _syntax_error(text: str, file: FilePath, error: yaml.YAMLError) -> ConfigError:
    if found := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        message = f"not valid YAML: the control character #x{ord(found[0]):04x} is not allowed"
        return _refusal(file, line, column, message, None)
    if reference := _unquoted(text):
        message = f"{reference[2]} must be quoted inside {{…}} and […]"
        return _refusal(file, reference[0], reference[1], message, f'write "{reference[2]}"')
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem, context = (getattr(error, name, None) or "" for name in ("problem", "context"))
    if mark is None:
        return _refusal(file, 1, 1, f"not valid YAML: {reason(error)}", None)
    if "end of stream" in problem and "quoted scalar" in context:
        opened = getattr(error, "context_mark", mark)
        message = "not valid YAML: the quote that opens here is never closed"
        return _refusal(file, opened.line + 1, opened.column + 1, message, None)
    lines = text.splitlines()
    line_text = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line_text[: len(line_text) - len(line_text.lstrip())]:
        return _refusal(file, mark.line + 1, 1, "the line is indented with a tab", "indent with spaces")
    message = f"not valid YAML: {problem or 'it cannot be read'}" + (f" {context}" if context else "")
    return _refusal(file, mark.line + 1, mark.column + 1, message, _syntax_cure(problem))


def _syntax_cure(problem: str) -> str | None:
    if "expected ',' or" in problem:
        return "close the bracket, or put the comma that is missing"
    if "cannot start any token" in problem:
        return "put the value in quotes"
    if "expected key" in problem or "mapping values" in problem:
        return "check the indentation and the colon of this line and the one before"
    return None


def _refusal(file: FilePath, line: int, column: int, message: str, hint: str | None) -> ConfigError:
    return ConfigError([Problem("bad-yaml", (), message, hint, f"{shown(file)}:{line}:{column}")])
