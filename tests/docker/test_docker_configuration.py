"""The files that compose reads: complete, and without a warning."""

import json
import subprocess
from pathlib import Path

from tests.docker.stack import ROOT, Stack


def test_a_clean_clone_warns_of_nothing(stack: Stack) -> None:
    command = (
        "docker",
        "compose",
        "--file",
        "docker-compose.yml",
        "--profile",
        "*",
        "config",
        "-q",
    )
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_file_that_is_mounted_is_there(stack: Stack) -> None:
    config = json.loads(stack.compose("--profile", "*", "config", "--format", "json"))
    mounts = [
        Path(volume["source"])
        for service in config["services"].values()
        for volume in service.get("volumes", ())
        if volume["type"] == "bind"
    ]
    files = [Path(one["file"]) for one in config["secrets"].values()]
    assert [path for path in (*mounts, *files) if not path.exists()] == []
    # Grafana reads dashboards where its provider says, from the data source that its file makes.
    provider = (ROOT / "deploy/grafana/dashboards/provider.yml").read_text()
    targets = {one["target"] for one in config["services"]["grafana"]["volumes"]}
    assert any(f"path: {target}\n" in provider for target in targets)
    assert list((ROOT / "deploy/grafana/dashboards").glob("*.json"))
