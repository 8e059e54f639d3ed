"""Commands as a person types them."""

import json
import subprocess
import sys


def upnext(*arguments, env=None):
    return subprocess.run([sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True, env=env, timeout=120)


def test_help_lists_every_command():
    shown = upnext("--help")
    assert shown.returncode == 0
    for command in ("demo", "train", "serve", "simulate", "evaluate", "release", "doctor"):
        assert command in shown.stdout


def test_help_imports_nothing_heavy():
    probe = "import sys, cli.main; print([m for m in ('torch', 'polars', 'faiss', 'pyarrow', 'fastapi') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_doctor_reports_each_part(tmp_path):
    shown = upnext("doctor", "--json", str(tmp_path / "doctor.json"))
    report = json.loads((tmp_path / "doctor.json").read_text())
    assert shown.returncode == 0, shown.stderr
    assert {"Python", "torch", "torchrec", "FAISS", "Redis", "disk", "memory"} <= {check["name"] for check in report["checks"]}


def test_errors_are_plain_words():
    shown = upnext("train", "--source", "recbole", "--path", "/nonexistent")
    assert shown.returncode == 2
    assert "/nonexistent" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_misspelt_override_names_the_nearest_key():
    shown = upnext("train", "--set", "towers.dimm=8")
    assert shown.returncode == 2
    assert "did you mean 'dim'" in shown.stderr
