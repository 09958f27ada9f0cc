"""The rig's own servers and its proxy do what they say."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from agents.llm.errors import ModelBusy
from agents.llm.openai_model import Api, OpenAIModel
from agents.llm.port import Prompt
from tests.rig.faults.history import History, in_flight
from tests.rig.faults.http import post
from tests.rig.faults.loop import LoopThread
from tests.rig.faults.proxy import FaultProxy, Mode
from tests.rig.faults.sinks import SmtpSink, WebhookSink
from tests.rig.faults.stub_llm import AGENT_HEADER, PID_HEADER, Manner, StubLLM
from tests.services.waiting import wait_until


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread("test-rig")
    yield made
    made.close()


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.jsonl")


@pytest.fixture
def stub(thread: LoopThread, history: History) -> Iterator[StubLLM]:
    made = StubLLM(thread, history)
    yield made
    made.close()


class Echo:
    """A server that answers each line with itself."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._server = thread.call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._thread.call(self._close())

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()


@pytest.fixture
def proxy(thread: LoopThread) -> Iterator[FaultProxy]:
    echo = Echo(thread)
    made = FaultProxy(thread, echo.port)
    yield made
    made.close()
    echo.close()


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=2)


def answer(link: socket.socket, text: bytes = b"hello\n") -> bytes:
    link.sendall(text)
    return link.recv(100)


def test_a_proxy_that_passes_is_not_noticed(proxy: FaultProxy) -> None:
    with connected(proxy) as link:
        assert answer(link) == b"hello\n"
        assert proxy.links == 1
    wait_until(lambda: proxy.links == 0, 5, "the connection is forgotten")
    assert not proxy.hits


def test_a_proxy_delays_what_passes(proxy: FaultProxy) -> None:
    with connected(proxy) as link, proxy.broken(Mode.DELAY, (0.1, 0.05)):
        begun = time.monotonic()
        assert answer(link) == b"hello\n"
        assert time.monotonic() - begun >= 0.1
    assert proxy.hits[Mode.DELAY] == 2


def test_a_cut_resets_all_and_refuses_new_ones_until_it_heals(proxy: FaultProxy) -> None:
    with connected(proxy) as link:
        assert answer(link) == b"hello\n"
        with proxy.broken(Mode.CUT):
            with pytest.raises(ConnectionError):
                link.recv(1)
            with pytest.raises(ConnectionError):
                one_answer(proxy)
    with connected(proxy) as link:
        assert answer(link) == b"hello\n"
    assert proxy.hits[Mode.CUT] == 2


@pytest.mark.parametrize("mode", [Mode.HALF_OPEN, Mode.DEAF, Mode.MUTE])
def test_what_is_swallowed_stays_lost_and_the_connection_dies_when_it_heals(
    proxy: FaultProxy, mode: Mode
) -> None:
    with connected(proxy) as link:
        assert answer(link) == b"hello\n"
        link.settimeout(0.2)
        with proxy.broken(mode):
            with pytest.raises(TimeoutError):
                answer(link)
            assert proxy.hits[mode] >= 1
        link.settimeout(2)
        with pytest.raises(ConnectionError):
            raise_if_closed(link.recv(100))


def test_a_frozen_connection_loses_nothing(proxy: FaultProxy) -> None:
    with connected(proxy) as link:
        assert answer(link) == b"hello\n"
        link.settimeout(0.2)
        with proxy.broken(Mode.FREEZE), pytest.raises(TimeoutError):
            answer(link, b"again\n")
        link.settimeout(2)
        assert link.recv(100) == b"again\n"


def one_answer(proxy: FaultProxy) -> bytes:
    with connected(proxy) as link:
        data = answer(link)
        raise_if_closed(data)
        return data


def raise_if_closed(data: bytes) -> None:
    if not data:
        raise ConnectionResetError


class Sentence(BaseModel):
    text: str


PROMPT = Prompt(instructions="Say something.")


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_the_stub_answers_the_real_model_client(stub: StubLLM, history: History, api: Api) -> None:
    async def scenario() -> str:
        model = OpenAIModel("stub", base_url=stub.url, api=api)
        return (await model.generate(PROMPT, Sentence)).output.text

    assert asyncio.run(scenario()) == "as you wish"
    (line,) = wait_until(history.lines, 5, "the call is in the history")
    assert (line["agent"], line["outcome"]) == ("model:stub", "answered")


def test_a_storm_and_a_reset_are_worth_another_attempt(stub: StubLLM) -> None:
    async def scenario() -> None:
        model = OpenAIModel("stub", base_url=stub.url)
        with stub.behaving(Manner(status=429, retry_after="7")):
            with pytest.raises(ModelBusy) as busy:
                await model.generate(PROMPT, Sentence)
            assert busy.value.retry_after == 7
        with stub.behaving(Manner(reset=True)), pytest.raises(ModelBusy):
            await model.generate(PROMPT, Sentence)

    asyncio.run(scenario())


def test_the_stub_counts_who_is_inside_until_the_caller_vanishes(
    stub: StubLLM, history: History
) -> None:
    async def scenario() -> None:
        headers = {AGENT_HEADER: "writer", PID_HEADER: "12"}
        ask = post("127.0.0.1", stub.port, "/v1/chat/completions", b"{}", headers)
        calling = asyncio.create_task(ask)
        await asyncio.to_thread(wait_until, lambda: stub.inside, 5, "the call is inside")
        calling.cancel()
        await asyncio.to_thread(wait_until, lambda: not stub.inside, 5, "it is gone")

    with stub.behaving(Manner(seconds=60)):
        asyncio.run(scenario())
    (line,) = history.lines()
    assert (line["agent"], line["pid"], line["outcome"]) == ("writer", 12, "gone")
    assert line["ended"] > line["begun"]


def test_a_drip_takes_its_time(stub: StubLLM) -> None:
    async def scenario() -> float:
        begun = time.monotonic()
        await post("127.0.0.1", stub.port, "/v1/responses", b"{}", {})
        return time.monotonic() - begun

    with stub.behaving(Manner(seconds=0, drip_seconds=0.001)):
        assert asyncio.run(scenario()) > 0.2


def test_a_webhook_and_a_mail_are_kept(thread: LoopThread, history: History) -> None:
    hooks, mails = WebhookSink(thread, history), SmtpSink(thread, history)
    sent = post("127.0.0.1", hooks.port, "/hook", b'{"a": 1}', {"webhook-id": "k1"})
    assert asyncio.run(sent)[0] == 200
    with smtplib.SMTP("127.0.0.1", mails.port, timeout=5) as smtp:
        smtp.sendmail("a@test", ["b@test", "c@test"], "Subject: hi\r\n\r\nthere")
    assert [request.json() for request in hooks.requests] == [{"a": 1}]
    (taken,) = mails.mails
    assert (taken.sender, taken.recipients) == ("a@test", ("b@test", "c@test"))
    assert taken.data.endswith(b"there\r\n")
    hook, data, mail = history.lines()
    assert [hook["what"], data["what"], mail["what"]] == ["webhook", "data", "mail"]
    assert (hook["key"], data["recipients"]) == ("k1", ["b@test", "c@test"])
    hooks.close()
    mails.close()


def test_a_history_knows_what_is_in_flight(history: History) -> None:
    for what, pid in [("start", 1), ("start", 1), ("end", 1), ("start", 2)]:
        history.write(what, pid=pid)
    assert (in_flight(history.lines(), 1), in_flight(history.lines(), 2)) == (1, 1)
