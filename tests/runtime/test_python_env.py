"""The Python of a training as a version keeps it, and as other statements take it over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlsql_runtime.plan import PythonEnv

FULL = PythonEnv(
    path="/opt/python",
    version="3.11",
    flags=("-X", "a,b", "it's", "-u"),
    envs={"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2", "API_TOKEN": "hush", "DB": "hush"},
    timeout=60.0,
    seed=7,
    requirements="numpy==2.0\nscikit-learn",
    archives=("/e.tar.gz#env", "s3://b/f.zip"),
)


def test_the_system_parameters_have_no_secrets_and_are_read_back() -> None:
    params = FULL.system_params
    assert "hush" not in repr(params)
    assert params["requirements"].startswith("sha256:")
    assert (params["pythonPath"], params["envs"]) == ("/opt/python", "API_TOKEN,DB,OMP_NUM_THREADS,PYTHONHASHSEED")
    read = PythonEnv.from_system_params(params, FULL.kept_envs, FULL.kept_requirements)
    assert read == replace(FULL, envs={"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"})
    assert PythonEnv.from_system_params({}, {}, None) == PythonEnv()


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        *(
            (name, True)
            for name in ("PYTHONPATH", "PATH", "LC_ALL", "TZ", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "MKL_DYNAMIC")
        ),
        *((name, False) for name in ("TF_VAR_db_password", "MY_PATH", "HF_TOKEN", "STAGE", "path", "AWS_REGION", "LANGUAGE_KEY")),
        *((name, False) for name in ("TF_TOKEN_app_terraform_io", "TF_CLI_ARGS", "TF_HTTP_PASSWORD", "PYTHON_api_key")),
    ],
)
def test_variables_are_kept_by_name(name: str, is_kept: bool) -> None:
    assert (name in PythonEnv(envs={name: "x"}).kept_envs) is is_kept


@pytest.mark.parametrize(
    "line", [f"numpy @ {url}" for url in ("https://me:hush@host/a.whl", "git+https://hush@host/a", "https://host/a.whl?sig=hush")]
)
def test_requirements_with_a_secret_are_not_kept(line: str) -> None:
    assert PythonEnv(requirements=f"scipy\n{line}").kept_requirements is None


def test_a_statement_takes_over_what_it_leaves_out() -> None:
    training = replace(FULL, timeout=60.0)
    assert PythonEnv(timeout=5.0).or_of_training(training) == replace(FULL, timeout=5.0, seed=None)
    own = PythonEnv(version="3", flags=("-O",), envs={"A": "b"})
    expected = replace(FULL, version="3", flags=("-O",), envs={"A": "b"}, timeout=None, seed=None)
    assert own.or_of_training(training) == expected


def test_variables_of_an_installation_do_not_hold_for_another_one() -> None:
    kept = {"PYTHONPATH": "/modules", "OMP_NUM_THREADS": "2"}
    training = replace(FULL, envs={**kept, "PYTHONHOME": "/opt", "LD_LIBRARY_PATH": "/opt/lib", "CONDA_PREFIX": "/opt"})
    other = PythonEnv(path="/usr/bin/python3")
    assert other.or_of_training(training).envs == kept
    assert other.find_unsuitable_envs(training) == ("PYTHONHOME", "LD_LIBRARY_PATH", "CONDA_PREFIX")
    same = PythonEnv(path="python")
    for own, trained in ((PythonEnv(), training), (same, PythonEnv(envs=training.envs)), (replace(other, envs=kept), training)):
        assert own.find_unsuitable_envs(trained) == ()
        assert own.or_of_training(trained).envs == (own.envs or training.envs)


@pytest.mark.parametrize("own", [PythonEnv(path="python"), PythonEnv(requirements="numpy"), PythonEnv(archives=("/f.zip",))])
def test_an_interpreter_or_packages_of_its_own_replace_all_of_them(own: PythonEnv) -> None:
    assert own.or_of_training(FULL) == replace(own, flags=FULL.flags, envs=FULL.envs)
