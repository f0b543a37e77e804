"""Makes ``twistd llmgateway`` known. Imports nothing of ours: an error there would hide the command and its cause."""

from twisted.application.service import ServiceMaker

llmgateway = ServiceMaker(
    "LLM gateway",
    "llm_gateway.tap",
    "A gateway between programs and LLM providers, with virtual keys.",
    "llmgateway",
)
