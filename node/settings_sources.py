"""Where settings come from (file, environment), and how what is wrong with them is said."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource

from node.errors import SettingsInvalid
from node.settings_types import Allowed

ENVIRONMENT_PREFIX = "MAMMONODE_"
NESTED_DELIMITER = "__"
RESERVED_VARIABLES = frozenset({"MAMMONODE_CONFIG"})
"""Variables with our prefix that are no settings: the path of the settings file."""

Table = dict[str, Any]
SettingsT = TypeVar("SettingsT", bound=BaseSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One settings key: `name` as in ``node.port``; `section` is the class that holds `field`."""

    name: str
    field: FieldInfo
    section: type[BaseModel]
    in_list: bool

    @property
    def variable(self) -> str:
        """The environment variable; the keys of a list of tables share one, which holds JSON."""
        path = self.name.split(".")[:1] if self.in_list else self.name.split(".")
        return ENVIRONMENT_PREFIX + NESTED_DELIMITER.join(path).upper()

    @property
    def is_list(self) -> bool:
        """Whether the environment variable holds a JSON list."""
        return self.in_list or any(get_origin(part) is tuple for part in _parts(self.field.annotation))


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The members of a union but None, or the annotation itself; pydantic has taken `Annotated` off the outside."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(_bare(part) for part in get_args(annotation) if part is not type(None))
    return (_bare(annotation),)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def keys_of(model: type[BaseModel]) -> Iterator[Key]:
    """Every key of a settings model, in the order of its classes."""
    for section_name, section in model.model_fields.items():
        in_list = get_origin(section.annotation) is tuple
        table = cast("type[BaseModel]", get_args(section.annotation)[0] if in_list else section.annotation)
        for name, field in table.model_fields.items():
            yield Key(name=f"{section_name}.{name}", field=field, section=table, in_list=in_list)


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words: its type and its bounds."""
    words = [rule.words for rule in _rules(field) if isinstance(rule, Allowed)]
    if words:
        return words[0]
    kinds = [_kind(part) for part in _parts(field.annotation)]
    bounds = [text for rule in _rules(field) if (text := _bound(rule))]
    return ", ".join([" or ".join(kinds), *bounds])


def _kind(part: Any) -> str:
    if get_origin(part) is tuple:
        return "list"
    if get_origin(part) is Literal:
        return " or ".join(get_args(part))
    return {int: "whole number", float: "number", bool: "true or false", Path: "path", str: "text"}[part]


def _rules(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    if get_origin(field.annotation) in (Union, UnionType):
        for part in get_args(field.annotation):
            for rule in getattr(part, "__metadata__", ()):
                yield from rule.metadata if isinstance(rule, FieldInfo) else (rule,)


def _bound(rule: Any) -> str:
    match rule:
        case annotated_types.Ge(ge=bound):
            return f"at least {bound}"
        case annotated_types.Gt(gt=bound):
            return f"more than {bound}"
        case annotated_types.Le(le=bound):
            return f"at most {bound}"
        case annotated_types.MinLen():
            return "not empty"
        case annotated_types.MaxLen(max_length=bound):
            return f"at most {bound} long"
    return ""


def masked_url(url: str) -> str:
    """`url` with its password, if it has one, as ``***``."""
    without_userinfo = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", without_userinfo)


class _GivenEnvironment(EnvSettingsSource):
    """pydantic-settings' reader of variables, over the mapping it is given instead of `os.environ`."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items() if value}


def load_model(
    model: type[SettingsT], config: Path | None, environ: Mapping[str, str], fallback: Mapping[str, Any]
) -> SettingsT:
    """Merge `fallback`, the file and the environment (the last wins) and validate them together."""
    origin = str(config) if config else "environment"
    from_file = _read_toml(config) if config else {}
    variables, problems = _usable_variables(model, environ)
    from_environment = _GivenEnvironment(model, variables)()
    try:
        settings = model(**_merged(_merged(fallback, from_file), from_environment))
    except ValidationError as error:
        problems += [_problem(model, detail, from_environment) for detail in error.errors()]
    if problems:
        raise SettingsInvalid(tuple(problems), origin=origin)
    return settings


def _read_toml(config: Path) -> Table:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"cannot be read: {error.strerror}; give an existing, readable file to --config"
    except UnicodeDecodeError:
        message = "is not UTF-8 text, which TOML must be; save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        message = f"is not TOML: {error}; text is in quotes, lists in [ ], a section in [name] or [[name]]"
    raise SettingsInvalid((message,), origin=str(config))


