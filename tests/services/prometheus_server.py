"""A private Prometheus that scrapes what a test names; Debian's package `prometheus` has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from tests.services.child import Child
from tests.services.ports import free_port
from tests.services.presence import missing
from tests.services.waiting import wait_until

_REMEDY = "apt-get install --no-install-recommends prometheus"


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; without it the test skips, or fails in CI."""
    found = shutil.which(name)
    if found is None:
        missing(name, _REMEDY)
    return found


class PrivatePrometheus:
    """A real server that scrapes every half second."""

    def __init__(self, folder: Path, targets: Sequence[str], *, job: str = "workers") -> None:
        self.port = free_port()
        config = folder / "prometheus.yml"
        scrape = {"job_name": job, "static_configs": [{"targets": list(targets)}]}
        config.write_text(
            json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": [scrape]})
        )
        command = [program("prometheus"), f"--config.file={config}"]
        command += [f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        self._child = Child(command, folder / "prometheus.log")

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self._url}/-/ready", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def until_scraped(self, times: int = 4) -> None:
        """Wait until every target was scraped so often without an error."""
        wait_until(self.ready, 30, "Prometheus is ready")
        wait_until(lambda: self._fewest_scrapes() >= times, 60, "Prometheus scraped its targets")

    def until_scraped_again(self) -> None:
        """Wait until every target was scraped twice more."""
        self.until_scraped(int(self._fewest_scrapes()) + 2)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression gives now."""
        answer = httpx2.get(f"{self._url}/api/v1/query", params={"query": expression}, timeout=10)
        told = answer.json()
        assert told["status"] == "success", told
        result: list[dict[str, Any]] = told["data"]["result"]
        return result

    def close(self) -> None:
        self._child.kill()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _fewest_scrapes(self) -> float:
        counts = self.query("sum_over_time(up[5m])")
        return min((float(each["value"][1]) for each in counts), default=0)
