"""What containers may not do, and who is refused."""

import json

import pytest

from tests.docker.stack import Stack, run, secret

OURS = ("orchestrators", "agents", "flower")
RUNNING = (*OURS, "redis", "postgres", "prometheus")
PASSWORDS = ("redis_password", "redis_flower_password", "postgres_password", "database_password")


@pytest.mark.parametrize("service", OURS)
def test_our_processes_are_nobody_and_write_nowhere(stack: Stack, service: str) -> None:
    assert stack.inside(service, "id", "-u").strip() == "10001"
    for place in ("/x", "/app/x", "/opt/muster/x", "/usr/local/bin/x", "/etc/x"):
        said = stack.inside(service, "touch", place, check=False)
        assert "Read-only file system" in said or "Permission denied" in said, place


@pytest.mark.parametrize("service", RUNNING)
def test_every_root_file_system_is_read_only(stack: Stack, service: str) -> None:
    options = stack.inside(service, "sh", "-c", "grep ' / ' /proc/mounts").split()[3].split(",")
    assert "ro" in options


@pytest.mark.parametrize("service", RUNNING)
def test_no_process_may_gain_privileges(stack: Stack, service: str) -> None:
    status = stack.inside(service, "cat", "/proc/1/status").splitlines()
    facts = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert facts["NoNewPrivs"].strip() == "1"
    # Postgres' image starts as root; the server that it becomes is not.
    assert int(facts["CapEff"], 16) == 0
    (container,) = stack.containers(service)[:1]
    host = json.loads(run("docker", "inspect", container))[0]["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Privileged"]
    assert bool(host["CapAdd"]) == (service == "postgres")


def test_only_two_ports_are_published_on_loopback_alone(stack: Stack) -> None:
    published = {}
    for name, row in stack.services().items():
        for port in row["Publishers"] or ():
            if port["PublishedPort"]:
                published[name] = (port["URL"], port["TargetPort"])
    assert published == {"flower-1": ("127.0.0.1", 5555), "prometheus-1": ("127.0.0.1", 9090)}


def test_redis_refuses_strangers(stack: Stack) -> None:
    assert "NOAUTH" in redis(stack, "ping")
    assert "WRONGPASS" in redis(stack, "ping", user="muster", password="guess")
    assert "WRONGPASS" in redis(stack, "ping", user="default", password="")


def test_redis_users_may_do_their_work_alone(stack: Stack) -> None:
    worker = {"user": "muster", "password": secret("redis_password")}
    flower = {"user": "flower", "password": secret("redis_flower_password")}
    health = {"user": "health", "password": "any"}
    assert "PONG" in redis(stack, "ping", **worker)
    for command in ("flushall", "config get *", "shutdown", "keys *", "acl list"):
        for user in (worker, flower, health):
            assert "NOPERM" in redis(stack, *command.split(), **user), command
    for command in ("lpush runs.lead x", "get muster:fence", "hset unacked a b", "del runs.lead"):
        assert "NOPERM" in redis(stack, *command.split(), **flower), command
    assert "NOPERM" in redis(stack, "get", "muster:fence", **health)


def test_postgres_refuses_strangers_and_its_application_is_no_superuser(stack: Stack) -> None:
    assert "password authentication failed" in psql(stack, "guess", "SELECT 1")
    password = secret("database_password")
    assert psql(stack, password, "SELECT count(*) >= 0 FROM muster_runs").strip() == "t"
    assert psql(stack, password, "SHOW is_superuser").strip() == "off"
    refused = psql(stack, password, "COPY muster_runs TO PROGRAM 'id'")
    assert "pg_execute_server_program" in refused


@pytest.mark.parametrize("path", ["", "workers", "tasks", "api/tasks", "api/workers", "broker"])
def test_flower_refuses_strangers(stack: Stack, path: str) -> None:
    assert stack.ask_flower("GET", path).status_code == 401
    assert stack.ask_flower("GET", path, ("muster", "guess")).status_code == 401


def test_flower_shows_and_does_not_touch(stack: Stack) -> None:
    worker = stack.flower("workers?json=1")["data"][0]["hostname"]
    auth = tuple(secret("flower_basic_auth").split(":"))
    assert stack.ask_flower("POST", f"api/worker/shutdown/{worker}", auth).status_code == 403


def test_networks_let_through_what_is_needed(stack: Stack) -> None:
    assert reaches(stack, "agents", "redis", 6379)
    assert reaches(stack, "agents", "postgres", 5432)
    assert reaches(stack, "flower", "redis", 6379)
    assert not reaches(stack, "flower", "postgres", 5432)


def test_secrets_stand_neither_in_the_configuration_nor_in_a_log(stack: Stack) -> None:
    ids = stack.compose("ps", "--all", "--quiet").split()
    told = run("docker", "inspect", *ids) + stack.compose("logs")
    told += run("docker", "history", "--no-trunc", "muster:local")
    for name in (*PASSWORDS, "flower_basic_auth"):
        assert secret(name) not in told, name


def redis(stack: Stack, *command: str, user: str = "", password: str = "") -> str:
    login = ("--user", user, "--pass", password, "--no-auth-warning") if user else ()
    return stack.inside("redis", "redis-cli", *login, *command, check=False)


def psql(stack: Stack, password: str, statement: str) -> str:
    url = f"postgresql://muster:{password}@127.0.0.1/muster"
    return stack.inside("postgres", "psql", "-Atqc", statement, url, check=False)


def reaches(stack: Stack, service: str, host: str, port: int) -> bool:
    program = f"import socket; socket.create_connection(('{host}', {port}), 3)"
    said = stack.inside(service, "python", "-c", program, check=False)
    assert not said or "rror" in said, said
    return not said
