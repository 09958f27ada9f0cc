"""Names for models, so that tasks say how good and not which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envelope.errors import NotRegistered


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    """The models of one server by the names that tasks use.

    Provide it as a resource: `resources.provide(ModelRoutes, lambda: ModelRoutes({…}))`.

    Example:
        >>> ModelRoutes({"fast": "gpt-5.4-nano", "quality": "gpt-5.4"}).model("fast")
        'gpt-5.4-nano'
    """

    models: Mapping[str, str]

    def model(self, route: str) -> str:
        """Return the model's name.

        Raises:
            NotRegistered: There is no such route; the message lists what there is.
        """
        if route not in self.models:
            held = ", ".join(sorted(self.models)) or "none"
            raise NotRegistered(f"No route named {route!r} leads to a model. Routes: {held}.")
        return self.models[route]
