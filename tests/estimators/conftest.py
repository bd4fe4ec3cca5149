"""Model files as somebody else wrote them."""

import json

import numpy as np
import pytest


@pytest.fixture
def rewrite():
    """Change header and arrays of a file; return its path."""

    def write(path, change):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(bytes(arrays.pop("header")))
        change(header, arrays)
        np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
        return path

    return write
