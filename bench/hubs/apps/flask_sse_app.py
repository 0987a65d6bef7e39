"""flask-sse as its README shows it; Redis is at REDIS_URL."""

from __future__ import annotations

import os

from flask import Flask, request
from flask_sse import sse

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ["REDIS_URL"]
app.register_blueprint(sse, url_prefix="/sub")


@app.post("/pub")
def pub():
    sse.publish(request.get_data(cache=False).decode())
    return "", 204
