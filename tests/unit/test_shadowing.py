"""Another distribution's `agents` is found out, named, and its owner with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.shadowing import PACKAGES, check_not_shadowed

ROOT = Path(__file__).parents[2]
CHECK = "from worker.shadowing import check_not_shadowed; check_not_shadowed(); print('ours')"


def check_with(first: Path, code: str = CHECK) -> subprocess.CompletedProcess[str]:
    """Runs in a process of its own whose path begins with a folder."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{first}{os.pathsep}{ROOT}"},
        cwd=first,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def package(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("", encoding="utf-8")
    return folder / name


def own(folder: Path, name: str, distribution: str) -> None:
    """Makes the folder look like one into which a distribution with that package was installed."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "top_level.txt").write_text(f"{name}\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n", encoding="utf-8")


def test_ours_are_ours(tmp_path: Path) -> None:
    check_not_shadowed()
    done = check_with(tmp_path)
    assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "worker"])
def test_a_folder_in_the_way_is_explained(tmp_path: Path, name: str) -> None:
    place = package(tmp_path, name)
    done = check_with(tmp_path)
    assert done.returncode == 1
    assert "ShadowedPackage" in done.stderr
    assert str(place) in done.stderr
    assert "no distribution owns" in done.stderr
    assert "Rename that folder" in done.stderr
    assert "PYTHONPATH" in done.stderr


def test_the_distribution_in_the_way_is_named(tmp_path: Path) -> None:
    place = package(tmp_path, "agents")
    own(tmp_path, "agents", "openai-agents")
    done = check_with(tmp_path)
    assert str(place) in done.stderr
    assert "'openai-agents'" in done.stderr
    assert "pip uninstall openai-agents" in done.stderr
    assert "virtual environment" in done.stderr


def test_a_single_module_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "control.py").write_text("", encoding="utf-8")
    done = check_with(tmp_path)
    assert str(tmp_path / "control.py") in done.stderr
    assert "Rename that file" in done.stderr


def test_a_package_imported_before_the_check_is_found_out(tmp_path: Path) -> None:
    package(tmp_path / "elsewhere", "agents")
    code = f"import sys; sys.path.insert(0, 'elsewhere'); import agents; sys.path.pop(0); {CHECK}"
    done = check_with(tmp_path, code)
    assert done.returncode == 1
    assert "ShadowedPackage" in done.stderr


def test_all_intruders_are_told_at_once(tmp_path: Path) -> None:
    package(tmp_path, "agents")
    package(tmp_path, "control")
    done = check_with(tmp_path)
    assert str(tmp_path / "agents") in done.stderr
    assert str(tmp_path / "control") in done.stderr


def test_a_missing_package_is_explained(tmp_path: Path) -> None:
    code = f"import sys; sys.modules['agents'] = None; {CHECK}"
    done = check_with(tmp_path, code)
    assert done.returncode == 1
    assert "'agents' is not found" in done.stderr
    assert "pip install --force-reinstall muster" in done.stderr
