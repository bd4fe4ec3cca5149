"""In which forms a value is known, and who hides it how long."""

import subprocess
from pathlib import Path
from shlex import quote

import pytest

from dbgsom_core.config import parse_experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.privacy import Secrets, hiding, masked, shell_word


def test_what_one_run_hides_another_may_show(made, secret, dbgsom, run_of):
    run_of(made)
    assert masked(secret) == secret
    assert dbgsom(Path.cwd(), "validate", f"{secret}.yaml")[1].startswith(f"{secret}.yaml")


@pytest.mark.parametrize(
    ("held", "text", "shown"),
    [
        ("hunter-2", "xhunter-2x", "x${env:T}x"),
        ("hunt", "the hunt, hunter", "the ${env:T}, hunter"),
        ("abc", "abc and 'abc'", "abc and '${env:T}'"),
        ("true", "true of 'true'", "true of '${env:T}'"),
        ("7", "7 of 17, epochs=7, '7'", "7 of 17, epochs=${env:T}, '${env:T}'"),
        ("5e3", "most=5000", "most=${env:T}"),
        ("a b/c+d&efgh", "?x=a%20b/c%2Bd%26efgh", "?x=${env:T}"),
        ("p%40ssword", "of p@ssword", "of ${env:T}"),
        ('tab\tand"quote', 'is {"x": "tab\\tand\\"quote"}', 'is {"x": "${env:T}"}'),
        ("a<b>c&d-ef", "<p>a&lt;b&gt;c&amp;d-ef</p>", "<p>${env:T}</p>"),
        ("cell|of|alice", "| cell\\|of\\|alice |", "| ${env:T} |"),
        ("a-long-token-of-alice-and-bob", "'a-long-token-of-alice...", "'${env:T}..."),
        ("http://u:pass@host-of-alice/p", "HTTP(host='host-of-alice')", "HTTP(host='${env:T}')"),
        ("gausian", "unknown 'gausian'; did you mean 'gaussian'?", "unknown '${env:T}'"),
        ("env:", "of ${env:T}", "of ${env:T}"),
        ("", "any text", "any text"),
    ],
)
def test_a_value_is_hidden_in_every_form(held, text, shown):
    secrets = Secrets()
    secrets.add(held, "${env:T}")
    with hiding(secrets):
        assert masked([{"key": text}]) == [{"key": shown}]
        assert masked(shown) == shown
    error = DbgsomError(text)
    with pytest.raises(DbgsomError), hiding(secrets):
        raise error
    assert str(error) == shown


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("hunter-of-alice", '"$T"'),
        ("sqlite:///hunter-of-alice.db", 'sqlite:///"$T".db'),
        ("a b/hunter-of-alice/`id` $HOME'\"", "'a b/'\"$T\"" + quote("/`id` $HOME'\"")),
        ("http://h:1/ of-somebody-else", '\'http://h:1/ \'"${S:-sqlite:///a \\"b\\$\\`.db}"'),
        ("plain", "plain"),
        ("", "''"),
    ],
)
def test_a_shell_fills_the_references_of_a_command(text, word):
    held = {"T": "hunter-of-alice", "S": "of-somebody-else"}
    secrets = Secrets()
    secrets.add(held["T"], "${env:T}")
    secrets.add(held["S"], '${env:S:-sqlite:///a "b$`.db}')
    with hiding(secrets):
        assert shell_word(text) == word
    assert said_by_shell(word, held) == text
    if "${S:-" in word:
        assert said_by_shell(word, {}) == 'http://h:1/ sqlite:///a "b$`.db'


def said_by_shell(word, environment):
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {word}"], env=environment, capture_output=True, text=True
    )
    assert not done.stderr
    return done.stdout


def test_a_value_that_is_the_default_is_no_secret(monkeypatch):
    uri = "sqlite:///of-alice.db"
    monkeypatch.setenv("STORE", uri)
    tracking = {"name": "mlflow", "uri": f"${{env:STORE:-{uri}}}"}
    made = parse_experiment({"experiment": "x", "dataset": "blobs", "tracking": tracking})
    with hiding(made.secrets):
        assert f"--backend-store-uri {uri}\n" in masked(made.tracking[0][1].how_to_open())
