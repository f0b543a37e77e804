"""
The shipped catalogue of models, held against what others know of them.

``python -m maintenance.models api.json`` reads a file in the form of https://models.dev/api.json, fetched by hand, and
prints what it knows of the catalogue's providers that the catalogue does not: new models, facts that are missing, facts
that differ, models that have gone. Nothing is fetched.

``--write`` puts in the new models and the missing facts. What differs stays: the providers' own pages, which are the
catalogue's first source, count more. ``--take MODEL`` has the file's facts of a model replace the catalogue's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import attrs
import msgspec

from llm_gateway.config.catalogue import CatalogueFile
from llm_gateway.core.catalogue import Family
from llm_gateway.core.model_rules import ModelFacts

__all__ = ["Difference", "Source", "compared", "main", "merged", "written"]

CATALOGUE = Path(__file__).parents[1] / "llm_gateway" / "data" / "models.json"

NAMES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "xai": "xai",
    "moonshot": "moonshotai",
    "zai": "zai",
    "minimax": "minimax",
    "groq": "groq",
    "cerebras": "cerebras",
    "cohere": "cohere",
}
"""What models.dev calls the families of the catalogue."""

_MEDIA = ("text", "image", "pdf", "audio", "video")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
"""Snapshots of a model: the gateway knows them by the model's own name."""
_MADE_FROM = "models.dev"


class _Limit(msgspec.Struct):
    context: int | None = None
    output: int | None = None


class _Modalities(msgspec.Struct):
    input: list[str] = []
    output: list[str] = []


class _Model(msgspec.Struct):
    name: str = ""
    release_date: str | None = None
    reasoning: bool | None = None
    temperature: bool | None = None
    limit: _Limit | None = None
    modalities: _Modalities | None = None
    status: str | None = None

    def facts(self) -> ModelFacts:
        limit = self.limit or _Limit()
        media = self.modalities or _Modalities()
        return ModelFacts(
            title=self.name or None,
            released=self.release_date if self.release_date and _DATE.fullmatch(self.release_date) else None,
            context_window=limit.context or None,
            max_output_tokens=limit.output or None,
            reasoning=self.reasoning,
            sampling=self.temperature,
            inputs=_known(media.input),
            outputs=_known(media.output),
            operations=("chat",) if "text" in media.output else None,
        )


class _Provider(msgspec.Struct):
    models: dict[str, _Model] = {}


def _known(media: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(kind for kind in _MEDIA if kind in media) or None


class Source:
    """A file of models.dev's."""

    def __init__(self, document: bytes) -> None:
        """
        :raises msgspec.DecodeError: it has another form.
        """
        self._providers = msgspec.json.decode(document, type=dict[str, _Provider])

    def models(self, family: str) -> Mapping[str, ModelFacts] | None:
        """
        :return: those that have not ended, by name; ``None`` where it does not know the provider.
        """
        provider = self._providers.get(NAMES.get(family, family))
        if provider is None:
            return None
        return {name: model.facts() for name, model in provider.models.items() if model.status != "deprecated"}


@attrs.frozen
class Difference:
    """Of one model."""

    family: str
    model: str
    kind: str
    """``new``, ``gone``, ``missing`` for a fact that the catalogue has not, or ``other`` for one that differs."""
    fact: str = ""
    ours: object = None
    theirs: object = None

    def __str__(self) -> str:
        where = f"{self.kind:8}{self.family}/{self.model}"
        if self.kind == "other":
            return f"{where}: {self.fact} is {_shown(self.ours)} here and {_shown(self.theirs)} there"
        return f"{where}: {self.fact} is {_shown(self.theirs)}" if self.fact else where


def _shown(value: object) -> str:
    return json.dumps(value)


def compared(catalogue: CatalogueFile, source: Source) -> Iterator[Difference]:
    """
    :return: what the source knows otherwise, family by family. Of a family that it does not know, nothing.
    """
    for name, family in catalogue.families.items():
        theirs = source.models(name)
        if theirs is None:
            continue
        for model, facts in family.models.items():
            if model not in theirs:
                yield Difference(name, model, "gone")
                continue
            for fact in ModelFacts.__struct_fields__:
                mine, other = getattr(facts, fact), getattr(theirs[model], fact)
                if other is not None and other != mine:
                    yield Difference(name, model, "missing" if mine is None else "other", fact, mine, other)
        known = {_DATED.sub("", model) for model in family.models}
        yield from (Difference(name, model, "new") for model in theirs if _DATED.sub("", model) not in known)


def merged(catalogue: CatalogueFile, source: Source, day: str, take: Sequence[str] = ()) -> CatalogueFile:
    """
    :param day: on which the source was fetched, ``YYYY-MM-DD``.
    :param take: models of which the source's facts count more.
    :return: the catalogue with the source's new models behind its own, and what was missing of those.
    """
    families: dict[str, Family] = {}
    for name, family in catalogue.families.items():
        theirs = source.models(name) or {}
        models = {
            model: theirs[model].over(facts)
            if model in take
            else facts.over(theirs[model])
            if model in theirs
            else facts
            for model, facts in family.models.items()
        }
        known = {_DATED.sub("", model) for model in models}
        models |= {model: facts for model, facts in theirs.items() if _DATED.sub("", model) not in known}
        families[name] = msgspec.structs.replace(family, models=models)
    others = [each for each in catalogue.made_from if not each.startswith(_MADE_FROM)]
    made_from = (*others, f"{_MADE_FROM}, api.json of {day}")
    return CatalogueFile(date=day, made_from=made_from, families=families)


def written(catalogue: CatalogueFile) -> str:
    """:return: the file, with a line for each model, so that a change of one is a change of one line."""
    text = f'{{\n  "date": {_line(catalogue.date)},\n  "made_from": {_line(catalogue.made_from)},\n  "families": {{\n'
    families = []
    for name, family in catalogue.families.items():
        head = (
            f'    {_line(name)}: {{\n      "title": {_line(family.title)},\n      "source": {_line(family.source)},\n'
        )
        models = ",\n".join(f"        {_line(model)}: {_line(facts)}" for model, facts in family.models.items())
        families.append(f'{head}      "models": {{\n{models}\n      }}\n    }}')
    return text + ",\n".join(families) + "\n  }\n}\n"


def _line(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    :return: the exit status: 1 if the source cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m maintenance.models", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("source", type=Path, help="a file in the form of https://models.dev/api.json")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, help="the file to look at, and to write")
    parser.add_argument("--write", action="store_true", help="put in new models and missing facts")
    parser.add_argument("--take", action="append", default=[], metavar="MODEL", help="let the source's facts count")
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="when the source was fetched")
    options = parser.parse_args(arguments)
    try:
        source = Source(options.source.read_bytes())
        date.fromisoformat(options.date)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        print(f"maintenance.models: {error}", file=sys.stderr)
        return 1
    catalogue = msgspec.json.decode(options.catalogue.read_bytes(), type=CatalogueFile)
    for difference in compared(catalogue, source):
        print(difference)
    if options.write:
        options.catalogue.write_text(written(merged(catalogue, source, options.date, options.take)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
