"""py-libp2p's `setup_logging`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from libp2p.utils import logging as libp2p_logging
from libp2p.utils.logging import cleanup_logging, setup_logging

ROOT = logging.getLogger("libp2p")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> object:
    level = ROOT.level
    yield
    for name in ("LIBP2P_DEBUG", "LIBP2P_DEBUG_FILE"):
        monkeypatch.delenv(name, raising=False)
    setup_logging()
    ROOT.setLevel(level)


def test_the_environment_says_what_is_logged_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs" / "libp2p.log"
    monkeypatch.setenv("LIBP2P_DEBUG", "identity/identify:DEBUG, libp2p.dns:warning, odd, a:LOUD")
    monkeypatch.setenv("LIBP2P_DEBUG_FILE", str(path))
    setup_logging()
    assert ROOT.level == logging.INFO
    assert logging.getLogger("libp2p.identity.identify").level == logging.DEBUG
    assert logging.getLogger("libp2p.dns").level == logging.WARNING
    logging.getLogger("libp2p.identity.identify").debug("asked")
    logging.getLogger("libp2p.dns").info("not this one")
    monkeypatch.setenv("LIBP2P_DEBUG", "")
    setup_logging()
    assert path.read_text().count("\n") == 1
    assert "DEBUG libp2p.identity.identify: asked" in path.read_text()
    assert logging.getLogger("libp2p.dns").level == logging.NOTSET
    assert ROOT.level == logging.WARNING
    assert ROOT.propagate


def test_a_file_is_made_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBP2P_DEBUG", "debug")
    setup_logging()
    path = Path(capsys.readouterr().err.split()[-1])
    ROOT.debug("hello")
    monkeypatch.setenv("LIBP2P_DEBUG", "nonsense")
    setup_logging()
    assert "hello" in path.read_text()
    path.unlink()


def test_records_beyond_the_queues_limit_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libp2p_logging.log_queue, "maxsize", 1)
    monkeypatch.setenv("LIBP2P_DEBUG", "debug")
    monkeypatch.setenv("LIBP2P_DEBUG_FILE", str(tmp_path / "log"))
    setup_logging()
    listener = libp2p_logging._current_listener
    assert listener is not None
    listener.stop()
    for number in range(3):
        ROOT.debug("%d", number)
    assert libp2p_logging.log_queue.qsize() == 1
    libp2p_logging.log_queue.get_nowait()
    listener.start()


def test_what_was_set_up_can_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBP2P_DEBUG", "DEBUG")
    monkeypatch.setenv("LIBP2P_DEBUG_FILE", str(tmp_path / "log"))
    before = list(ROOT.handlers)
    setup_logging()
    assert ROOT.handlers != before
    ROOT.debug("written")
    cleanup_logging()
    assert ROOT.handlers == before
    assert "DEBUG libp2p: written" in (tmp_path / "log").read_text()
