"""A request for Google: ``generateContent`` as JSON."""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import ChoiceMode, OutputFormat, Request, Tool, ToolChoice
from llm_gateway.core.translation.freeform import FREEFORM_PARAMETERS, description_of
from llm_gateway.core.translation.gemini.contents import PART_FIELD, ContentWriter
from llm_gateway.core.translation.gemini.media import DIALECT
from llm_gateway.core.translation.gemini.models import Generation, generation_of
from llm_gateway.core.translation.gemini.schema import open_api, tidied
from llm_gateway.core.translation.gemini.thinking import thinking_config
from llm_gateway.core.translation.losses import Losses, Weight

__all__ = ["RequestWriter", "write_request"]

Document = dict[str, object]

MAX_STOPS = 5
"""Source: https://ai.google.dev/api/generate-content#generationconfig"""

_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}

_SAMPLING = {
    "temperature": ("temperature", Weight.HINT),
    "top_p": ("topP", Weight.HINT),
    "top_k": ("topK", Weight.HINT),
    "presence_penalty": ("presencePenalty", Weight.MEANING),
    "frequency_penalty": ("frequencyPenalty", Weight.MEANING),
}
"""Google's name for each, and what it means that newer models pass over the first three and refuse the others.
Source: https://ai.google.dev/gemini-api/docs/latest-model"""

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def write_request(request: Request, to: Destination, losses: Losses, *, json_schema: bool) -> bytes:
    """
    :param json_schema: whether the endpoint takes JSON Schema as it is.
    """
    return _encode(RequestWriter(request, to, losses, json_schema=json_schema).document())


