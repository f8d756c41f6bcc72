"""The examples with a page, used as somebody would."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
Serve = Callable[..., Any]


def example(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_two_who_chat_and_one_elsewhere(serve: Serve, browser: Any) -> None:
    url = serve(example("chat").app).url
    anna = browser.page(f"{url}/lobby?name=anna")
    anna.until("document.body.innerText.includes('anna came in')")
    bert = browser.page(f"{url}/lobby?name=bert")
    eve = browser.page(f"{url}/elsewhere?name=eve")
    eve.until("document.body.innerText.includes('eve came in')")
    bert.until("document.body.innerText.includes('bert came in')")
    anna.until("document.body.innerText.includes('bert came in')")
    anna.run("document.querySelector('input').value = 'hello <b>'; document.querySelector('form').requestSubmit()")
    for page in (anna, bert):
        page.until("document.body.innerText.includes('anna: hello <b>')")
    bert.close()
    anna.until("document.body.innerText.includes('bert left')")
    assert "anna" not in eve.text()
    anna.close()
    eve.close()


def test_a_page_whose_figures_change_by_themselves(child: Serve, browser: Any) -> None:
    server = child("run", str(EXAMPLES / "ticker.py"), "--port", "0")
    one, two = browser.page(server.urls[0]), browser.page(server.urls[0])
    for page in (one, two):
        page.until("Number(document.querySelector('#state').dataset.seen) >= 4")
        assert page.run("[...document.querySelectorAll('td:first-child')].map(cell => cell.textContent)") == [
            "spiral", "layer", "point"
        ]  # fmt: skip
        assert page.run(
            "[...document.querySelectorAll('td + td')].every(cell => /^\\d+\\.\\d\\d$/.test(cell.textContent))"
        )
        assert page.run("[...document.querySelectorAll('td + td')].every(cell => /^(up|down)$/.test(cell.className))")
    before = one.text()
    one.until(f"document.body.innerText != {before!r}")
    assert server.end()[0] == 0
    one.until("document.querySelector('#state').textContent == 'away'")
    one.close()
    two.close()
