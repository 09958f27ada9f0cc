"""The JSON Schema of the envelope, for those who read envelopes in other languages.

`python -m envelope.json_schema` writes it; a test holds the committed file against the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envelope.envelope import SCHEMA_VERSION, Envelope

SCHEMA_FILE = Path(__file__).parent / "schema" / f"envelope.v{SCHEMA_VERSION}.json"


def envelope_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) that the models stand for."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Muster envelope, version {SCHEMA_VERSION}",
        **Envelope.model_json_schema(mode="serialization"),
    }


def schema_text() -> str:
    """Return the schema as it stands in the file."""
    return json.dumps(envelope_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
