"""
The built-in provider: OpenAI's, DeepSeek's, Anthropic's and Google's APIs played on loopback: no key, no network.

It exists so that everything can be tried and tested. It says who it is, calls tools when asked to, fails on request and
talks at a natural pace; `llm_gateway.demo.script` lists what can be said to it. ``python -m llm_gateway.demo`` runs it
alone.
"""

from llm_gateway.demo.resource import demo_resource

__all__ = ["demo_resource"]