def _usable_variables(model: type[BaseModel], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The variables that are settings and can be parsed, and what is wrong with the rest."""
    known = {key.variable: key for key in keys_of(model)}
    usable: dict[str, str] = {}
    problems: list[str] = []
    for name, value in sorted(environ.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in RESERVED_VARIABLES or not value:
            continue
        if name not in known:
            problems.append(f"{name}: unknown variable{_list_of(name, known) or _nearest(name, known)}")
        elif known[name].is_list and not _is_json_list(value):
            problems.append(f"{name}: given {_shown(value)}; allowed: a JSON list, such as {_example(known[name])}")
        else:
            usable[name] = value
    return usable, problems


def _list_of(name: str, known: Mapping[str, Key]) -> str:
    """Advice for a variable such as ``MAMMONODE_SOURCE__0__HOST``, which tries to reach into a list of tables."""
    whole = name.partition(NESTED_DELIMITER)[0]
    if whole in known and known[whole].in_list:
        return f"; {whole} holds the whole list as JSON, such as {_example(known[whole])}"
    return ""


def _is_json_list(value: str) -> bool:
    try:
        return isinstance(json.loads(value), list)
    except json.JSONDecodeError:
        return False


def _example(key: Key) -> str:
    if key.in_list:
        required = [name for name, field in key.section.model_fields.items() if field.is_required()]
        return "'[{" + ", ".join(f'"{name}": ...' for name in required) + "}]'"
    return """'["L-CC", "R-CC"]'"""


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _problem(model: type[BaseModel], detail: ErrorDetails, from_environment: Mapping[str, Any]) -> str:
    """One line: the key, where it came from, what was given, what is allowed."""
    place = _place(detail["loc"])
    keys = {key.name: key for key in keys_of(model)}
    name = ".".join(str(part) for part in detail["loc"] if isinstance(part, str))
    key = next((keys[known] for known in (name, ".".join(name.split(".")[:2])) if known in keys), None)
    given = _shown(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{place}: unknown key{_nearest(name, _siblings(model, name))}"
        case "missing":
            return f"{place}: missing; allowed: {allowed(key.field) if key else 'a value'}"
    where = f" (from {key.variable})" if key and _has(from_environment, detail["loc"]) else ""
    reason = detail["msg"].removeprefix("Value error, ")
    if key is None:  # a rule over several keys of a section, whose message names them
        return f"{place}: {reason}" if place else reason
    if detail["type"] == "value_error":  # our own rules say in full what is allowed
        return f"{place}{where}: given {given}; {reason}"
    return f"{place}{where}: given {given}; {reason[0].lower()}{reason[1:]}; allowed: {allowed(key.field)}"


def _place(loc: tuple[int | str, ...]) -> str:
    """``source.0.ae_title`` as a person counts: ``source[1].ae_title``."""
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _siblings(model: type[BaseModel], name: str) -> list[str]:
    """The valid keys that a mistyped `name` may have meant: those of its section first."""
    section = name.partition(".")[0]
    if "." not in name:
        return list(model.model_fields)
    names = [key.name for key in keys_of(model)]
    return [known for known in names if known.startswith(f"{section}.")] or names


def _nearest(name: str, valid: Mapping[str, Any] | list[str]) -> str:
    leaf = name.replace(NESTED_DELIMITER, ".").rpartition(".")[2]
    by_leaf = {known.replace(NESTED_DELIMITER, ".").rpartition(".")[2]: known for known in valid}
    whole = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    near = difflib.get_close_matches(leaf, list(by_leaf), n=1, cutoff=0.6)
    if near and not whole:
        return f"; did you mean {by_leaf[near[0]]}?"
    if whole:
        return f"; did you mean {whole[0]}?"
    return f"; the nearest keys are {', '.join(list(valid)[:12])}"


def _has(table: Mapping[str, Any], loc: tuple[int | str, ...]) -> bool:
    inside: Any = table
    for part in loc:
        if isinstance(inside, list):
            return True
        if not isinstance(inside, Mapping) or part not in inside:
            return False
        inside = inside[part]
    return True


def _shown(value: Any) -> str:
    text = masked_url(value) if isinstance(value, str) else value
    shown = json.dumps(text, default=str, ensure_ascii=False)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
