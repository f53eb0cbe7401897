"""Stands in for a service: answers every probe, on the port that is its own by the part's name.

Run by itself, `python standin.py` is a `handsent up` whose services are stand-ins.
"""

import http.server
import json
import os

PORT_SETTINGS = {"simulator": "CARRIER_PORT", "send-intake": "INTAKE_PORT"}


class Probes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"lag": 7, "stuck": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(part: str) -> None:
    port = int(os.environ[PORT_SETTINGS[part]])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Probes).serve_forever()


def supervise() -> None:
    from handsent.parts import Service
    from handsent.settings import StackSettings
    from handsent.up import run
    from kernel.settings import load

    simulator = Service("simulator", "standin", "CARRIER_PORT", "/healthz", layer=2)
    run(load(StackSettings), [simulator, Service("send-intake", "standin", "INTAKE_PORT")])


if __name__ == "__main__":
    part = os.environ.get("HANDSENT_PART")
    serve(part) if part else supervise()
