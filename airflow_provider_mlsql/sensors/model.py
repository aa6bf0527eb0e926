"""Wait until a model version and its validation score have landed."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_mlsql.arguments import as_bool, as_choice, as_float, as_int, refuse_unknown
from mlsql_runtime.errors import InputError, ScriptFailed, TrainingFailed
from mlsql_runtime.result import as_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.store.awaiting import Awaited
    from mlsql_runtime.store.location import Location
    from mlsql_runtime.store.manifest import Manifest


class MLSQLModelSensor(BaseSensorOperator):
    """Wait for a complete version: its manifest is written last, so its files and score are there.

    The XCom is that of the train operator. A recorded failure of the awaited training fails the sensor at once, with the
    training's own message.

    :param model_path: path or URI of the model; it need not exist yet.
    :param min_version: wait for a version of at least this number.
    :param published_after: wait for a version published after this time, a datetime or ISO 8601 text; UTC if it names no zone.
    :param job_id: wait for the version of this job.
    :param min_score: wait for a score at least this good.
    :param on_low_score: what to do about a version whose score is not: ``"wait"`` for a better one, ``"skip"`` or ``"fail"``.
    :param check_files: compare every file with the digest in the manifest before succeeding.
    """

    template_fields = (
        "model_path",
        "min_version",
        "published_after",
        "job_id",
        "min_score",
        "on_low_score",
        "check_files",
    )
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        model_path: str,
        min_version: int | str | None = None,
        published_after: datetime | str | None = None,
        job_id: str | None = None,
        min_score: float | str | None = None,
        on_low_score: str = "wait",
        check_files: bool | str = False,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.model_path = model_path
        self.min_version = min_version
        self.published_after = published_after
        self.job_id = job_id
        self.min_score = min_score
        self.on_low_score = on_low_score
        self.check_files = check_files

    def poke(self, context: Context) -> PokeReturnValue:
        from mlsql_runtime.store.awaiting import look
        from mlsql_runtime.store.read import open_model_path

        root = open_model_path(str(self.model_path))
        seen = look(root, self._awaited())
        if seen.found is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._accept(root, seen.found))
        if seen.failure is not None and (seen.low is None or seen.failure.version > seen.low.version):
            tails = {group: list(tail) for group, tail in seen.failure.tails.items()}
            raise TrainingFailed(seen.failure.message, version=seen.failure.version, tails=tails)
        if seen.low is not None:
            self._refuse(seen.low)
        else:
            self.log.info("No such version in %s yet", root.uri)
        return PokeReturnValue(is_done=False)

    def _awaited(self) -> Awaited:
        from mlsql_runtime.store.awaiting import Awaited

        return Awaited(
            min_version=as_int(self.min_version, "min_version"),
            published_after=_as_time(self.published_after),
            job_id=self.job_id or None,
            min_score=as_float(self.min_score, "min_score"),
        )

    def _accept(self, root: Location, manifest: Manifest) -> dict[str, Any]:
        from mlsql_runtime.store import layout
        from mlsql_runtime.store.read import verify

        if as_bool(self.check_files, "check_files"):
            verify(layout.version_dir(root, manifest.version), manifest.files)
        result = manifest.result(root.uri)
        self.log.info(
            "Version %s of %s is complete: score %s, best is group %s",
            result.version,
            root.uri,
            result.score,
            result.best.alg_index,
        )
        return as_xcom(result)

    def _refuse(self, manifest: Manifest) -> None:
        wanted = f"{'at least' if manifest.greater_is_better else 'at most'} {self.min_score} is asked for"
        message = f"version {manifest.version} of {self.model_path} has score {manifest.best.score}, and {wanted}"
        reaction = as_choice(self.on_low_score, "on_low_score", ("wait", "skip", "fail"))
        if reaction == "fail":
            raise ScriptFailed(message, version=manifest.version)
        if reaction == "skip":
            raise AirflowSkipException(message)
        self.log.info("%s; waiting for a better one", message)


def _as_time(value: datetime | str | None) -> datetime | None:
    if value in (None, "", "None"):
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise InputError(f"published_after is {value!r}; expected a time such as 2026-01-31T08:00:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
