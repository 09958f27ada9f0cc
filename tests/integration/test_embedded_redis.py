"""The embedded Redis among real processes: started once, shared, replaced, stopped by the last."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from envelope.errors import QueueUnavailable
from tests.services.ports import free_port
from tests.services.waiting import wait_until
from worker.embedded import EmbeddedRedis, ensure_redis
from worker.embedded import binary as binary_module
from worker.embedded.errors import EmbeddedRedisFailed, HomeNotWritable, RedisBinaryMissing
from worker.embedded.file_lock import FileLock, exclusive
from worker.settings import Settings

ROOT = Path(__file__).parents[2]

# Uses the server until its stdin ends; leaves by the door that a normal program leaves by.
USER = """
import sys
from pathlib import Path
from worker.embedded import EmbeddedRedis
redis = EmbeddedRedis(Path(sys.argv[1])).start()
print(redis.url, flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the embedded Redis of a home."""

    def __init__(self, home: Path, code: str = USER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(home)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, self.process.communicate()[1]
        return line

    def leave(self) -> str:
        """Ends normally; what it wrote besides its URL."""
        out, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors
        return out + errors

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose server does not outlive the test."""
    place = tmp_path / 'a "home" of ours'
    yield place
    if lives(place):
        os.kill(server_pid(place), signal.SIGKILL)


def server_pid(home: Path) -> int:
    return int((home / "redis" / "server.pid").read_text("ascii"))


def lives(home: Path) -> bool:
    if not (home / "redis").exists():
        return False
    lock = FileLock(home / "redis" / "server.lock")
    try:
        return lock.held_by_another()
    finally:
        lock.forget()


def answers(url: str) -> bool:
    with Redis.from_url(url, retry=None) as client:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False


def put(url: str, key: str, value: str) -> None:
    with Redis.from_url(url) as client:
        client.set(key, value)


def get(url: str, key: str) -> str | None:
    with Redis.from_url(url, decode_responses=True) as client:
        value = client.get(key)
        assert value is None or isinstance(value, str)
        return value


def test_starts_answers_and_stops(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        url = redis.url
        assert answers(url)
        assert lives(home)
    assert not lives(home)
    assert not answers(url)


def test_data_survives_a_restart(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        put(redis.url, "kept", "yes")
    with EmbeddedRedis(home) as redis:
        assert get(redis.url, "kept") == "yes"


def test_only_the_owner_and_only_with_the_password(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        kept = json.loads((home / "redis" / "server.json").read_text("utf-8"))
        without = f"redis://127.0.0.1:{kept['port']}"
        with Redis.from_url(without) as client, pytest.raises(AuthenticationError):
            client.get("x")
        with Redis.from_url(redis.url, decode_responses=True) as client:
            assert client.config_get("bind")["bind"] == "127.0.0.1"
            assert client.config_get("appendonly")["appendonly"] == "yes"
            assert client.config_get("appendfsync")["appendfsync"] == "everysec"
        assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
        for name in ("server.json", "redis.conf"):
            assert stat.S_IMODE((home / "redis" / name).stat().st_mode) == 0o600
        command = subprocess.run(
            ["ps", "-o", "args=", "-p", str(server_pid(home))],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert kept["password"] not in command


def test_two_homes_share_nothing(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a") as a, EmbeddedRedis(tmp_path / "b") as b:
        put(a.url, "x", "a")
        assert get(b.url, "x") is None


def test_the_last_user_in_one_process_stops_it(home: Path) -> None:
    first, second = EmbeddedRedis(home).start(), EmbeddedRedis(home).start()
    assert first.url == second.url
    first.close()
    first.close()
    assert answers(second.url)
    second.close()
    assert not lives(home)


def test_processes_that_start_at_once_share_one_server(home: Path) -> None:
    users = [User(home) for _ in range(6)]
    try:
        urls = {user.url() for user in users}
        assert len(urls) == 1
        [url] = urls
        for user in users[:-1]:
            assert user.leave() == ""
            assert answers(url)
        assert users[-1].leave() == ""
        assert not lives(home)
    finally:
        for user in users:
            user.kill()


def test_nobody_starts_while_another_process_starts_or_stops(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.embedded.embedded_redis._LOCK_SECONDS", 0.1)
    (home / "redis").mkdir(parents=True)
    with (
        exclusive(home / "redis" / "start.lock", seconds=5),
        pytest.raises(EmbeddedRedisFailed, match="Another process is starting"),
    ):
        EmbeddedRedis(home).start()
    assert not lives(home)
    with EmbeddedRedis(home) as redis:
        assert answers(redis.url)


def test_a_server_whose_users_were_killed_is_adopted_and_then_stopped(home: Path) -> None:
    users = [User(home), User(home)]
    url = users[0].url()
    assert users[1].url() == url
    put(url, "kept", "yes")
    for user in users:
        user.kill()
    assert answers(url)
    pid = server_pid(home)
    with EmbeddedRedis(home) as redis:
        assert redis.url == url
        assert server_pid(home) == pid
        assert get(redis.url, "kept") == "yes"
    assert not lives(home)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(home: Path) -> None:
    user = User(home)
    url = user.url()
    with EmbeddedRedis(home):
        os.killpg(user.process.pid, signal.SIGINT)
        user.process.communicate(timeout=30)
        assert answers(url)
    assert not lives(home)


def test_a_killed_server_is_replaced_at_the_same_address(home: Path) -> None:
    first = EmbeddedRedis(home).start()
    put(first.url, "kept", "yes")
    with Redis.from_url(first.url) as client:
        # What a kill may lose is the last second; this makes the disk's turn come first.
        client.execute_command("CONFIG", "SET", "appendfsync", "always")
        client.set("synced", "yes")
    os.kill(server_pid(home), signal.SIGKILL)
    wait_until(lambda: not lives(home), 10, "the server is dead")
    with EmbeddedRedis(home) as second:
        assert second.url == first.url
        assert answers(first.url)
        assert get(first.url, "kept") == "yes"
    assert lives(home), "the first user still uses it"
    first.close()
    assert not lives(home)


def test_start_again_revives_a_killed_server(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        os.kill(server_pid(home), signal.SIGKILL)
        wait_until(lambda: not lives(home), 10, "the server is dead")
        redis.start()
        assert answers(redis.url)


def test_a_stale_address_whose_port_is_taken(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        put(redis.url, "kept", "yes")
        old = redis.url
    address = home / "redis" / "server.json"
    kept = json.loads(address.read_text("utf-8"))
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(kept["port"]), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: not _nobody_listens(kept["port"]), 10, "the port is taken")
        with EmbeddedRedis(home) as redis:
            assert redis.url != old
            assert get(redis.url, "kept") == "yes"
    finally:
        other.kill()
        other.wait()


def _nobody_listens(port: int) -> bool:
    with subprocess.Popen(
        [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"],
        stderr=subprocess.DEVNULL,
    ) as probe:
        return probe.wait() != 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": "x", "password": "y"}', "\x00"])
def test_a_broken_address_file_is_replaced(home: Path, text: str) -> None:
    (home / "redis").mkdir(parents=True)
    (home / "redis" / "server.json").write_text(text, encoding="utf-8")
    with EmbeddedRedis(home) as redis:
        assert answers(redis.url)


def test_unreadable_data_is_set_aside(home: Path) -> None:
    with EmbeddedRedis(home) as redis:
        put(redis.url, "kept", "no")
    folder = home / "redis" / "appendonlydir"
    for part in folder.glob("*.aof"):
        part.write_bytes(b"*3\r\n$3\r\nSET\r\ngarbage" * 50)
    with EmbeddedRedis(home) as redis:
        assert get(redis.url, "kept") is None
    assert list((home / "redis").glob("appendonlydir.unreadable-*"))


@pytest.mark.parametrize("ending", ["redis.close()", "sys.exit(0)"], ids=["closes", "exits"])
def test_a_forked_child_shares_its_parents_use_and_stops_nothing(home: Path, ending: str) -> None:
    code = f"""
import os, sys
from pathlib import Path
from worker.embedded import EmbeddedRedis
redis = EmbeddedRedis(Path(sys.argv[1])).start()
child = os.fork()
if child == 0:
    {ending}
    os._exit(0)
os.waitpid(child, 0)
print(redis.url, flush=True)
sys.stdin.read()
"""
    user = User(home, code)
    try:
        assert answers(user.url())
        assert lives(home)
        assert user.leave() == ""
        assert not lives(home)
    finally:
        user.kill()


def test_a_forked_child_that_stays_does_not_keep_the_server(home: Path) -> None:
    code = USER.replace(
        "sys.stdin.read()",
        """
import os, signal
if os.fork() == 0:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.pause()
sys.stdin.read()
""",
    )
    user = User(home, code)
    try:
        user.url()
        assert user.leave() == ""
        assert not lives(home)
        with EmbeddedRedis(home) as redis:
            assert answers(redis.url)
        assert not lives(home)
    finally:
        os.killpg(user.process.pid, signal.SIGKILL)


def test_a_home_removed_while_it_is_used(tmp_path: Path) -> None:
    place = tmp_path / "home"
    first = EmbeddedRedis(place).start()
    url = first.url
    place.rename(tmp_path / "gone")
    with EmbeddedRedis(place) as second:
        assert second.url != url
        first.close()
        assert not answers(url)
        assert answers(second.url)


def test_a_paused_server_is_an_error_and_no_second_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.embedded.server_process._START_SECONDS", 0.5)
    first = EmbeddedRedis(home).start()
    pid = server_pid(home)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedRedisFailed, match=f"process {pid}"):
            EmbeddedRedis(home).start()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answers(first.url)
    first.close()
    assert not lives(home)


def test_without_any_server_program(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_module, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RedisBinaryMissing, match="MUSTER_REDIS_URL") as caught:
        EmbeddedRedis(home).start()
    assert isinstance(caught.value, QueueUnavailable)


def test_a_server_program_on_the_path_will_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = binary_module.server_binary()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "redis-server").symlink_to(bundled)
    monkeypatch.setattr(binary_module, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(folder))
    assert binary_module.server_binary() == folder / "redis-server"
    with EmbeddedRedis(home) as redis:
        assert answers(redis.url)


def test_a_server_program_that_fails_is_quoted(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "valkey-server"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "pathlib.Path('server.log').write_text('FATAL: no memory today')\n"
        "sys.exit(1)\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setattr(binary_module, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EmbeddedRedisFailed, match="no memory today"):
        EmbeddedRedis(home).start()


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    with pytest.raises(HomeNotWritable, match="MUSTER_HOME"):
        EmbeddedRedis(tmp_path / "home").start()


def test_a_home_that_cannot_be_made() -> None:
    with pytest.raises(HomeNotWritable, match="/proc/nowhere"):
        EmbeddedRedis(Path("/proc/nowhere")).start()


def test_a_configured_redis_is_used_and_left_alone(tmp_path: Path, redis_url: str) -> None:
    settings = Settings.load(redis_url=redis_url, home=tmp_path / "home")
    with ensure_redis(settings) as server:
        assert server.url == redis_url
        assert server.embedded is None
    assert answers(redis_url)
    assert not (tmp_path / "home").exists()


def test_a_configured_redis_may_be_away(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    assert ensure_redis(Settings.load(redis_url=url, home=tmp_path)).url == url


def test_without_a_configured_redis_the_embedded_one_answers(home: Path) -> None:
    with ensure_redis(Settings.load(home=home)) as server:
        assert answers(server.url)
        assert server.url not in repr(server)
    assert not lives(home)
