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
