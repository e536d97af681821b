"""YAML as recipes use it: plain values only, no duplicate keys, no anchors, and ``1e-3`` is a number."""

import re
from typing import Any

import yaml

from sciml_zoo.errors import InputError

# YAML 1.1 as PyYAML implements it takes 1e-3 for text: it wants a dot and a sign.
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9]+)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)|[-+]?[0-9]+\.[0-9]*|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_NUMBERS = list("-+0123456789.")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, anchors and aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases (& and *) are not used in recipes", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text: put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is twice here", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what :class:`_Loader` would take for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _without_float(resolvers: dict[str, Any]) -> dict[str, Any]:
    return {
        first: [(tag, rule) for tag, rule in rules if not tag.endswith(":float")] for first, rules in resolvers.items()
    }


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = _without_float(_class.yaml_implicit_resolvers)
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _NUMBERS)


def parse(text: str, source: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Reads YAML.

    Args:
        text: one document.
        source: the file's name, for messages.

    Returns:
        The value, and the line of each key path in it.

    Raises:
        InputError: not valid YAML, or more than recipes use.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines: dict[tuple[str, ...], int] = {}
            _collect_lines(node, (), lines)
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line}: not a valid recipe: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{source}: not a valid recipe: {error}") from error


def _collect_lines(node: yaml.Node, keys: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*keys, str(key.value))
            lines[path] = key.start_mark.line + 1
            _collect_lines(value, path, lines)


def dump(value: Any) -> str:
    """Writes YAML that :func:`parse` reads back equal.

    Args:
        value: plain values.

    Returns:
        The document.
    """
    options: dict[str, Any] = {"Dumper": _Dumper, "sort_keys": False, "default_flow_style": None, "width": 100}
    text = yaml.dump(value, allow_unicode=True, **options)
    try:
        if parse(text, "")[0] == value:
            return text
    except InputError:
        pass
    return yaml.dump(value, allow_unicode=False, **options)  # PyYAML leaves some control characters unescaped
