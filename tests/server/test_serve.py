"""The processes of a server: started, killed, reloaded and stopped for real."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scepkit.config import Address
from scepkit.errors import ConfigError
from scepkit.server.binding import listen

ROOT = Path(__file__).parents[2]

CONFIG = """
[server]
bind = "127.0.0.1:0"
workers = 2
stop_timeout = "{stop_timeout}"
{server}
[log]
level = "{level}"
[secrets]
challenge_key = "kkkkkkkkkkkkkkkkkkkkkkkkk"
[ca.main]
key = "a"
certificate = "b"
[profile.default]
{profile}
"""


@dataclass
class Server:
    """A server in processes of its own."""

    process: subprocess.Popen[str]
    directory: Path
    lines: list[str] = field(default_factory=list)

    def said(self, words: str, seconds: float = 20) -> str:
        """The line of the log with these words, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.lines:
                if words in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"{words!r} was not said in\n" + "\n".join(self.lines))

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)

    @property
    def port(self) -> int:
        return int(re.findall(r"address=\S+?:(\d+)", self.said(" serving "))[0])

    def pids(self, name: str) -> list[int]:
        """The processes that were started by that name, oldest first."""
        return [
            int(found[1])
            for line in self.lines
            if (found := re.search(rf" started process={name} pid=(\d+)", line))
        ]

    def ask(self, body: str, seconds: float = 20) -> str:
        return self.request("POST", "/scep", body, seconds)

    def request(self, method: str, target: str, body: str = "", seconds: float = 20) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        with contextlib.closing(connection):
            connection.request(method, target, body or None)
            response = connection.getresponse()
            data = response.read().decode()
            assert response.status == 200, f"{response.status} {data}"
            return data

    def caps(self) -> str:
        return self.request("GET", "/scep?operation=GetCACaps")

    def asleep(self, number: int) -> None:
        """Wait until so many requests are under way that sleep."""
        deadline = time.monotonic() + 20
        file = self.directory / "asleep"
        while not file.exists() or file.stat().st_size < number:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.process.wait(30)

    def configure(self, **settings: str) -> None:
        configure(self.directory, **settings)


def configure(
    directory: Path,
    *,
    level: str = "info",
    server: str = "",
    profile: str = "",
    stop_timeout: str = "5s",
) -> Path:
    file = directory / "scepkit.toml"
    new = directory / "new.toml"
    new.write_text(
        CONFIG.format(level=level, server=server, profile=profile, stop_timeout=stop_timeout)
    )
    new.rename(file)
    return file


