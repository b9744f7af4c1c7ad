"""What happens with and without a hub."""

import datasets
import huggingface_hub
import huggingface_hub.constants
import pytest

from cola_search.tasks import hub


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    hub.reachable.cache_clear()


def test_offline_mode_is_believed_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: pytest.fail("asked"))
    assert hub.reachable() is False


@pytest.mark.parametrize("answers", [True, False])
def test_the_hub_is_asked_once_with_a_short_patience(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    asked: list[float] = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            asked.append(timeout)
            if not answers:
                raise OSError("no route")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    assert [hub.reachable(), hub.reachable()] == [answers, answers]
    assert asked == [hub.SECONDS]


def test_without_a_hub_the_libraries_look_into_their_caches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda: False)
    with hub.offline_unless_reachable():
        assert datasets.config.HF_HUB_OFFLINE is True
    assert datasets.config.HF_HUB_OFFLINE is False


def test_a_gated_data_set_says_how_to_get_access() -> None:
    said = hub.failure("gpqa", "Idavidrein/gpqa", ValueError("Dataset 'x' is a gated dataset on the Hub."))
    assert "gated" in said and "HF_TOKEN" in said and "\n" not in said


def test_no_network_is_one_sentence_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    said = hub.failure("xquad", "google/xquad", ConnectionError("a\nb\nc"))
    assert "task.name=xquad" in said and "cannot be reached" in said and "\n" not in said


def test_without_a_hub_a_gated_data_set_says_how_to_get_access_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    said = hub.failure("gpqa", "Idavidrein/gpqa", ConnectionError("a"))
    assert "cannot be reached" in said and "gated" in said and "hf auth login" in said and "\n" not in said
    assert "gated" not in hub.failure("xquad", "google/xquad", ConnectionError("a"))
