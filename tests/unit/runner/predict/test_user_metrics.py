from __future__ import annotations

from prometheus_client import REGISTRY, Counter

from penstock_runner.predict.user_metrics import user_metrics
from penstock_testing.asgi_call import ask, echo, make_app


def test_metrics_of_the_model_are_shown_and_those_of_the_library_are_not() -> None:
    counter = Counter("words_spoken", "Words.")
    try:
        counter.inc(3)
        for _ in range(2):
            text = bytes(user_metrics().body).decode()
            assert "words_spoken_total 3.0" in text
            assert "python_info" not in text and "process_cpu" not in text
    finally:
        REGISTRY.unregister(counter)


def test_they_are_at_the_path_of_a_truss_server() -> None:
    app = make_app(predict=echo)
    for path in ("/metrics", "/metrics/"):
        answer = ask(app, path, method="GET", body=b"")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
