"""Start-up check that our five packages are the ones that Python imports.

`agents` is also the import name of the OpenAI Agents SDK, and `worker` or `control` are common
names of folders. Whoever comes first on the path wins, and what follows looks like a broken
installation. This module imports nothing of ours, so it can explain that before an import fails.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("envelope", "agents", "orchestrators", "worker", "control")
_OURS = Path(__file__).resolve().parents[1]
_OUR_DISTRIBUTION = "muster"


class ShadowedPackage(RuntimeError):
    """Another package stands where one of ours belongs. The message says whose and what to do.

    No MusterError: that would have to be imported from a package of ours. No ImportError either:
    Celery drops those while it looks for the app, and then says only that there is none.
    """

    code = "PACKAGE_SHADOWED"


@dataclass(frozen=True, slots=True)
class _Intruder:
    """What Python finds in place of our package; no place means that it finds nothing."""

    name: str
    place: Path | None


def check_not_shadowed() -> None:
    """Look at where each of our packages is found, imported already or not.

    Raises:
        ShadowedPackage: One of them is not ours.
    """
    found = (_Intruder(name, _place(name)) for name in PACKAGES)
    intruders = [one for one in found if one.place is None or one.place.parent != _OURS]
    if intruders:
        raise ShadowedPackage("\n".join(map(_explained, intruders)))


def _place(name: str) -> Path | None:
    """The folder of the package, or the file when a single module has the name."""
    spec = _spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = folders[0] if folders else spec.origin
    return Path(place).resolve() if place else None


def _spec(name: str) -> ModuleSpec | None:
    loaded = sys.modules.get(name)
    return getattr(loaded, "__spec__", None) if loaded is not None else find_spec(name)


def _explained(intruder: _Intruder) -> str:
    name, place = intruder.name, intruder.place
    if place is None:
        return (
            f"Muster's package {name!r} is not found, though the others are in {_OURS}. "
            f"Install Muster again: pip install --force-reinstall {_OUR_DISTRIBUTION}."
        )
    owner = _owner(name, place)
    whose = (
        f"which belongs to the distribution {owner!r}" if owner else "which no distribution owns"
    )
    return (
        f"Python finds the package {name!r} in {place}, {whose}, "
        f"instead of Muster's own in {_OURS / name}. {_remedy(place, owner)}"
    )


def _owner(name: str, place: Path) -> str | None:
    """Several distributions may claim the name; the owner is the one installed at that place."""
    for candidate in packages_distributions().get(name, ()):
        try:
            if Path(str(distribution(candidate).locate_file(name))).resolve() == place:
                return candidate
        except PackageNotFoundError:
            continue
    return None


def _remedy(place: Path, owner: str | None) -> str:
    if owner is not None and owner != _OUR_DISTRIBUTION:
        return (
            f"Run Muster in a virtual environment of its own, or uninstall the other one: "
            f"pip uninstall {owner}."
        )
    return (
        f"Rename that {'folder' if place.is_dir() else 'file'}, start Muster from another folder, "
        f"or put {_OURS} before {place.parent} in PYTHONPATH."
    )
