"""Which values Airflow is asked to mask in logs."""

from __future__ import annotations

import subprocess
import sys

import pytest

MASK = """
import logging
from airflow_provider_mlsql.operators.masks import mask_by_name
logging.basicConfig(level=logging.WARNING)
mask_by_name({values})
"""


@pytest.mark.parametrize(
    ("values", "is_warned"),
    [({"header": "true", "sep": ",", "mode": "overwrite", "spark.x.password": "a long one"}, False), ({"password": "abc"}, True)],
)
def test_airflow_warns_of_short_secrets_only(values: dict[str, str], is_warned: bool) -> None:
    done = subprocess.run([sys.executable, "-c", MASK.format(values=values)], capture_output=True, text=True, check=True)
    assert ("too short" in done.stdout + done.stderr) == is_warned
