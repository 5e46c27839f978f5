"""The Hugging Face Hub, played by a server on this machine."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_the_token_of_the_test"
# What the Hub keeps elsewhere: asking for it leads to another host.
LARGE = (".safetensors", ".bin")


@dataclass
class Repository:
    """What the Hub knows of a repository.

    Attributes:
        folder: its files.
        refuses: how it answers whoever has no token: `private` or `gated`; or anybody: `disabled`, `broken`
            or `cut`.
        revisions: that it has; all are the commit SHA.
        private: whether only some may see it.
    """

    folder: Path
    refuses: str | None = None
    revisions: tuple[str, ...] = ("main", SHA, "v1.0", "refs/pr/1")
    private: bool = False

    def names(self):
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())


@dataclass
class Hub:
    """Its repositories, by kind and name; names that were given up; and what was asked of it.

    Whoever has the token may make repositories below `made`, and upload to them.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    asked: list[str] = field(default_factory=list)
    made: Path | None = None
    # Large files that have been uploaded, by their hash.
    large_files: dict[str, bytes] = field(default_factory=dict)
    # Whether what was asked of the host of large files came with a token.
    told: list[bool] = field(default_factory=list)
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @contextmanager
    def running(self):
        hub, large = _Server(_Handler, self), _Server(_Large, self)
        self.port, self.large = hub.server_port, f"http://localhost:{large.server_port}"
        try:
            yield self
        finally:
            for server in (hub, large):
                server.shutdown()
                server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler, hub):
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        """A client that gives up is no news."""


class _Base(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    do_HEAD = do_GET

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def send(self, code, body=b"{}", **headers):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Large(_Base):
    """The host of large files; their addresses are signed, so it needs no token."""

    def do_PUT(self):
        content = self.body()
        self.server.hub.large_files[hashlib.sha256(content).hexdigest()] = content
        self.send(200)

    def answer(self):
        self.server.hub.told.append("Authorization" in self.headers)
        self.send(200, Path(unquote(urlsplit(self.path).path)).read_bytes())


class _Handler(_Base):
    def answer(self):
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path).removeprefix(hub.prefix).strip("/")
        hub.asked.append(f"{self.command} {path}")
        api = path.startswith("api/")
        parts = path.removeprefix("api/models/").split("/")
        if api and path.startswith("api/datasets/"):
            parts = path.removeprefix("api/").split("/")
        size = 3 if parts[0] == "datasets" else 2
        name, rest = "/".join(parts[:size]), parts[size:]
        if name in hub.renamed:
            # Without a host, as the Hub does.
            return self.send(307, Location=self.path.replace(name, hub.renamed[name]))
        repository = hub.repositories.get(name)
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            return self.send(401, X_Error_Message="Invalid credentials in Authorization header")
        if repository is None or (repository.refuses == "private" and given is None):
            # Whoever has no token is not told whether it is there.
            return self.send(404 if given else 401, X_Error_Code="RepoNotFound")
        if not rest and api:
            return self.json({"id": name, "sha": SHA, "private": repository.private, "siblings": []})
        if repository.refuses == "broken":
            return self.send(500, b"")
        if repository.refuses == "disabled":
            return self.send(403, X_Error_Message="Access to this resource is disabled.")
        revision = "/".join(rest[1:]) if rest[0] == "revision" else rest[1]
        if revision not in repository.revisions:
            return self.send(404, X_Error_Code="RevisionNotFound")
        if rest[0] == "revision":
            files = [{"rfilename": file} for file in repository.names()]
            return self.json({"id": name.removeprefix("datasets/"), "sha": SHA, "siblings": files})
        if rest[0] == "tree":
            return self.json([self.entry(repository.folder, file) for file in repository.names()])
        if repository.refuses == "gated" and given is None:
            return self.send(401, X_Error_Code="GatedRepo")
        return self.file(repository, "/".join(rest[2:]))

    def do_POST(self):
        """What an upload asks for, in its order: repository, card, kinds of files, large files, commit."""
        hub, content = self.server.hub, self.body()
        path = unquote(urlsplit(self.path).path).removeprefix(hub.prefix).strip("/")
        hub.asked.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" or hub.made is None:
            return self.send(401, X_Error_Message="Invalid username or password.")
        if path.endswith(".git/info/lfs/objects/batch"):
            actions = {"upload": {"href": f"{hub.large}/upload"}}
            objects = [{**asked, "actions": actions} for asked in json.loads(content)["objects"]]
            return self.json({"transfer": "basic", "objects": objects})
        match path.removeprefix("api/").split("/"):
            case ["repos", "create"]:
                return self.create(json.loads(content))
            case ["validate-yaml"]:
                head = yaml.safe_load(json.loads(content)["content"].split("---\n")[1])
                wrong = [{"message": "tags must be a list"}] if not isinstance(head["tags"], list) else []
                return self.send(
                    400 if wrong else 200, json.dumps({"errors": wrong, "warnings": []}).encode()
                )
            case ["models", _, _, "preupload", "main"]:
                files = [
                    {
                        "path": asked["path"],
                        "uploadMode": "lfs" if asked["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                    }
                    for asked in json.loads(content)["files"]
                ]
                return self.json({"files": files})
            case ["models", owner, name, "commit", "main"]:
                return self.commit(f"{owner}/{name}", [json.loads(line) for line in content.splitlines()])
        return self.send(404)

    def create(self, asked):
        hub, name = self.server.hub, f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            return self.send(403, X_Error_Message="You don't have the rights to create a model there.")
        if name in hub.repositories:
            return self.send(409, json.dumps({"url": f"{hub.url}/{name}"}).encode())
        folder = hub.made / name
        folder.mkdir(parents=True)
        hub.repositories[name] = Repository(folder, private=asked.get("visibility") == "private")
        return self.json({"url": f"{hub.url}/{name}", "id": name})

    def commit(self, name, lines):
        hub = self.server.hub
        for line in lines:
            value = line["value"]
            place = hub.repositories[name].folder / value.get("path", "")
            if line["key"] == "file":
                place.write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                place.write_bytes(hub.large_files[value["oid"]])
            elif line["key"] == "deletedFile":
                place.unlink()
        url = f"{hub.url}/{name}/commit/{SHA}"
        return self.json({"commitUrl": url, "commitOid": SHA})

    def file(self, repository, name):
        path = repository.folder / name
        if not path.is_file():
            return self.send(404, X_Error_Code="EntryNotFound")
        content = path.read_bytes()
        if repository.refuses == "cut" and self.command == "GET":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if path.suffix in LARGE:
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            there = f"{self.server.hub.large}{path}"
            return self.send(
                302,
                X_Repo_Commit=SHA,
                X_Linked_Etag=etag,
                X_Linked_Size=str(len(content)),
                Location=there,
            )
        return self.send(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=SHA)

    def json(self, value):
        self.send(200, json.dumps(value).encode(), Content_Type="application/json")

    @staticmethod
    def entry(folder, name):
        content = (folder / name).read_bytes()
        entry = {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }
        if name.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry


def elsewhere(script, argument, home, url, **variables):
    """What a Python script prints as lines of JSON, in a process whose Hub is at `url`.

    It needs one of its own, as huggingface_hub reads its settings when it is imported.

    Args:
        argument: is given to it as JSON.
        home: the folder of the Hub's cache.

    Returns:
        The lines; and all that it printed besides.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.lower().endswith("_proxy") and not key.startswith(("HF_", "HUGGING"))
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(argument),
        env={**kept, "HF_ENDPOINT": url, "HF_HOME": str(home), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr
