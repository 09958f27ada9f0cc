"""The stack of docker-compose.yml, under a project name and on ports of its own."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.docker.leftovers import owned_name
from tests.services.ports import free_port
from tests.services.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ROOT / "deploy/secrets/local"
_FILES = ("docker-compose.yml", "tests/docker/compose.yml")


def secret(name: str, folder: Path = SECRETS) -> str:
    return (folder / name).read_text().strip()


def run(
    *command: str, check: bool = True, given: str = "", seconds: float = 300.0, **env: str
) -> str:
    """The output of a command; with `check`, it must succeed."""
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
        env=os.environ | env,
        check=False,
    )
    said = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert not check or done.returncode == 0, said
    return done.stdout if check else done.stdout + done.stderr


class Stack:
    """Args: ledger, a folder that containers may write to; name, of the project; secrets."""

    def __init__(self, ledger: Path, name: str = "stack", secrets: Path = SECRETS) -> None:
        self.ledger = ledger
        self.project = project = owned_name(name)
        self.seconds_to_healthy = 0.0
        self.flower_port, self.prometheus_port = free_port(), free_port()
        self._env = {
            "LEDGER": str(ledger),
            "SECRETS": str(secrets),
            "FLOWER_AT": f"127.0.0.1:{self.flower_port}",
            "PROMETHEUS_AT": f"127.0.0.1:{self.prometheus_port}",
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_FILE": ":".join(_FILES),
        }

    def compose(self, *words: str, **options: Any) -> str:
        return run("docker", "compose", *words, **options, **self._env)

    def script(self, *words: str) -> str:
        """A script of `deploy/`, as a user of this stack would call it."""
        return run(*words, **self._env)

    def build(self) -> None:
        self.compose("build", "--quiet", seconds=900)

    def up(self, *words: str) -> None:
        begin = time.monotonic()
        self.compose("up", "--detach", "--wait", *words, seconds=900)
        self.seconds_to_healthy = time.monotonic() - begin

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "1")

    def services(self) -> dict[str, dict[str, Any]]:
        """The state of each container, by its name without the project's."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        rows = [json.loads(line) for line in lines]
        return {row["Name"].removeprefix(f"{self.project}-"): row for row in rows}

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def inside(
        self, service: str, *command: str, check: bool = True, given: str | None = None
    ) -> str:
        """A command in the first container of a service. Compose's own `exec` takes far longer."""
        words = ("docker", "exec", *(() if given is None else ("--interactive",)))
        name = f"{self.project}-{service}-1"
        return run(*words, name, *command, check=check, given=given or "")

    def unhealthy(self, service: str) -> bool:
        """Whether the image's own check, executed now, finds fault."""
        config = json.loads(run("docker", "inspect", f"{self.project}-{service}-1"))[0]["Config"]
        kind, *check = config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return "rror" in self.inside(service, *check, check=False)

    def muster(self, *command: str, check: bool = True) -> Any:
        """A command of `muster`, run as the how-to says; its JSON."""
        out = self.compose("run", "--rm", "-T", "muster", *command, "--json", check=check)
        return json.loads(out[out.index("{") :])

    def enqueue(self, triggers: list[dict[str, Any]]) -> list[str]:
        return self._client("enqueue", triggers)

    def wait(self, run_ids: list[str]) -> list[dict[str, Any]]:
        return self._client("wait", run_ids)

    def noted(self) -> list[dict[str, str]]:
        """What the agents wrote down, in no order."""
        return [
            json.loads(line)
            for file in self.ledger.glob("*.jsonl")
            for line in file.read_text().splitlines()
        ]

    def flower(self, path: str) -> Any:
        answer = self.ask_flower("GET", path, tuple(secret("flower_basic_auth").split(":")))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask_flower(self, method: str, path: str, auth: Any = None) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.flower_port}/{path}"
        return httpx2.request(method, url, auth=auth, timeout=20)

    def prometheus(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}"
        answer = httpx2.get(url, timeout=20).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def until_healthy(self, service: str, count: int, timeout: float = 90.0) -> None:
        def healthy() -> bool:
            rows = [row for row in self.services().values() if row["Service"] == service]
            return len(rows) == count and all(row["Health"] == "healthy" for row in rows)

        wait_until(healthy, timeout, f"{count} healthy {service}")

    def _client(self, work: str, given: Any) -> Any:
        program = ("with-secrets", "python", "docker_client.py", work)
        return json.loads(self.inside("orchestrators", *program, given=json.dumps(given)))
