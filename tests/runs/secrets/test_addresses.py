"""Passwords and tokens of addresses are hidden, even if they stand in the file."""

import pytest

from dbgsom_core.config import load_experiment, parse_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.privacy import masked, redaction

DIRECT = {
    "http://alice:hun/ter2@127.0.0.1:9": "hun/ter2",
    "http://alice:hun@ter2/x@127.0.0.1:9": "ter2",
    "http://127.0.0.1:9/?token=tokenofalice": "tokenofalice",
    "http://127.0.0.1:9/?a=1&access_token=tokenofalice#x": "tokenofalice",
}


@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_stand_in_the_file_are_hidden(
    tmp_path, uri, dbgsom, written, leaks, small
):
    (tmp_path / "c.yaml").write_text(small.replace("tracking: []", ""))
    _, said = dbgsom(tmp_path, "run", "c.yaml", "--set", f'tracking={{name: mlflow, uri: "{uri}"}}')
    places = written(tmp_path, but=["c.yaml"]) | {"said": said}
    assert "127.0.0.1:9" in said
    assert "***" in said
    assert not leaks(places, DIRECT[uri])


@pytest.mark.parametrize("word", ["seed=", "tracking.uri="])
@pytest.mark.parametrize("uri", DIRECT)
def test_passwords_and_tokens_that_were_typed_are_hidden(tmp_path, uri, word, dbgsom, small):
    (tmp_path / "c.yaml").write_text(small)
    with pytest.raises(ConfigError) as raised:
        load_experiment(tmp_path / "c.yaml", [f"{word}{uri}"])
    code, said = dbgsom(tmp_path, "validate", "c.yaml", "--set", f"{word}{uri}")
    assert code == 2
    assert "***" in said
    assert DIRECT[uri] not in said + str(raised.value)


def test_a_password_from_the_environment_is_kept_as_its_reference(secret):
    uri = "http://alice:${env:T}@h"
    values = {"experiment": "x", "dataset": "blobs", "tracking": {"name": "mlflow", "uri": uri}}
    made = parse_experiment(values)
    assert made.tracking[0][1].uri == f"http://alice:{secret}@h"
    with redaction(made.secrets):
        assert masked(made.resolved)["tracking"][0]["uri"] == uri
        assert masked(made.tracking[0][1].uri) == uri


def test_the_view_that_an_address_of_mlflow_opens_is_no_secret():
    address = "http://h/#/experiments/1/runs?mode=a&viewStateShareKey=dbgsom&api_key=mine"
    assert masked(address) == address.replace("mine", "***")
