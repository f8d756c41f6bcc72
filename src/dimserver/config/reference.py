"""The reference of all settings as Markdown, made from the table.

python -m dimserver.config.reference > docs/settings.md
"""

from __future__ import annotations

from dimserver.config.entries import MOST_NAME
from dimserver.config.references import MAX_VALUE
from dimserver.config.setting import Setting
from dimserver.config.settings import SETTINGS
from dimserver.config.sources import APP, CONFIG
from dimserver.config.tables import ListOf, TableKind
from dimserver.config.toml_file import MAX_FILE, types_of
from dimserver.config.types import Flag, KiB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXAMPLE", "TABLES", "markdown"]

EXAMPLE = """\
app = "shop:app"
host = "0.0.0.0"
port = 8080
static = "public"
access-log = "json"
limit-body = "64MiB"    # or a number of bytes
timeout = 75            # seconds, or a text with a unit: "500ms", "75s", "5m", "1h"
"""

TABLES = """\
[[route]]
pattern = "/upload/*"   # all paths below /upload/
method = "POST"
limit-body = "1GiB"
stream = true

[[route]]
pattern = "/reports/{year}"
blocking = true
"""

HEAD = f"""\
# Settings

<!-- Written by `python -m dimserver.config.reference > docs/settings.md`; a test compares. -->

Every setting can be given in three places, under one name:

| place | form of the name | example |
| --- | --- | --- |
| command line | `--limit-body` | `dimserver run shop:app --limit-body 64MiB` |
| environment | `DIMSERVER_LIMIT_BODY` | `DIMSERVER_LIMIT_BODY=64MiB dimserver run shop:app` |
| TOML file | `limit-body` | `limit-body = "64MiB"` |

The command line overrides the environment, which overrides the file, which overrides what an app says of itself
(`App(limit_body=...)`), which overrides the default.  Where to listen is one decision: a place that names any of
`host`, `port`, `uds` and `fd` is not contradicted by the `uds` or `fd` of a weaker one.

An unknown name, a value out of range and a wrong type are errors of one line that name the place, the value and what is
allowed; the exit code is 2.  `dimserver config` prints this list, `dimserver config --check FILE` checks a file.

## The file

`--config FILE` or `DIMSERVER_CONFIG` names it; none is looked for.  It is a regular file of
[TOML](https://toml.io/en/v1.0.0) of at most {MAX_FILE // KiB} KiB: each key is the name of a setting, and tables are
for those whose value is tables.  What is served is the key `app`.

```toml
{EXAMPLE}```

Relative paths, in all three places, start from the directory the server was started in.

## The environment

A variable that begins with `DIMSERVER_` and is no setting is an error: it is a typo more often than not.  An empty one
stands for "none" where a setting may have no value, and is an error elsewhere.  Left alone are those that Kubernetes
sets in every pod beside a service named `dimserver`: `DIMSERVER_SERVICE_HOST`, `DIMSERVER_SERVICE_PORT`,
`DIMSERVER_SERVICE_PORT_<name>`, `DIMSERVER_PORT_<number>_<protocol>` with `_PROTO`, `_PORT` or `_ADDR` or without, and
`DIMSERVER_PORT` when it is a URL such as `tcp://10.0.0.11:80`.

Secrets are never printed, neither in messages nor by `dimserver config`.

## Lists and named sets

Some settings are tables.  A *list* is any number of tables with the same keys, a *named set* is the same with a name
for each.  Their keys are described as settings are: with type, unit, default and reason.

```toml
{TABLES}```

| place | a list, here `route` | a named set, here `database` (an example of the form) |
| --- | --- | --- |
| TOML file | `[[route]]`, once for each | `[database.main]` |
| command line | `--route '/upload/* limit-body=1GiB stream'`, once for each | `'main url=…'` after the option |
| environment | `DIMSERVER_ROUTE`, one entry a line | `DIMSERVER_DATABASE_MAIN_URL=…`: set, name, key |
| Python | `App(route=[{{"pattern": "/a/*", "stream": True}}])` | `App(database={{"main": {{"url": "…"}}}})` |

A list of a stronger place takes the place of a weaker one's, as a whole.  Named sets are merged by name and key: the
file may have all of a database but its URL, which then comes from the environment.  A name is 1 to {MOST_NAME} small
letters, digits and hyphens, a letter first; in the environment it is in capitals, with `_` for `-`.  An error names the
place, the table, the key, the value and what is allowed:

```text
site.toml:[[route]] 2: limit-body: '5MB' is not allowed; allowed: 0 B to 1024 GiB (…); did you mean 5MiB?
```

On the command line and in the environment a table is written as an *entry*, a line of words:

```text
entry = first *( SP word )
first = value of the first key (/upload/*), or the name of the table in a named set
word  = KEY "=" VALUE | KEY | "no-" KEY            the last two turn a flag on and off
```

Words are split and quoted as a shell does it: in `title="a b"` and `'title=a b'` the value has a space.  An entry of
`header` is a field as it stands in an answer, `Name: value`, with no quoting; a pattern takes a table.

## Values that stand somewhere else

Any value may be given as a text `env:NAME`, the value of the variable `NAME`, or `file:PATH`, what the file holds,
without the newline at its end; in all places, and in tables as well.  The file is a regular one of at most
{MAX_VALUE // KiB} KiB of UTF-8.  Both are looked up whenever settings are loaded, at a reload too.  Only `app` and
`config` are taken as they are written.

```toml
api-token = "file:/run/secrets/api-token"
```
"""


