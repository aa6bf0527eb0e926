"""How much memory it takes to save a model, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

SAVE = """
import json
import pickle
import mlsql_model
import numpy as np

def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))

class Model:
    pass

model = Model()
model.weights = np.ones((4096, 8192))  # 256 MiB
model.columns = np.asfortranarray(model.weights[:, :512])
before = most()
mlsql_model.sk_save_model(model)
saved = most()
pickle.dumps(model, protocol=5)
print(json.dumps([saved - before, most() - saved]))
"""


def test_large_arrays_are_saved_without_a_second_copy(run: Callable[..., Any]) -> None:
    ran = run(SAVE)
    assert ran.outcome.problem is None, ran.lines
    saving, a_copy = json.loads(ran.lines[-1])
    assert a_copy > 200  # MiB: so a copy would have been seen
    assert saving < 20
