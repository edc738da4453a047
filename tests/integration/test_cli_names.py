"""The verbs ``key`` and ``name``: what they print, what they refuse, what they leave."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from libp2p.crypto.ecc import ECCPrivateKey
from libp2p.ipfs_lite.cli.entry import run
from libp2p.ipfs_lite.keystore import PEM, encode_key
from libp2p.ipns.name import Name
from libp2p.records.ipns_record import decode_record, make_record

FILE = "/ipfs/bafkqaddimvwgy3zao5xxe3debi"


class Terminal:
    """Runs commands in a folder of their own; remembers what they wrote."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.out = ""
        self.error = ""
        self._capture = capture

    def __call__(self, *args: object) -> int:
        code = run(["--repo", str(self.repo), *map(str, args)])
        self.out, self.error = self._capture.readouterr()
        return code

    def said(self, *args: object) -> str:
        """What a command prints that must succeed."""
        assert self(*args) == 0, self.error
        return self.out.strip()

    def fails(self, *args: object) -> str:
        """What a command complains of that must not succeed."""
        assert self(*args) == 1
        assert self.out == ""
        return self.error


@pytest.fixture
def terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path, capfd)


def test_keys_are_made_and_listed(terminal: Terminal) -> None:
    peer_id = terminal.said("id")
    site = terminal.said("key", "gen", "site")
    assert site.startswith("k51")
    wide = terminal.said("key", "gen", "wide", "--type=rsa", "-s", "3072", "--ipns-base=b58mh")
    assert wide.startswith("Qm")
    assert terminal.said("key", "gen", "third", "-t", "secp256k1").startswith("k")
    assert terminal.said("key", "list").split() == ["self", "site", "third", "wide"]
    lines = terminal.said("key", "list", "-l", "--ipns-base", "b58mh").splitlines()
    assert lines[0] == f"{peer_id} self"
    assert lines[3] == f"{wide} wide"
    listed = [json.loads(line) for line in terminal.said("key", "list", "--json").splitlines()]
    assert listed[1] == {"name": "site", "id": site}


def test_keys_travel_in_both_formats(terminal: Terminal) -> None:
    made = terminal.said("key", "gen", "site")
    assert terminal.said("key", "export", "site") == ""
    assert terminal.said("key", "export", "site", "-f", PEM) == ""
    for name in ("site.key", "site.pem"):
        assert stat.S_IMODE((terminal.folder / name).stat().st_mode) == 0o600
        assert terminal.said("key", "import", f"from {name}", terminal.folder / name) == made
    assert "is there already" in terminal.fails("key", "export", "site")
    assert terminal.said("key", "export", "site", "-o", "-", "-f", PEM).startswith("-----BEGIN")
    wrong = terminal.fails("key", "import", "x", terminal.folder / "site.key", f"--format={PEM}")
    assert "looks like libp2p-protobuf-cleartext" in wrong
    assert "identity" in terminal.fails("key", "export", "self")
    assert "identity" in terminal.fails("key", "import", "self", terminal.folder / "site.key")
    assert "'site' already" in terminal.fails("key", "import", "site", terminal.folder / "site.key")
    assert "no such file" in terminal.fails("key", "import", "x", "nowhere")


def test_openssl_reads_the_exported_key(terminal: Terminal) -> None:
    terminal.said("key", "gen", "site")
    terminal.said("key", "export", "site", "-f", PEM)
    text = subprocess.check_output(["openssl", "pkey", "-in", "site.pem", "-noout", "-text"])
    assert text.startswith(b"ED25519 Private-Key")


def test_a_key_of_a_rare_kind_must_be_asked_for(terminal: Terminal) -> None:
    (terminal.folder / "ec.pem").write_bytes(encode_key(ECCPrivateKey.new(), PEM))
    assert "--allow-any-key-type" in terminal.fails("key", "import", "ec", "ec.pem")
    terminal.said("key", "import", "ec", "ec.pem", "--allow-any-key-type")


def test_keys_are_renamed_and_removed(terminal: Terminal) -> None:
    one = terminal.said("key", "gen", "one")
    two = terminal.said("key", "gen", "two")
    assert terminal.said("key", "rename", "one", "three") == f"Key {one} renamed to three"
    assert "'two' already" in terminal.fails("key", "rename", "three", "two")
    terminal.said("key", "rename", "three", "two", "--force")
    assert terminal.said("key", "list", "-l").splitlines()[1:] == [f"{one} two"]
    assert "'nobody'" in terminal.fails("key", "rm", "two", "nobody")
    assert terminal.said("key", "rm", "two", "-l") == f"{one} two"
    assert "'two'" in terminal.fails("key", "rm", "two")
    assert "identity" in terminal.fails("key", "rm", "self")
    assert two != one