def markdown() -> str:
    """The whole of ``docs/settings.md``."""
    lines = [HEAD]
    group = ""
    for setting in (*SETTINGS, APP, CONFIG):
        if setting.group != group:
            group = setting.group
            lines.append(f"## {group}\n")
        lines.extend(_entry(setting))
    return "\n".join(lines)


def _entry(setting: Setting) -> Iterator[str]:
    kind = setting.kind
    unit = f" in {kind.unit}" if kind.unit else ""
    yield f"### `{setting.name}`\n"
    yield f"{setting.what}\n"
    yield f"- Default: {setting.show_default()}"
    yield f"- Why: {setting.reason}"
    yield f"- Type: {kind.type}{unit}; allowed: {kind.allowed()}"
    yield f"- Written: {', '.join(_forms(setting))}"
    yield f"- At a reload: {'stays as it is; a change needs a restart' if setting.fixed else 'takes effect'}\n"
    if isinstance(kind, TableKind):
        yield f"An entry is `{kind.entry()}`.  The keys of each table:\n"
        for row in kind.rows:
            yield from _row(row)


def _row(row: Setting) -> Iterator[str]:
    unit = f" in {row.kind.unit}" if row.kind.unit else ""
    yield f"- `{row.name}`: {row.what}"
    yield f"  - Default: {'none; it must be given' if row.required else row.show_default()}"
    yield f"  - Why: {row.reason}"
    yield f"  - Type: {row.kind.type}{unit}, in a file {types_of(row.kind)}; allowed: {row.kind.allowed()}\n"


def _forms(setting: Setting) -> Iterator[str]:
    if setting is APP:
        yield "`dimserver run APP`"
    elif isinstance(setting.kind, TableKind):
        yield f"`{setting.option} '{setting.kind.metavar}'`, once for each"
    elif isinstance(setting.kind, Flag):
        yield f"`{setting.option}` or `--no-{setting.name}`"
    else:
        yield f"`{setting.option} {setting.kind.metavar}`"
    yield f"`{setting.variable}`"
    if setting is not CONFIG:
        tables = f" of tables, `[[{setting.name}]]`" if isinstance(setting.kind, ListOf) else ""
        yield f"key `{setting.name}` with {types_of(setting.kind)}{tables}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