class RequestWriter:
    """Writes one request."""

    def __init__(self, request: Request, to: Destination, losses: Losses, *, json_schema: bool) -> None:
        self._request = request
        self._to = to
        self._losses = losses
        self._json_schema = json_schema
        self._generation = generation_of(to.model)

    def document(self) -> Document:
        """
        :return: the whole body. The model is named by the path.
        """
        request = self._request
        body = self.prompt()
        config = self._config()
        if config:
            body["generationConfig"] = config
        if request.service_tier in _TIERS:
            body["serviceTier"] = _TIERS[request.service_tier]
        elif request.service_tier not in (None, "auto"):
            self._hint("service_tier", request.service_tier, body, "Google has no such tier.")
        self._leave_out_the_rest(body)
        self._add_extras(body)
        return body

    def prompt(self) -> Document:
        """
        :return: what is of the prompt: contents, instructions and tools.
        """
        writer = ContentWriter(self._request, self._to, self._losses)
        body: Document = {"contents": writer.written()}
        if writer.system:
            body["systemInstruction"] = {"parts": writer.system}
        tools = self._tools()
        if tools:
            body["tools"] = tools
        choice = self._choice()
        if choice:
            body["toolConfig"] = {"functionCallingConfig": choice}
        return body

    # Tools

    def _tools(self) -> list[Document]:
        tools: list[Document] = []
        declarations = [self._declaration(tool) for tool in self._request.tools]
        if declarations:
            tools.append({"functionDeclarations": declarations})
        for foreign in self._request.foreign_tools:
            if foreign.dialect == DIALECT:
                tools.append({foreign.kind: foreign.raw})
            else:
                weight = Weight.HINT if foreign.hint else Weight.MEANING
                self._losses.lose(f"tools.{foreign.kind}", weight, "Google has no such tool.")
        return tools

    def _declaration(self, tool: Tool) -> Document:
        made: Document = {"name": tool.name}
        description, parameters = tool.description, tool.parameters
        if tool.custom is not None:
            self._losses.change(f"tools.{tool.name}")
            description, parameters = description_of(tool), FREEFORM_PARAMETERS
        if description:
            made["description"] = description
        if tool.cache is not None:
            self._losses.lose("cache_control", Weight.HINT, "Google caches by itself, or what was stored before.")
        if parameters is None:
            return made
        if self._json_schema:
            made["parametersJsonSchema"] = tidied(parameters, of_function=True)
            return made
        schema, loose = open_api(parameters)
        if loose:
            self._losses.change(f"tools.{tool.name}.parameters")
        if schema.get("properties") or schema.get("type") != "OBJECT":
            # Google refuses objects without properties here, and takes no parameters at all.
            made["parameters"] = schema
        return made

    def _choice(self) -> Document:
        tools, choice = self._request.tools, self._request.tool_choice
        if not tools:
            if choice is not None and choice.mode is ChoiceMode.REQUIRED:
                self._losses.lose("tool_choice", Weight.MEANING, "there is no function to choose.")
            return {}
        mode = ChoiceMode.AUTO if choice is None else choice.mode
        validates = self._generation is not Generation.PLAIN
        strict = [tool.strict for tool in tools if tool.strict]
        all_strict = bool(strict) and len(strict) == len(tools) and validates
        if strict and not all_strict and mode is ChoiceMode.AUTO:
            self._losses.lose("tools.strict", Weight.HINT, "Google keeps to the schemas of all tools or of none.")
        if mode is ChoiceMode.REQUIRED:
            return self._named({"mode": "ANY"}, choice)
        if mode is ChoiceMode.NONE:
            return {"mode": "NONE"}
        if choice is not None and choice.names:
            if validates:
                # AUTO takes no names.
                return self._named({"mode": "VALIDATED"}, choice)
            self._losses.lose("tool_choice", Weight.MEANING, "this model chooses among all tools.")
        if all_strict:
            return {"mode": "VALIDATED"}
        return {} if choice is None else {"mode": "AUTO"}

    @staticmethod
    def _named(made: Document, choice: ToolChoice | None) -> Document:
        if choice is not None and choice.names:
            made["allowedFunctionNames"] = list(choice.names)
        return made

    # How to answer

    def _config(self) -> Document:
        request = self._request
        config: Document = {
            "maxOutputTokens": self._limit(request.max_tokens),
            **self._sampling(),
            "seed": self._seed(request.sampling.seed),
            "candidateCount": request.choices if request.choices != 1 else None,
            "stopSequences": self._stops() or None,
            "responseLogprobs": True if request.logprobs else None,
            "logprobs": request.top_logprobs or None,
            "responseModalities": self._modalities(),
        }
        config = {name: value for name, value in config.items() if value is not None}
        if request.output is not None:
            config.update(self._output(request.output))
        if request.reasoning is not None:
            own = request.dialect == DIALECT
            thinking = thinking_config(request.reasoning, self._to, self._losses, own=own)
            if thinking:
                config["thinkingConfig"] = thinking
        return config

    def _limit(self, asked: int | None) -> int | None:
        """Some ask for more than any answer can have, and Google refuses that."""
        most = self._to.max_output_tokens
        if asked is None or most is None or asked <= most:
            return asked
        self._losses.change("max_tokens")
        return most

    def _sampling(self) -> Document:
        written: Document = {}
        for name, (field, weight) in _SAMPLING.items():
            value = getattr(self._request.sampling, name)
            if value is None:
                continue
            taken = self._generation < Generation.FIXED
            if taken or self._losses.drop(name, weight, "this model samples as it likes."):
                written[field] = value
        return written

    def _seed(self, seed: int | None) -> int | None:
        if seed is None or -(2**31) <= seed < 2**31:
            return seed
        # The same seed still gives the same answer.
        self._losses.change("seed")
        return seed % 2**31

    def _stops(self) -> list[str]:
        stops = list(self._request.stop)
        if len(stops) > MAX_STOPS and not self._losses.drop(
            "stop", Weight.MEANING, f"Google takes {MAX_STOPS} at most."
        ):
            return stops[:MAX_STOPS]
        return stops

    def _modalities(self) -> list[str] | None:
        names = [name.upper() for name in self._request.modalities]
        # What speaks does not write.
        return names if names == ["AUDIO"] else ["TEXT", *names] if names else None

    def _output(self, output: OutputFormat) -> Document:
        if self._request.tools and self._generation < Generation.LEVELS:
            why = "this model takes no format where there are functions."
            if not self._losses.drop("response_format", Weight.MEANING, why):
                return {}
        made: Document = {"responseMimeType": "application/json"}
        if output.schema is None:
            return made
        schema = self._described(output.schema, output.description)
        if self._json_schema:
            made["responseJsonSchema"] = tidied(schema, of_function=False)
            return made
        converted, loose = open_api(schema)
        if loose:
            self._losses.change("response_format")
        made["responseSchema"] = converted
        return made

    def _described(self, schema: msgspec.Raw, description: str | None) -> msgspec.Raw:
        """A schema has a name for the caller only; its description is for the model, and stands in the schema here."""
        if description is None:
            return schema
        try:
            fields = _object(schema)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return schema
        self._losses.change("response_format.description")
        if "description" in fields:
            return schema
        return msgspec.Raw(_encode({"description": description} | fields))

    # What Google has no word for

    def _leave_out_the_rest(self, body: Document) -> None:
        request = self._request
        bias = request.sampling.logit_bias
        if bias is not None and bias != msgspec.Raw(b"{}"):
            self._meaning("logit_bias", bias, body, "Google has no bias of single tokens.")
        if request.parallel_tool_calls is False and request.tools:
            # The model calls as many at once as it likes, and the caller gets the first one: see ``one_call``.
            self._losses.change("parallel_tool_calls")
        if request.user is not None:
            self._hint("user", request.user, body, "Google's API has no field for it.")
        if request.metadata:
            self._hint("metadata", request.metadata, body, "Google's answers have no metadata of the caller's.")
        if request.cache_key is not None:
            self._hint("prompt_cache_key", request.cache_key, body, "Google routes to caches by itself.")
        if request.verbosity is not None:
            self._hint("verbosity", request.verbosity, body, "Google's models have no such setting.")

    def _hint(self, name: str, value: object, body: Document, why: str) -> None:
        if self._losses.drop(name, Weight.HINT, why):
            body[name] = value

    def _meaning(self, name: str, value: object, body: Document, why: str) -> None:
        if self._losses.drop(name, Weight.MEANING, why):
            body[name] = value

    def _add_extras(self, body: Document) -> None:
        request = self._request
        own = request.dialect == DIALECT
        for name, raw in request.extras.items():
            if own and PART_FIELD.fullmatch(name):
                continue
            *outer, field = name.split(".")
            if own and "[" not in name:
                _within(body, outer)[field] = raw
                continue
            weight = Weight.HINT if name in request.hints else Weight.MEANING
            if outer or "[" in name:
                self._losses.lose(name, weight, "Google's API has no such field.")
            elif self._losses.drop(name, weight, "Google's API has no such field."):
                body[name] = raw


def _within(body: Document, names: list[str]) -> Document:
    for name in names:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            # A field and one of its own fields: the outer one says all.
            return {}
        body = inner
    return body