def test_a_name_is_published_and_resolved_without_a_network(terminal: Terminal) -> None:
    offline = ["--dht=off", "--bootstrap=none", "--router=none"]
    own = terminal.said("key", "list", "-l").split()[0]
    site = terminal.said("key", "gen", "site")
    assert "nobody to publish to" in terminal.fails("name", "publish", FILE, *offline)
    options = [*offline, "--allow-offline"]
    assert terminal.said("name", "publish", FILE, *options) == f"Published to {own}: {FILE}"
    assert terminal.said("name", "resolve", *offline) == FILE
    link = f"/ipns/{own}/a"
    assert terminal.said("name", "publish", link, "--key=site", "-Q", *options) == site
    assert terminal.said("name", "resolve", site, *offline) == FILE + "/a"
    assert terminal.said("name", "resolve", f"/ipns/{site}/b", "-r", *offline) == FILE + "/a/b"
    assert terminal.said("name", "resolve", site, "--recursive=false", *offline) == link
    assert terminal.said("name", "resolve", site, "--stream", "-n", *offline) == FILE + "/a"
    published = json.loads(
        terminal.said("name", "publish", FILE, "-k", site, "--sequence=9", "--json", *options)
    )
    assert published == {"name": site, "value": FILE, "sequence": 9}
    assert "above 9" in terminal.fails(
        "name", "publish", FILE, "-k", site, "--sequence=9", *options
    )
    resolved = json.loads(terminal.said("name", "resolve", site, "--json", *offline))
    assert resolved["path"] == FILE
    assert 290 < resolved["ttl"] <= 300
    missing = terminal.fails("name", "resolve", str(Name.of(ECCPrivateKey.new())), *offline)
    assert "no router to ask" in missing
    assert "no key is called 'nobody'" in terminal.fails("name", "publish", FILE, "-k", "nobody")
    assert "no name of IPNS" in terminal.fails("name", "resolve", "nothing")
    assert "no CID" in terminal.fails("name", "publish", "nothing")


def test_a_record_is_inspected(terminal: Terminal) -> None:
    key = ECCPrivateKey.new()
    name = Name.of(key)
    record = make_record(key, FILE, sequence=4, expires=4e9, ttl=60)
    (terminal.folder / "record").write_bytes(record.encoded)
    lines = terminal.said("name", "inspect", "record").splitlines()
    assert lines[:4] == [
        f"value: {FILE}",
        "validity: 2096-10-02T07:06:40Z",
        "sequence: 4",
        "ttl: 60.0",
    ]
    facts = json.loads(terminal.said("name", "inspect", "record", f"--verify={name}", "--json"))
    assert facts["valid"] is True
    assert facts["public_key"] is True
    assert decode_record(record.encoded).sequence == facts["sequence"]
    other = Name.of(ECCPrivateKey.new())
    assert terminal("name", "inspect", "record", f"--verify={other}") == 1
    assert "valid: False" in terminal.out
    assert "is not the one of" in terminal.error
    (terminal.folder / "record").write_bytes(b"nothing")
    assert "Failed to parse IPNS record" in terminal.fails("name", "inspect", "record")


def test_a_file_is_fetched_by_its_name(terminal: Terminal) -> None:
    offline = ["--dht=off", "--bootstrap=none", "--router=none"]
    (terminal.folder / "docs").mkdir()
    (terminal.folder / "docs" / "index.html").write_bytes(b"hello")
    root = terminal.said("add", "-Q", "-r", "docs")
    site = terminal.said("key", "gen", "site")
    terminal.said("name", "publish", f"/ipfs/{root}", "-k", "site", "--allow-offline", *offline)
    assert terminal.said("cat", f"/ipns/{site}/index.html", *offline) == "hello"
    assert terminal.said("cat", f"ipns://{site}/index.html", *offline) == "hello"
    assert "index.html" in terminal.said("ls", f"/ipns/{site}", *offline)
    terminal.said("get", f"/ipns/{site}/index.html", "-o", "copy.html", *offline)
    assert (terminal.folder / "copy.html").read_bytes() == b"hello"
    terminal.said("get", f"/ipns/{site}", *offline)
    assert (terminal.folder / site / "index.html").read_bytes() == b"hello"
    # A name that is not the first one needs a network too.
    page = f"/ipns/{site}/index.html"
    cid = terminal.said("pin", "add", root, page, *offline).split()[-2]
    other = terminal.said("add", "-Q", "--pin=false", "copy.html", "--raw-leaves=false")
    assert terminal.said("pin", "update", page, other, *offline) == f"updated {cid} to {other}"
    assert terminal("cat", "/ipns/nothing") == 2
    assert "no name of IPNS and no domain" in terminal.error