@contextlib.contextmanager
def serving(
    directory: Path,
    *,
    server: str = "",
    profile: str = "",
    stop_timeout: str = "5s",
    **environ: str,
) -> Iterator[Server]:
    config = configure(directory, server=server, profile=profile, stop_timeout=stop_timeout)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.server.scripted", str(config)],
        cwd=ROOT,
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Server(process, directory)
    assert process.stderr is not None

    def read() -> None:
        for line in process.stderr or ():
            found.lines.append(line.rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()
    assert not [line for line in found.lines if "Traceback" in line or "Warning" in line]


@contextlib.contextmanager
def load(ask: Callable[[], object], clients: int = 4) -> Iterator[list[BaseException]]:
    """Clients that ask again and again meanwhile; what went wrong for them."""
    failures: list[BaseException] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            try:
                ask()
            except Exception as error:
                failures.append(error)
                time.sleep(0.02)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        done.set()
        for thread in threads:
            thread.join()


def gone(pid: int, seconds: float = 15) -> bool:
    """Whether a process, not a child of ours, ends in that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


# ------------------------------------------------------------------ start and stop


def test_a_server_starts_its_processes_and_stops_them(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.caps() == "level info"
        workers = {int(server.ask("pid")) for _ in range(20)}
        assert workers <= {*server.pids("worker-1"), *server.pids("worker-2")}
        assert server.stop() == 0
        server.said(" stopped")
        for name in ("worker-1", "worker-2", "jobs"):
            assert gone(server.pids(name)[0])
        closed = set(map(int, (tmp_path / "closed").read_text().split()))
        assert {*server.pids("worker-1"), *server.pids("jobs")} <= closed


def test_a_stop_finishes_what_is_under_way_and_refuses_what_is_new(tmp_path: Path) -> None:
    with serving(tmp_path, SCEPKIT_SERVER__STOP_TIMEOUT="50s") as server:
        port = server.port
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.ask("wait", 50)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        server.asleep(6)
        server.signal(signal.SIGTERM)
        server.said(" stopping")
        deadline = time.monotonic() + 30
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                with contextlib.suppress(ConnectionResetError):  # it is just being closed
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                time.sleep(0.02)
        assert answers == []  # they are still under way
        (tmp_path / "awake").touch()
        for thread in threads:
            thread.join()
        assert answers == ["waited"] * 6
        assert server.process.wait(20) == 0


def test_what_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    def wait_for_ever() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            server.ask("sleep 100")

    with serving(tmp_path, SCEPKIT_SERVER__STOP_TIMEOUT="50s") as server:
        server.said(" serving ")
        thread = threading.Thread(target=wait_for_ever)
        thread.start()
        server.asleep(1)
        server.signal(signal.SIGTERM)
        server.said(" stopping")
        server.signal(signal.SIGTERM)  # a second time: at once, and not after stop_timeout
        assert server.process.wait(20) == 0
        thread.join(10)


def test_who_is_not_answered_before_a_stop_is_asked_to_come_again(tmp_path: Path) -> None:
    refused: list[str] = []

    def wait_for_ever() -> None:
        with pytest.raises(AssertionError) as found:
            server.ask("sleep 100")
        refused.append(str(found.value))

    with serving(tmp_path, stop_timeout="0s") as server:
        server.said(" serving ")
        thread = threading.Thread(target=wait_for_ever)
        thread.start()
        server.asleep(1)
        server.signal(signal.SIGTERM)
        thread.join()
        assert "503 the server stops; come again later" in refused[0]


def test_who_does_not_read_an_answer_is_no_fault_of_a_server_that_stops(tmp_path: Path) -> None:
    request = b"POST /scep HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nzeros 50000000"
    with (
        serving(tmp_path, stop_timeout="0s") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow,
    ):
        slow.sendall(request)
        assert slow.recv(12) == b"HTTP/1.1 200"  # and no more
        assert server.stop() == 0


def test_ctrl_c_is_a_stop_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.ask("echo a") == "a"
        server.signal(signal.SIGINT)
        assert server.process.wait(20) == 0


def test_what_is_to_be_thought_about_is_said_once_at_the_start(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said("serving")
        assert server.count('WARNING caution reason="it is a script"') == 1


def test_a_configuration_that_cannot_be_read_is_no_start(tmp_path: Path) -> None:
    config = configure(tmp_path, server="thread = 5")
    found = subprocess.run(
        [sys.executable, "-m", "tests.server.scripted", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 1
    assert "server.thread: there is no such setting" in found.stderr


def test_a_configuration_that_cannot_work_is_no_start(tmp_path: Path) -> None:
    with serving(tmp_path, server='node = "impossible"') as server:
        assert server.process.wait(20) == 2
        line = server.said("cannot start")
        assert 'reason="server.node: there is no such machine"' in line
        assert 'hint="name another"' in line
        assert not server.pids("worker-1")


def test_an_address_in_use_is_no_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = configure(tmp_path)
        found = subprocess.run(
            [sys.executable, "-m", "tests.server.scripted", str(config)],
            cwd=ROOT,
            env={**os.environ, "SCEPKIT_SERVER__BIND": f"127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert found.returncode == 1
    assert f"server.bind: cannot listen at 127.0.0.1:{port}: Address already in use" in found.stderr


def test_who_cannot_listen_is_told_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError) as caught:
        listen(Address("127.0.0.1", other.getsockname()[1]))
    assert "another program" in caught.value.hint
    assert str(caught.value).endswith(": Address already in use")
    with pytest.raises(ConfigError) as caught:
        listen(Address("192.0.2.1", 8080))
    assert "no such address" in caught.value.hint


def test_a_unix_socket_without_a_directory_says_what_to_make(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory") as caught:
        listen(Address(path=str(tmp_path / "not-there" / "http.sock")))
    assert "make the directory" in caught.value.hint


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    # Somebody was killed here before.
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with serving(tmp_path, SCEPKIT_SERVER__BIND=f"unix:{path}") as server:
        server.said(f"address=unix:{path}")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /scep?operation=GetCACaps HTTP/1.0\r\n\r\n")
            data = b""
            while part := connection.recv(1000):
                data += part
        assert data.endswith(b"level info")
        assert server.stop() == 0
    assert not path.exists()


def test_who_finds_a_unix_socket_in_use_leaves_it_to_whom_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as connection:
        other.bind(str(path))
        other.listen()
        found = subprocess.run(
            [sys.executable, "-m", "tests.server.scripted", str(configure(tmp_path))],
            cwd=ROOT,
            env={**os.environ, "SCEPKIT_SERVER__BIND": f"unix:{path}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert found.returncode == 1
        assert "Address already in use" in found.stderr
        connection.connect(str(path))


def test_a_server_that_stops_leaves_the_unix_socket_of_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with (
        serving(tmp_path, SCEPKIT_SERVER__BIND=f"unix:{path}") as server,
        socket.socket(socket.AF_UNIX) as following,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        server.said(" serving ")
        path.unlink()
        following.bind(str(path))
        following.listen()
        assert server.stop() == 0
        connection.connect(str(path))


def test_a_server_that_takes_long_to_stop_leaves_the_unix_socket_of_the_next_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "http.sock"
    bind, patience = f"unix:{path}", "50s"
    with (
        serving(tmp_path, SCEPKIT_SERVER__BIND=bind, SCEPKIT_SERVER__STOP_TIMEOUT=patience) as one,
        socket.socket(socket.AF_UNIX) as following,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        one.said(" serving ")
        (jobs,) = one.pids("jobs")
        os.kill(jobs, signal.SIGSTOP)
        try:
            one.signal(signal.SIGTERM)
            for worker in ("worker-1", "worker-2"):
                assert gone(one.pids(worker)[0])
            # File systems give the number of a file that is gone to the next one.
            path.unlink()
            following.bind(str(path))
            following.listen()
        finally:
            os.kill(jobs, signal.SIGCONT)
        assert one.process.wait(20) == 0
        connection.connect(str(path))


# ------------------------------------------------------------------ death


def test_a_worker_that_is_killed_under_load_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        with load(lambda: server.ask("echo x", 10)) as failures:
            for _ in range(5):
                victim = server.pids("worker-1")[-1]
                os.kill(victim, signal.SIGKILL)
                deadline = time.monotonic() + 15
                while server.pids("worker-1")[-1] == victim and time.monotonic() < deadline:
                    time.sleep(0.02)
                time.sleep(0.3)
        assert len(server.pids("worker-1")) == 6
        assert "how=SIGKILL" in server.said("ended that should not have")
        # Only what the dead ones had in hand is lost, and nobody was kept waiting.
        assert len(failures) <= 5 * 4
        assert all(isinstance(error, OSError | http.client.HTTPException) for error in failures)
        assert server.ask("echo still here") == "still here"
        assert server.stop() == 0


def test_while_all_workers_are_dead_clients_wait_and_are_served(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        for name in ("worker-1", "worker-2"):
            os.kill(server.pids(name)[0], signal.SIGKILL)
        assert server.ask("echo x") == "x"


def test_a_worker_that_hangs_holds_up_nobody_who_comes_later(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        hanging, *_ = server.pids("worker-1")
        os.kill(hanging, signal.SIGSTOP)
        try:
            assert {server.ask("pid") for _ in range(10)} == {str(server.pids("worker-2")[0])}
        finally:
            os.kill(hanging, signal.SIGCONT)
        assert server.stop() == 0


def test_a_worker_that_dies_of_a_request_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with pytest.raises((OSError, http.client.HTTPException)):
            server.ask("die")
        assert 'how="exit code 3"' in server.said("ended that should not have")
        assert server.ask("echo x") == "x"


def test_the_jobs_process_is_replaced_and_is_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said("job=broken")
        first = server.pids("jobs")[0]
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(set((tmp_path / "ticks").read_text().split())) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ticking = {int(pid) for pid in (tmp_path / "ticks").read_text().split()}
        assert ticking == set(server.pids("jobs"))


def test_processes_that_do_not_live_are_started_ever_less_often(tmp_path: Path) -> None:
    began = time.monotonic()
    with serving(tmp_path, WORKERS_DIE="1") as server:
        server.said("ended that should not have")
        while len(server.pids("worker-1")) < 5:
            assert time.monotonic() < began + 40
            time.sleep(0.05)
        # At once, and after 0.25, 0.5, 1, 2 seconds.
        assert time.monotonic() - began > 3.7
        assert server.stop() == 0


def test_without_their_supervisor_the_processes_end(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        server.process.kill()
        server.process.wait()
        for name in ("worker-1", "worker-2", "jobs"):
            assert gone(server.pids(name)[0])


# ------------------------------------------------------------------ reload


def test_a_reload_under_load_drops_no_request(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        with load(lambda: server.ask("echo x", 10)) as failures:
            for number in range(4):
                level = ("debug", "info")[number % 2]
                server.configure(level=level)
                server.signal(signal.SIGHUP)
                deadline = time.monotonic() + 15
                while server.count(" reloaded") <= number:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                assert {server.caps() for _ in range(20)} == {f"level {level}"}
        assert failures == []
        assert len(server.pids("worker-1")) == 1
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("server_lines", "reason"),
    [
        ("thread = 5", "server.thread: there is no such setting"),
        ('node = "impossible"', "server.node: there is no such machine"),
        ('replay_window = "soon"', "server.replay_window: expected a duration"),
    ],
)
def test_a_reload_that_cannot_work_changes_nothing(
    tmp_path: Path, server_lines: str, reason: str
) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        server.configure(level="debug", server=server_lines)
        server.signal(signal.SIGHUP)
        assert reason in server.said("reload failed, the old settings are kept")
        server.said("reload failed, see the log")
        assert {server.caps() for _ in range(10)} == {"level info"}
        # A process that is replaced has the old settings too.
        os.kill(server.pids("worker-1")[0], signal.SIGKILL)
        server.said("ended that should not have")
        assert {server.caps() for _ in range(10)} == {"level info"}
        server.configure(level="debug")
        server.signal(signal.SIGHUP)
        server.said(" reloaded")
        assert server.caps() == "level debug"


def test_either_all_processes_take_up_the_new_settings_or_none(tmp_path: Path) -> None:
    def abandoned() -> set[int]:
        file = tmp_path / "abandoned"
        return set(map(int, file.read_text().split())) if file.exists() else set()

    with serving(tmp_path) as server:
        server.said(" serving ")
        unwilling = server.pids("worker-2")[0]
        server.configure(level="debug", server=f'node = "impossible-for-{unwilling}"')
        server.signal(signal.SIGHUP)
        server.said("reload failed, see the log")
        assert {server.caps() for _ in range(10)} == {"level info"}
        others = {server.pids("worker-1")[0], server.pids("jobs")[0]}
        deadline = time.monotonic() + 20
        while not others <= abandoned():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.configure(level="debug")
        server.signal(signal.SIGHUP)
        server.said(" reloaded")
        assert {server.caps() for _ in range(10)} == {"level debug"}


def test_a_process_that_dies_in_a_reload_follows_the_others(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        for number in range(6):
            level = ("debug", "info")[number % 2]
            server.configure(level=level)
            server.signal(signal.SIGHUP)
            time.sleep(0.02 * number)
            os.kill(server.pids("worker-1")[-1], signal.SIGKILL)
            deadline = time.monotonic() + 20
            while server.count(" reloaded") <= number or len(server.pids("worker-1")) < number + 2:
                assert time.monotonic() < deadline, server.lines
                time.sleep(0.01)
        deadline = time.monotonic() + 20
        while {server.caps() for _ in range(20)} != {"level info"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_reloads_that_come_too_fast_are_joined(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        for number in range(20):
            server.configure(level=("debug", "info")[number % 2])
            server.signal(signal.SIGHUP)
        server.configure(level="warning")
        server.signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while {server.caps() for _ in range(20)} != {"level warning"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.said(" serving ")
        server.configure(server="threads = 5")
        server.signal(signal.SIGHUP)
        assert "setting=server.threads" in server.said("a restart is needed")
        server.said(" reloaded")


def test_limits_are_taken_up_by_a_reload(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.ask("echo " + "x" * 10_000)
        server.configure(server='max_body = "8KiB"')
        server.signal(signal.SIGHUP)
        server.said(" reloaded")
        with pytest.raises(AssertionError, match="413"):
            server.ask("echo " + "x" * 10_000)


# ------------------------------------------------------------------ together


def test_how_long_a_stop_may_take_is_taken_up_by_a_reload(tmp_path: Path) -> None:
    answers: list[str] = []
    with serving(tmp_path, stop_timeout="1s") as server:
        server.said(" serving ")
        server.configure(stop_timeout="50s")
        server.signal(signal.SIGHUP)
        server.said(" reloaded")
        thread = threading.Thread(target=lambda: answers.append(server.ask("wait", 50)))
        thread.start()
        server.asleep(1)
        server.signal(signal.SIGTERM)
        time.sleep(3)  # what one second would not have outlived
        (tmp_path / "awake").touch()
        thread.join()
        assert answers == ["waited"]
        assert server.process.wait(20) == 0


def test_all_workers_share_the_limits(tmp_path: Path) -> None:
    profile = 'rate_limit = { per_address = "1/h", address_burst = 10 }'
    with serving(tmp_path, profile=profile) as server:
        answered = 0
        for _ in range(40):
            with contextlib.suppress(AssertionError):
                server.ask("echo x")
                answered += 1
        assert answered == 10


def test_the_numbers_are_those_of_all_workers_and_never_go_back(tmp_path: Path) -> None:
    def asked() -> int:
        text = server.request("GET", "/metrics")
        found = re.findall(r'scep_requests_total\{.*op="PKIOperation".*\} (\d+)', text)
        return int(found[0]) if found else 0

    def settles_at(number: int) -> None:
        deadline = time.monotonic() + 60
        while min(asked() for _ in range(6)) != number:
            assert time.monotonic() < deadline, asked()
            time.sleep(0.1)

    def die_when_the_other_knows(pid: int, number: int) -> None:
        deadline = time.monotonic() + 60
        known = 0
        while known != number:  # it tells once a second
            assert time.monotonic() < deadline, known
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.01)
            known = asked()
        os.kill(pid, signal.SIGKILL)

    with serving(tmp_path) as server:
        for _ in range(30):
            server.ask("echo x")
        settles_at(30)
        deadline = time.monotonic() + 60
        while 'scep_jobs_total{job="broken",result="unavailable"}' not in (
            text := server.request("GET", "/metrics")
        ):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        die_when_the_other_knows(server.pids("worker-1")[0], 30)
        server.said("ended that should not have")
        settles_at(30)
        assert server.ask("echo x") == "x"
        settles_at(31)


def test_systemd_hears_how_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(path))
        notified.settimeout(20)

        def hear(words: str) -> None:
            while not any(words in message for message in heard):
                heard.append(notified.recv(1000).decode())

        with serving(tmp_path, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000") as server:
            hear("READY=1\nSTATUS=serving at 127.0.0.1:")
            assert f"MAINPID={server.process.pid}" in heard[-1]
            hear("WATCHDOG=1")
            server.signal(signal.SIGHUP)
            hear("RELOADING=1\nMONOTONIC_USEC=")
            hear("READY=1\nSTATUS=reloaded")
            server.stop()
            hear("STOPPING=1")
