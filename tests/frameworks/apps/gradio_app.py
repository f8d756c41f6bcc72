"""A page of Gradio's, as its documentation mounts one."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio
from fastapi import FastAPI

with gradio.Blocks() as page:
    name = gradio.Textbox(label="name")
    name.change(lambda text: f"hello {text}", name, gradio.Textbox(label="greeting"), api_name="greet")

app = gradio.mount_gradio_app(FastAPI(), page, path="/")
