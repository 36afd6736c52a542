"""A stand-in of the Hugging Face Hub: the endpoints that `huggingface_hub` uses, in a thread.

It keeps repositories as commits (hash -> files) with branches and tags, takes large files by the
LFS protocol and the rest inline, serves both with the headers that the client's cache works by, and
answers 401, 403, 404, 409 and 412 with the error codes of the real one. Xet is not offered. Faults
can be injected: a connection that breaks, a byte that changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (".safetensors", ".mp4")


@dataclass
class Repo:
    """Commits, and what points to them."""

    owner: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")

    def commit(self, ref: str, files: dict[str, bytes], message: str) -> str:
        """Let a branch, or a pull request's reference, point to these files."""
        told = json.dumps([len(self.commits), message, sorted(files)]).encode()
        oid = hashlib.sha1(told + b"".join(files[name] for name in sorted(files))).hexdigest()
        self.commits[oid], self.branches[ref] = dict(files), oid
        self.messages.append(message)
        return oid

    def find(self, revision: str) -> str | None:
        known = {oid: oid for oid in self.commits} | self.branches | self.tags
        return known.get(revision)


@dataclass
class Hub:
    """The state of the server, for tests to look at and to change."""

    repos: dict[str, Repo] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=lambda: {"hf_me": "me", "hf_other": "other"})
    """Token -> name."""
    large: dict[str, bytes] = field(default_factory=dict)
    """sha256 -> content."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of each."""
    breaks: list[tuple[str, int]] = field(default_factory=list)
    """(end of a file's name, bytes after which the connection breaks), used up one by one."""
    damaged: set[str] = field(default_factory=set)
    """Files whose last byte is wrong on its way."""
    before_commit: Callable[[], None] = lambda: None
    """Runs while a commit is on its way."""
    url: str = ""

    def served(self) -> list[str]:
        """Names of files whose content was fetched, in order of name."""
        paths = [path for method, path in self.requests if method == "GET"]
        found = [re.search(r"/(?:resolve|lfs)/[^/]+/(.+)", path) for path in paths]
        return sorted({unquote(match[1]) for match in found if match})


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._route()

    def do_HEAD(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        self._route()

    def _route(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append((self.command, parts.path))
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer and bearer not in self.hub.users:
            told = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self._send(401, {"error": "Invalid credentials"}, told)
        self.user = self.hub.users.get(bearer)
        model = r"/api/models/([^/]+/[^/]+)"
        for method, pattern, handle in (
            ("GET", "/api/whoami-v2", self._whoami),
            ("POST", "/api/repos/create", self._create),
            ("POST", "/api/validate-yaml", self._validate),
            ("GET", model, self._info),
            ("GET", model + "/revision/([^/]+)", self._info),
            ("GET", model + "/tree/([^/]+)", self._tree),
            ("GET", model + "/refs", self._refs),
            ("POST", model + "/branch/([^/]+)", self._branch),
            ("POST", model + "/preupload/([^/]+)", self._preupload),
            ("POST", model + "/commit/([^/]+)", self._commit),
            ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            ("PUT", "/lfs/([0-9a-f]{64})", self._store),
            ("GET", "/lfs/([0-9a-f]{64})/(.+)", self._large),
            ("GET", "/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ):
            match = re.fullmatch(pattern, parts.path)
            if match and method == self.command.replace("HEAD", "GET"):
                return handle(*map(unquote, match.groups()))
        self._send(404, {"error": f"the stand-in has no {self.command} {self.path}"})

    # Accounts and repositories

    def _whoami(self) -> None:
        self._send(200, {"name": self.user}) if self.user else self._send(401, {})

    def _create(self) -> None:
        told = json.loads(self.body)
        owner = told["organization"] or self.user
        if self.user is None:
            return self._send(401, {"error": "log in"})
        if owner != self.user:
            return self._send(403, {"error": "no right"}, {"X-Error-Message": "no right"})
        name = f"{owner}/{told['name']}"
        status = 409 if name in self.hub.repos else 200
        if status == 200:
            self.hub.repos[name] = Repo(owner, private=told.get("visibility") == "private")
        self._send(status, {"url": f"{self.hub.url}/{name}", "name": name})

    def _repo(self, name: str, *, write: bool = False) -> Repo | None:
        """The repository, or None where the answer is already sent."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.user != repo.owner):
            status = 404 if self.user else 401
            told = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._send(status, {"error": "Repository not found"}, told)
            return None
        if write and self.user != repo.owner:
            self._send(403, {"error": "no right"}, {"X-Error-Message": "no right"})
            return None
        return repo

    def _at(self, repo: Repo, revision: str) -> str | None:
        oid = repo.find(revision)
        if oid is None:
            told = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
            self._send(404, {"error": "Invalid rev id"}, told)
        return oid

    def _info(self, name: str, revision: str = "main") -> None:
        if (repo := self._repo(name)) and (oid := self._at(repo, revision)):
            files = [{"rfilename": path} for path in repo.commits[oid]]
            self._send(200, {"id": name, "sha": oid, "private": repo.private, "siblings": files})

    def _tree(self, name: str, revision: str) -> None:
        if (repo := self._repo(name)) and (oid := self._at(repo, revision)):
            entries: list[dict[str, Any]] = []
            for path, content in repo.commits[oid].items():
                entry = {
                    "type": "file",
                    "path": path,
                    "size": len(content),
                    "oid": git_oid(content),
                }
                if path.endswith(LARGE):
                    sha = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 134}
                entries.append(entry)
            self._send(200, entries)

    def _refs(self, name: str) -> None:
        if repo := self._repo(name):
            told = {
                kind: [{"name": n, "ref": f"{where}/{n}", "targetCommit": oid} for n, oid in refs]
                for kind, where, refs in (
                    ("branches", "refs/heads", repo.branches.items()),
                    ("tags", "refs/tags", repo.tags.items()),
                )
            }
            self._send(200, told | {"converts": []})

    # Uploads

    def _validate(self) -> None:
        front = re.match(r"---\n(.*?)\n---\n", json.loads(self.body)["content"], re.DOTALL)
        try:
            told = yaml.safe_load(front[1]) if front else None
            fits = isinstance(told, dict) and isinstance(told.get("tags", []), list)
        except yaml.YAMLError:
            fits = False
        errors = [] if fits else [{"message": "the metadata is not valid"}]
        self._send(200 if fits else 400, {"errors": errors, "warnings": []})

    def _branch(self, name: str, branch: str) -> None:
        if repo := self._repo(name, write=True):
            status = 409 if branch in repo.branches else 200
            repo.branches.setdefault(branch, repo.branches["main"])
            self._send(status, {})

    def _preupload(self, name: str, revision: str) -> None:
        repo = self._repo(name, write="create_pr" not in self.query)
        if repo and (oid := self._at(repo, revision)):
            there = repo.commits[oid]
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": self._oid(file["path"], there),
                }
                for file in json.loads(self.body)["files"]
            ]
            self._send(200, {"files": files})

    def _oid(self, path: str, files: dict[str, bytes]) -> str | None:
        if path not in files:
            return None
        large = path.endswith(LARGE)
        return hashlib.sha256(files[path]).hexdigest() if large else git_oid(files[path])

    def _batch(self, name: str) -> None:
        if self._repo(name):
            told = json.loads(self.body)
            assert "basic" in told["transfers"]
            objects = [
                one
                if one["oid"] in self.hub.large
                else one | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
                for one in told["objects"]
            ]
            self._send(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._send(400, {"error": "the content has another hash"})
        self.hub.large[oid] = self.body
        self._send(200, {})

    def _commit(self, name: str, revision: str) -> None:
        pull_request = "create_pr" in self.query
        repo = self._repo(name, write=not pull_request)
        self.hub.before_commit()
        if repo is None or (parent := self._at(repo, revision)) is None:
            return
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        if header["value"].get("parentCommit", parent) != parent:
            return self._send(412, {"error": "the branch has moved on"})
        files = dict(repo.commits[parent])
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
            else:
                return self._send(400, {"error": f"the stand-in has no {operation['key']}"})
        number = sum(ref.startswith("refs/pr/") for ref in repo.branches) + 1
        oid = repo.commit(
            f"refs/pr/{number}" if pull_request else revision, files, header["value"]["summary"]
        )
        told = {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid}
        if pull_request:
            told["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{number}"
        self._send(200, told)

    # Downloads

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None or (oid := self._at(repo, revision)) is None:
            return
        if repo.gated and self.user != repo.owner:
            told = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            return self._send(403 if self.user else 401, {"error": "gated"}, told)
        content = repo.commits[oid].get(path)
        headers = {"X-Repo-Commit": oid}
        if content is None:
            return self._send(404, {}, headers | {"X-Error-Code": "EntryNotFound"})
        if not path.endswith(LARGE):
            return self._content(path, content, headers | {"ETag": f'"{git_oid(content)}"'})
        sha = hashlib.sha256(content).hexdigest()
        self.hub.large[sha] = content
        headers |= {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))}
        # Content has a host of its own, which no token must reach.
        storage = self.hub.url.replace("127.0.0.1", "localhost")
        self._send(302, {}, headers | {"Location": f"{storage}/lfs/{sha}/{path}"})

    def _large(self, oid: str, path: str) -> None:
        if self.user is not None:
            return self._send(400, {"error": "the token was sent to another host"})
        self._content(path, self.hub.large[oid], {"ETag": f'"{oid}"'})

    def _content(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        if path in self.hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send_response(206 if wanted else 200)
        for key, value in (headers | {"Content-Length": str(len(content) - start)}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for number, (end, count) in enumerate(self.hub.breaks):
            if path.endswith(end):
                del self.hub.breaks[number]
                self.wfile.write(content[start : start + count])
                self.close_connection = True
                return
        self.wfile.write(content[start:])

    def _send(self, status: int, told: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        for key, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def git_oid(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer:
    """The server on a free port of this machine, while inside of it as a context manager."""

    def __enter__(self) -> Hub:
        hub = Hub()
        handler = type("BoundHandler", (Handler,), {"hub": hub})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        hub.url = f"http://127.0.0.1:{self._server.server_port}"
        return hub

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
