"""In which forms a value is known, and who hides it how long."""

import subprocess
from pathlib import Path
from shlex import quote

import pytest

from dbgsom_core.config import parse_experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.privacy import masked, redaction, register, shell_word


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
        ("a b/c+d&efgh", "?x=a%20b/c%2Bd%26efgh", "?x=${env:T}"),
        ('tab\tand"quote', 'is {"x": "tab\\tand\\"quote"}', 'is {"x": "${env:T}"}'),
        ("http://u:passphrase@h/p", "of passphrase", "of ${env:T}"),
        ("at/alice/table.csv", "no table.csv", "no ${env:T}"),
        ("gausian", "unknown 'gausian'; did you mean 'gaussian'?", "unknown '${env:T}'"),
        ("env:", "of ${env:T}", "of ${env:T}"),
        ("", "any text", "any text"),
    ],
)
def test_a_value_is_hidden_in_every_form(held, text, shown):
    secrets = {}
    register(secrets, held, "${env:T}")
    with redaction(secrets):
        assert masked([{"key": text}]) == [{"key": shown}]
        assert masked(shown) == shown
    error = DbgsomError(text)
    with pytest.raises(DbgsomError), redaction(secrets):
        raise error
    assert str(error) == shown
    assert masked(text) == text


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
    with redaction():
        register({}, held["T"], "${env:T}")
        register({}, held["S"], '${env:S:-sqlite:///a "b$`.db}')
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
    with redaction(made.secrets):
        assert f"--backend-store-uri {uri}\n" in masked(made.tracking[0][1].how_to_open())
