"""Queue names, patterns and routes, without a server."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.app import DuplicateTask, MusterCelery, configure, register
from worker.queues import UnknownQueue, declare, expand, known_queues, queue_of_task

KNOWN = ("agent.copywriter", "agent.rag", "muster", "runs.lead")


@pytest.fixture
def app() -> MusterCelery:
    made = MusterCelery("unit", set_as_current=False)
    configure(made, "redis://127.0.0.1:1/0")
    return made


def test_without_names_nothing_is_selected() -> None:
    assert expand(None, KNOWN) == []
    assert expand([], KNOWN) == []


def test_patterns_and_names_mix_without_repetition() -> None:
    assert expand("agent.*,runs.lead,agent.rag", KNOWN) == [
        "agent.copywriter",
        "agent.rag",
        "runs.lead",
    ]


@pytest.mark.parametrize("wanted", ["runs.laed", "agents.*", ""])
def test_what_matches_nothing_is_refused_and_what_exists_is_listed(wanted: str) -> None:
    with pytest.raises(UnknownQueue) as caught:
        expand([wanted], KNOWN)
    assert ", ".join(KNOWN) in caught.value.message


@given(st.lists(st.sampled_from(KNOWN)))
def test_known_names_stay_themselves(names: list[str]) -> None:
    assert expand(names, KNOWN) == list(dict.fromkeys(names))


def test_routes_follow_the_task_name() -> None:
    assert queue_of_task("run.lead") == "runs.lead"
    assert queue_of_task("agent.rag") == "agent.rag"
    assert queue_of_task("celery.backend_cleanup") is None
    assert queue_of_task("run.") is None
    assert queue_of_task("running.late") is None


def test_declared_queues_add_up_and_use_no_named_exchange_of_their_own(app: MusterCelery) -> None:
    declare(app, flows=["lead"])
    assert declare(app, agents=["rag"]) == ("agent.rag", "muster", "runs.lead")
    assert known_queues(app) == ("agent.rag", "muster", "runs.lead")
    assert set(app.amqp.queues.consume_from) == {"agent.rag", "muster", "runs.lead"}


async def _body() -> None: ...


def test_a_registered_task_brings_its_queue(app: MusterCelery) -> None:
    register(app, "agent.rag", _body)
    register(app, "sweep", _body, queue="brooms")
    assert known_queues(app) == ("agent.rag", "brooms", "muster")
    assert app.amqp.router.route({}, "sweep")["queue"].name == "brooms"
    assert app.amqp.router.route({}, "agent.rag")["queue"].name == "agent.rag"
    assert app.amqp.router.route({}, "unheard.of")["queue"].name == "muster"


def test_a_second_task_of_the_same_name_is_refused(app: MusterCelery) -> None:
    register(app, "agent.rag", _body)
    with pytest.raises(DuplicateTask, match=r"agent\.rag"):
        register(app, "agent.rag", _body)


@pytest.mark.parametrize(
    ("url", "verified"),
    [
        ("rediss://h:6380/1", ssl.CERT_REQUIRED),
        ("rediss://h:6380/1?ssl_ca_certs=/ca.pem", ssl.CERT_REQUIRED),
        ("rediss://h:6380/1?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_a_certificate_is_verified_unless_the_url_says_not_to(
    url: str, verified: ssl.VerifyMode
) -> None:
    made = MusterCelery("unit-tls", set_as_current=False)
    configure(made, url)
    assert made.connection_for_write().ssl["ssl_cert_reqs"] is verified
