"""A Hugging Face Hub on this machine: as much of its HTTP API as pushing and loading repositories need.

    with LoopbackHub() as hub:
        subprocess.run(..., env=os.environ | hub.environment(home))

Repositories live in memory as a list of commits. `huggingface_hub`'s own client talks to it over real sockets.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".parquet")
TOKEN = "hf_loopback"


class LoopbackHub(ThreadingHTTPServer):
    """`repositories` maps ("models", "org/name") to its commits, each (sha, {path: bytes}), the last one first.

    While `open_for_uploads` is not set, a large file's upload waits for it, and `is_uploading` is set.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}
        self.large_files = {}
        self.open_for_uploads, self.is_uploading = threading.Event(), threading.Event()
        self.open_for_uploads.set()
        self.lock = threading.Lock()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home, token=TOKEN):
        """What a process needs to take this for the Hub; `home` is its cache."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": token,
            "HF_HOME": str(home),
            "HF_DATASETS_CACHE": f"{home}/datasets",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def files(self, repo_id, kind="models"):
        """The files of the newest commit: {path: bytes}."""
        return self.repositories[kind, repo_id][0][1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class Refusal(Exception):
    """A response other than 200; the client distinguishes them by `code`."""

    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


REPOSITORY = r"/api/(?P<kind>models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
FILES = r"/(?:(?P<kind>datasets)/)?(?P<repo_id>[^/]+/[^/]+?)"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("POST", "/api/repos/create", "create"),
        ("POST", "/api/validate-yaml", "validate_card"),
        ("POST", REPOSITORY + "/preupload/(?P<revision>[^/]+)", "choose_upload_modes"),
        ("POST", FILES + r"\.git/info/lfs/objects/batch", "offer_uploads"),
        ("PUT", "/large-files/(?P<oid>[0-9a-f]{64})", "store_large_file"),
        ("POST", REPOSITORY + "/commit/(?P<revision>[^/]+)", "commit"),
        ("GET", REPOSITORY + "(?:/revision/(?P<revision>[^/]+))?", "describe"),
        ("GET", REPOSITORY + "/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", "list_tree"),
        ("POST", REPOSITORY + "/paths-info/(?P<revision>[^/]+)", "describe_paths"),
        ("GET", FILES + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "serve_file"),
        ("HEAD", FILES + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "serve_file"),
    )

    def respond(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        try:
            handle, fields = self.route(unquote(address.path))
            # Reading is free, and an upload's address is its permission, as the Hub's signed ones are.
            writes = self.command == "POST" and handle in (self.create, self.commit)
            if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refusal(401, "Unauthorized")
            if handle == self.store_large_file and not self.server.open_for_uploads.is_set():
                self.server.is_uploading.set()
                self.server.open_for_uploads.wait()
            with self.server.lock:
                handle(**fields)
        except Refusal as refusal:
            self.send(refusal.status, b"{}", {"X-Error-Code": refusal.code})

    def route(self, path):
        for method, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                fields = match.groupdict()
                return getattr(self, name), fields | ({"kind": fields["kind"] or "models"} if "kind" in fields else {})
        raise Refusal(404, "EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = respond

    # Pushing

    def create(self):
        request = json.loads(self.body)
        kind, repo_id = f"{request.get('type', 'model')}s", f"{request['organization']}/{request['name']}"
        exists = (kind, repo_id) in self.server.repositories
        self.server.repositories.setdefault((kind, repo_id), [(commit_id({}), {})])
        self.send_json({"url": self.address(kind, repo_id)}, status=409 if exists else 200)

    def validate_card(self):
        self.send_json({"errors": [], "warnings": []})

    def choose_upload_modes(self, kind, repo_id, revision):
        self.find(kind, repo_id, revision)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send_json({"files": files})

    def offer_uploads(self, kind, repo_id):
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.endpoint}/large-files/{item['oid']}"}}}
            for item in json.loads(self.body)["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def store_large_file(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(422, "WrongDigest")
        self.server.large_files[oid] = self.body
        self.send_json({})

    def commit(self, kind, repo_id, revision):
        _, files = self.find(kind, repo_id, revision)
        files = dict(files)
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.large_files[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        sha = commit_id(files)
        self.server.repositories[kind, repo_id].insert(0, (sha, files))
        self.send_json({"commitUrl": f"{self.address(kind, repo_id)}/commit/{sha}", "commitOid": sha})

    # Loading

    def describe(self, kind, repo_id, revision=None):
        sha, files = self.find(kind, repo_id, revision)
        self.send_json(
            {
                "id": repo_id,
                "sha": sha,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(files)],
            }
        )

    def list_tree(self, kind, repo_id, revision, path=None):
        _, files = self.find(kind, repo_id, revision)
        prefix = f"{path}/" if path else ""
        inside = [name for name in entries(files) if name.startswith(prefix)]
        if not inside and path:
            raise Refusal(404, "EntryNotFound")
        if self.query.get("recursive", ["False"])[0].lower() != "true":
            inside = [name for name in inside if "/" not in name.removeprefix(prefix)]
        self.send_json([entry(name, files) for name in inside])

    def describe_paths(self, kind, repo_id, revision):
        _, files = self.find(kind, repo_id, revision)
        known = entries(files)
        self.send_json([entry(name, files) for name in json.loads(self.body)["paths"] if name in known])

    def serve_file(self, kind, repo_id, revision, path):
        sha, files = self.find(kind, repo_id, revision)
        if path not in files:
            raise Refusal(404, "EntryNotFound")
        content = files[path]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part is None:
            self.send(200, content, headers)
        else:  # as streaming requests
            first, last = map(int, part.groups())
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self.send(206, content[first : last + 1], headers)

    # Both

    def find(self, kind, repo_id, revision=None):
        commits = self.server.repositories.get((kind, repo_id))
        if commits is None:
            raise Refusal(404, "RepoNotFound")
        for commit in commits:
            if revision in (None, "main", commit[0]):
                return commit
        raise Refusal(404, "RevisionNotFound")

    def address(self, kind, repo_id):
        return f"{self.server.endpoint}/{'' if kind == 'models' else f'{kind}/'}{repo_id}"

    def send_json(self, content, status=200):
        self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status, content, headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *message):
        """Tests print nothing."""


def commit_id(files):
    return hashlib.sha1(repr(sorted((path, content) for path, content in files.items())).encode()).hexdigest()


def entries(files):
    """Every file and every folder that holds one."""
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
    return sorted({*files, *folders})


def entry(path, files):
    if path not in files:
        return {"type": "directory", "path": path, "oid": "0" * 40}
    content = files[path]
    described = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    if path.endswith(LFS_SUFFIXES):
        described["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return described
