"""An imitation of the W&B server, as far as wandb-core and `wandb sync` ask it: runs, and the lines of their history.

A line that is sent again to a place where there is one replaces it, as W&B's file stream does; a run that is begun
again goes on behind the lines that there are. Pictures, files and artifacts are not kept.
"""

import gzip
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ME = {"id": "e", "name": "me"}


@dataclass
class Kept:
    """What the server has of a run."""

    lines: list[str] = field(default_factory=list)
    config: str = "{}"
    exit: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of the history, in order."""
        return [json.loads(line) for line in self.lines]


class Server(ThreadingHTTPServer):
    """A server on the loopback address; while it is `down` it answers that it is."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, Kept] = {}
        self.down = False
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def env(self) -> dict[str, str]:
        """The environment of somebody who is logged in here."""
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": url, "WANDB_MODE": "online"}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What GraphQL would."""
        name = variables.get("name", "")
        if "upsertBucket" in query:
            inserted = name not in self.runs
            run = self.runs.setdefault(name, Kept())
            run.config = variables.get("config") or run.config
            project = {"id": "p", "name": variables.get("project"), "entity": ME}
            bucket = {"id": "b", "name": name, "displayName": name, "description": "", "sweepName": None}
            known = {"config": run.config, "project": project, "historyLineCount": len(run.lines)}
            return {"upsertBucket": {"bucket": bucket | known, "inserted": inserted}}
        if "RunResumeStatus" in query:
            return {"model": {"id": "p", "name": variables["project"], "entity": ME, "bucket": self._resumed(name)}}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        if "viewer" in query:
            nobody = {"email": "", "username": "me", "teams": {"edges": []}, "flags": "{}"}
            return {"viewer": {"id": "u", "entity": "me", **nobody}}
        return {}

    def receive(self, name: str, content: dict[str, Any]) -> None:
        """Take a piece of a run's files."""
        run = self.runs.setdefault(name, Kept())
        piece = (content.get("files") or {}).get("wandb-history.jsonl")
        if piece:
            run.lines[piece["offset"] : piece["offset"] + len(piece["content"])] = piece["content"]
        if content.get("complete"):
            run.exit = content.get("exitcode")

    def _resumed(self, name: str) -> dict[str, Any] | None:
        run = self.runs.get(name)
        if run is None:
            return None
        counts = {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(run.lines)}
        tails = {"historyTail": json.dumps(run.lines[-1:]), "eventsTail": "[]", "summaryMetrics": "{}"}
        rest = {"config": run.config, "tags": [], "wandbConfig": '{"t": 1}', "displayName": name}
        return {"id": "b", "name": name, **counts, **tails, **rest}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.down:
            return self._answer({}, 503)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        content = json.loads(body)
        if self.path.endswith("/graphql"):
            data = self.server.answer(content["query"], content.get("variables") or {})
            return self._answer({"data": data} if data else {"errors": [{"message": "not imitated"}]})
        if self.path.endswith("/file_stream"):
            self.server.receive(self.path.split("/")[-2], content)
        self._answer({})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
