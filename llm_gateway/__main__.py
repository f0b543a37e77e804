"""``python -m llm_gateway`` is the ``llmgateway`` command."""

import sys

from llm_gateway.cli.main import main

sys.exit(main())
